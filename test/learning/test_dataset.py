"""Recorded sequences: what is read, in which order it is learnt, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.learning.dataset import Lanes, Recording, read_folder, read_sequence
from lnn_ros.learning.hints import COLUMNS, HINTS


def recording(number, count):
    """Every frame knows its episode and its index."""
    frames = np.zeros((count, 2, 3, 3), np.uint8)
    frames[:, 0, 0, 0], frames[:, 0, 0, 1] = number, np.arange(count)
    offsets = np.full((count, 3), np.nan, np.float32)
    offsets[:, 0] = 0.01
    return Recording(
        frames,
        np.arange(count * 9, dtype=np.float32).reshape(count, 9) + 1000 * number,
        offsets,
        np.ones((count, 3, 4), np.float32),
        np.arange(HINTS, dtype=np.float32) + np.zeros((count, 1), np.float32),
        np.zeros(count, np.float32),
    )


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_lanes_read_episodes_in_order(lengths, lanes, window, seed):
    data = [recording(i, n) for i, n in enumerate(lengths)]
    reader = Lanes(data, lanes, window, np.random.default_rng(seed), mirror=False)
    batches = list(reader)
    assert len(batches) == max(1, sum(lengths) // (lanes * window))
    seen = set()
    for lane in range(lanes):
        frames = np.concatenate([b.frames[lane] for b in batches])
        keep = np.concatenate([b.keep[:, lane] for b in batches])
        told = np.concatenate([b.summaries[:, lane] for b in batches])
        episode, index = frames[:, 0, 0, 0].astype(int), frames[:, 0, 0, 1].astype(int)
        assert keep[0] == 0.0, "a lane starts from nothing"
        np.testing.assert_array_equal(told[:, 0], 9 * index + 1000 * episode)
        for k in range(1, len(keep)):
            if keep[k]:
                assert (episode[k], index[k]) == (episode[k - 1], index[k - 1] + 1)
            else:
                assert index[k] == 0, "states are dropped where an episode begins"
        seen |= set(zip(episode.tolist(), index.tolist(), strict=True))
    if len(batches) > 1:
        # Nothing is read twice before all is read.
        assert len(seen) == len(batches) * lanes * window


def test_half_of_the_episodes_are_mirrored_as_a_whole():
    data = [recording(i, 16) for i in range(8)]
    for i, r in enumerate(data):
        r.frames[:, 0, 2, 2] = 200  # a mark at the right
        assert r.frames[0, 0, 0, 0] == i
    reader = Lanes(data, 2, 16, np.random.default_rng(0))
    flips = []
    for batch in reader:
        for lane in range(2):
            flip = bool(batch.frames[lane, 0, 0, 0, 2] == 200)
            flips.append(flip)
            column = 0 if flip else 2
            assert (batch.frames[lane, :, 0, column, 2] == 200).all()
            sign = -1 if flip else 1
            assert np.array_equal(np.sign(batch.labels[5, lane, 0]), [1, sign, 1, sign])
            told = np.sign(batch.summaries[5, lane])
            assert np.array_equal(told, [sign, 1, sign, 1, sign, 1, 1, 1, 1])
            columns = np.arange(COLUMNS)
            hints = batch.hints[5, lane]
            np.testing.assert_array_equal(hints[:COLUMNS], columns[::-1] if flip else columns)
            assert hints[COLUMNS + 2] == sign * (COLUMNS + 2)
    assert 0 < sum(flips) < len(flips)


def test_the_time_out_of_sight_is_counted(tmp_path):
    good = recording(0, 6)
    hints = good.hints.copy()
    hints[:, COLUMNS] = [1, 0, 0, 1, 0, 0]
    summaries = np.full_like(good.summaries, 0.5)
    np.savez(
        tmp_path / "0.npz",
        frames=good.frames,
        summaries=summaries,
        offsets=good.offsets,
        labels=good.labels,
        hints=hints,
    )
    (read,) = read_folder(tmp_path)
    np.testing.assert_allclose(read.unseen, [0, 0.5, 1.0, 0, 0.5, 1.0])


def test_a_lost_target_is_searched_on_the_side_where_it_left(tmp_path):
    good = recording(0, 8)
    hints, labels = np.zeros_like(good.hints), np.zeros_like(good.labels)
    hints[:, COLUMNS] = [1, 1, 0, 0, 0, 0, 0, 1]
    # The target leaves on the left, behind the vehicle it is on the right: the expert turns right.
    hints[:, COLUMNS + 1] = [1, 0.8, 0.4, 0, -0.5, -0.9, -0.5, 0.9]
    hints[:, COLUMNS + 2] = [0, 0.6, 0.9, 1, 0.8, -0.4, -0.8, 0.4]
    labels[:, :, 3] = np.array([0, 0.3, 0.5, 0.5, 1.0, -1.0, -1.0, 0.2])[:, None]
    np.savez(
        tmp_path / "0.npz",
        frames=good.frames,
        summaries=np.full_like(good.summaries, 0.4),
        offsets=good.offsets,
        labels=labels,
        hints=hints,
    )
    (read,) = read_folder(tmp_path)
    np.testing.assert_allclose(
        read.labels[:, 0, 3], [0, 0.3, 0.5, 0.8, 1.0, 1.0, 1.0, 0.2], atol=1e-6
    )


def test_missing_labels_weigh_nothing():
    (batch,) = Lanes([recording(0, 8)], 1, 8, np.random.default_rng(0))
    assert (batch.weights[..., 0] == 1).all() and (batch.weights[..., 1:] == 0).all()
    assert np.isfinite(batch.offsets).all()


def test_damaged_and_foreign_files_are_refused(tmp_path):
    good = recording(0, 5)
    arrays = {k: getattr(good, k) for k in ("frames", "summaries", "offsets", "labels", "hints")}
    path = tmp_path / "000000.npz"
    np.savez_compressed(path, **arrays)
    assert len(read_sequence(path)) == 5
    blob = path.read_bytes()
    path.write_bytes(blob[: len(blob) // 2])
    with pytest.raises(LnnError, match="no recorded sequence"):
        read_sequence(path)
    for key, bad in (
        ("labels", arrays["labels"][:3]),
        ("frames", arrays["frames"].astype(float)),
        ("hints", arrays["hints"] * np.nan),
    ):
        np.savez_compressed(path, **{**arrays, key: bad})
        with pytest.raises(LnnError, match="arrays of a recorded sequence expected"):
            read_sequence(path)
    np.savez_compressed(path, frames=arrays["frames"])
    with pytest.raises(LnnError, match="no recorded sequence"):
        read_folder(tmp_path)
    path.unlink()
    with pytest.raises(LnnError, match=r"no \*\.npz found"):
        read_folder(tmp_path)
