"""Recorded sequences: what is read, in which order it is learnt, and what is refused."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.learning.dataset import Glimpser, Lanes, Recording
from lnn_ros.learning.hints import COLUMNS, HINTS
from lnn_ros.liquid.spec import SUMMARY

SIZE = len(SUMMARY)
SIDEWAYS = {
    "rotation_x",
    "rotation_z",
    "up_y",
    "angular_rate_x",
    "angular_rate_z",
    "specific_force_y",
}


def recording(number, count):
    """Every update knows its episode and its index."""
    frames = np.zeros((count, 2, 3, 3), np.uint8)
    frames[:, 0, 0, 0], frames[:, 0, 0, 1] = number, np.arange(count)
    where = np.arange(count, dtype=np.int32)
    summaries = np.arange(count * SIZE, dtype=np.float32).reshape(count, SIZE) + 1000 * number
    reads = np.ones((count, 2, 2, SIZE), np.float32)
    taken = np.zeros((count, 2, 2), bool)
    taken[:, 0, 0] = True
    weights = np.zeros((count, 2), np.float32)
    weights[:, 0] = 1
    return Recording(
        frames,
        where,
        summaries,
        reads,
        taken,
        np.ones((count, 2, 4), np.float32),
        weights,
        np.arange(HINTS, dtype=np.float32) + np.zeros((count, 1), np.float32),
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
        np.testing.assert_array_equal(told[:, 0], SIZE * index + 1000 * episode)
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
            for told in (batch.summaries[5, lane], batch.reads[5, lane, 0, 0]):
                turned = {name for name, value in zip(SUMMARY, told, strict=True) if value < 0}
                assert turned == (SIDEWAYS if flip else set())
            columns = np.arange(COLUMNS)
            hints = batch.hints[5, lane]
            np.testing.assert_array_equal(hints[:COLUMNS], columns[::-1] if flip else columns)
            assert hints[COLUMNS + 2] == sign * (COLUMNS + 2)
    assert 0 < sum(flips) < len(flips)


def test_what_is_sided_is_never_mirrored():
    data = [replace(recording(i, 16), sided=i % 2 == 0) for i in range(8)]
    mirrored = set()
    for seed in range(6):
        for batch in Lanes(data, 2, 16, np.random.default_rng(seed)):
            mirrored |= {int(batch.frames[lane, 0, 0].max()) for lane in range(2)
                         if batch.labels[0, lane, 0, 1] < 0}
    assert mirrored == {1, 3, 5, 7}
    seen = Glimpser(data).draw(np.random.default_rng(0), 200)
    pairs = zip(seen.frames, seen.labels, strict=True)
    turned = {int(frame[..., 0].max()) for frame, label in pairs if label[1] < 0}
    assert turned == {1, 3, 5, 7}


def test_updates_without_a_frame_and_instants_without_a_label():
    data = recording(3, 9)
    data.where[2::3] = -1
    data.where[data.where >= 0] = [0, 1, 3, 4, 6, 7]
    (batch,) = Lanes([data], 1, 9, np.random.default_rng(0), mirror=False)
    np.testing.assert_array_equal(batch.frames[0, :, 0, 0, 1], [0, 1, 0, 3, 4, 0, 6, 7, 0])
    assert (batch.weights[..., 0] == 1).all() and (batch.weights[..., 1] == 0).all()
    features = [np.stack([np.arange(9.0)[:, None], -np.arange(9.0)[:, None]]).astype(np.float32)]
    (batch,) = Lanes([data], 1, 9, np.random.default_rng(0), mirror=False, features=features)
    np.testing.assert_array_equal(batch.frames[0, :, 0], [0, 1, 0, 3, 4, 0, 6, 7, 0])


def test_glimpses_are_of_frames_that_are_seen():
    data = recording(0, 9)
    data.where[:] = -1
    data.where[[1, 5]] = [4, 8]
    seen = Glimpser([data, data]).draw(np.random.default_rng(0), 64)
    marks = set(seen.frames[:, 0, :, 1].max(1).tolist())
    assert marks == {4, 8}
    assert (seen.weights == 1).all()
