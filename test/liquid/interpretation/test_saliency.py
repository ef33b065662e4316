"""Saliency: the map follows what the network looks at, and what it marks matters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policies_for_tests import frame, small_checkpoint, summaries

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoders.conv import Conv, Convolution
from lnn_ros.liquid.interpretation import saliency
from lnn_ros.liquid.interpretation.history import Network, run
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import SUMMARY

SIDE = 5


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    down=st.integers(1, 3),
    right=st.integers(1, 3),
    above=st.integers(0, 2),
    left=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_spreading_is_the_adjoint_of_the_convolution(rows, columns, down, right, above, left, seed):
    layer = Convolution(1, (rows, columns), (down, right), (above, left))
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (2, 11, 13))
    ones = np.ones((1, 1, rows, columns))
    seen = NUMPY.convolve(x[..., None], ones, np.zeros(1), (down, right), (above, left))[..., 0]
    m = rng.normal(0, 1, seen.shape)
    assert (saliency.spread(m, layer, (11, 13)) * x).sum() == pytest.approx((m * seen).sum())


def red_seeker():
    """A policy whose encoder passes red minus green and blue, and turns to where it is."""
    checkpoint = small_checkpoint("feedforward")
    spec, arrays = checkpoint.spec, dict(checkpoint.arrays)
    encoder = spec.encoder
    assert isinstance(encoder, Conv)
    for name, value in arrays.items():
        if name.startswith("encoder"):
            arrays[name] = np.zeros_like(value)
    arrays["encoder.conv0.weight"][0, :, 2, 2] = (1.0, -0.5, -0.5)
    arrays["encoder.conv1.weight"][0, 0] = 1.0
    arrays["encoder.linear.weight"][0, :8] = np.arange(8)
    return Network.of(spec, arrays)


def with_square(row, column, color, rng):
    picture = rng.integers(90, 110, (12, 16, 3)).astype(np.uint8)
    picture[row : row + SIDE, column : column + SIDE] = color
    mask = np.zeros((12, 16), bool)
    mask[row : row + SIDE, column : column + SIDE] = True
    return picture, mask


@given(row=st.integers(0, 12 - SIDE), column=st.integers(0, 16 - SIDE), seed=st.integers(0, 99))
def test_the_mass_lies_where_the_network_looks(row, column, seed):
    network, rng = red_seeker(), np.random.default_rng(seed)
    red, mask = with_square(row, column, (250, 20, 20), rng)
    found = saliency.visual_back_prop(network, red[None])
    assert found.shape == (1, 12, 16) and found.min() >= 0.0 and found.max() == 1.0
    ratio = saliency.mass_ratio(found, mask[None])[0]
    assert ratio > 2.0
    blue, _ = with_square(row, column, (20, 20, 250), rng)
    unseen = saliency.visual_back_prop(network, blue[None])
    assert not saliency.mass_ratio(unseen, mask[None])[0] > 0.7 * ratio


def test_greying_what_is_salient_moves_the_command_more():
    network, rng = red_seeker(), np.random.default_rng(0)
    frames, _ = zip(*(with_square(4, c, (250, 20, 20), rng) for c in range(11)), strict=True)
    frames = np.stack(frames)
    told = summaries(rng, np.full(11, 0.05), spread=0.0)
    history = run(network, np.arange(11) + 1, told, frames)
    command = network.read(history.after, history.summaries, saliency.AFTER_S)
    grey = frames.mean((1, 2), keepdims=True)
    top = saliency.most_salient(saliency.visual_back_prop(network, frames), SIDE**2)
    assert (top.sum((1, 2)) == SIDE**2).all()
    anywhere = saliency.most_salient(rng.random(top.shape), SIDE**2)

    def moved(gone):
        without = saliency.commands_without(network, history, frames, gone, grey)
        return np.linalg.norm(without - command, axis=1)

    assert moved(np.zeros_like(top)) == pytest.approx(0.0)
    assert np.median(moved(top)) > 3.0 * np.median(moved(anywhere))
    with pytest.raises(LnnError, match="10 frames for 11 intervals found, 11 of them with a frame"):
        saliency.commands_without(network, history, frames[1:], top[1:], grey[1:])
    told[3, SUMMARY.index("camera_present")] = 0.0
    history = run(network, np.arange(11) + 1, told, np.delete(frames, 3, 0))
    with pytest.raises(LnnError, match="10 of them with a frame"):
        saliency.commands_without(network, history, frames, top, grey)


def test_the_ratio_is_one_by_chance():
    masks = np.zeros((4, 8, 8), bool)
    masks[0, :2] = masks[1, :2] = masks[3] = True
    maps = np.ones((4, 8, 8))
    maps[1] = masks[1]
    ratio = saliency.mass_ratio(maps, masks)
    assert ratio[0] == pytest.approx(1.0) and ratio[1] == pytest.approx(4.0)
    assert np.isnan(ratio[2]) and np.isnan(ratio[3])  # nothing inside, nothing outside
    assert np.isnan(saliency.mass_ratio(np.zeros((1, 8, 8)), masks[:1])[0])


def test_frames_are_independent_of_each_other():
    checkpoint, rng = small_checkpoint(), np.random.default_rng(0)
    network = Network.of(checkpoint.spec, checkpoint.arrays)
    frames = np.stack([frame(rng) for _ in range(3)])
    together = saliency.visual_back_prop(network, frames)
    for k in range(3):
        alone = saliency.visual_back_prop(network, frames[k : k + 1])[0]
        np.testing.assert_allclose(alone, together[k], atol=1e-12)
    with pytest.raises(LnnError, match="frames have shape"):
        saliency.visual_back_prop(network, frames[:, 1:])
