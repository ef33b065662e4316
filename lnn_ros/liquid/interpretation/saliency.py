"""Which pixels of a frame matter, by VisualBackProp, for the encoder ``conv``.

After every convolution and its rectifier the maps are averaged over the channels; from the last
layer back, the average is spread over the footprint of the kernels (a transposed convolution whose
weights are all one) and multiplied with the average before it. What is left shows where the encoder
is active all the way through. Source: Bojarski et al., "VisualBackProp: efficient visualization of
CNNs for autonomous driving", ICRA 2018 (arXiv 1611.05418). The map knows nothing of what the
network makes of the features; ``mass_ratio`` and ``commands_without`` test that it means something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.encoders.conv import Conv, Convolution
from lnn_ros.liquid.interpretation.history import Floats, History, Network, check_frames
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import part

AFTER_S = 0.05
"""A command is read so long after the frame: it must have time to act, and a camera of 20 Hz then
sends the next one."""


def visual_back_prop(network: Network, frames: NDArray[Any]) -> Floats:
    """Saliency by VisualBackProp.

    Parameters
    ----------
    network : Network
        Its encoder is a ``Conv``.
    frames : ndarray, shape (K, H, W, C)
        Pixels from 0 to 255.

    Returns
    -------
    ndarray, shape (K, H, W)
        Zero or more; of each frame the largest is 1, unless all are zero.

    Raises
    ------
    LnnError
        When the encoder is another, or the frames are not of its size.
    """
    encoder = network.spec.encoder
    if not isinstance(encoder, Conv):
        raise LnnError(f"saliency: encoder {encoder.kind!r} found, expected 'conv'")
    check_frames(encoder, frames)
    averages = _averages(encoder, part(network.w, "encoder"), frames)
    mask = averages[-1]
    for i in reversed(range(len(encoder.layers))):
        mask = spread(mask, encoder.layers[i], encoder.shapes()[i][:2])
        if i:
            mask = mask * averages[i - 1]
    peak = mask.max((1, 2), keepdims=True)
    return np.divide(mask, peak, out=np.zeros_like(mask), where=peak > 0)


def ceilings(network: Network) -> Floats:
    """Half the range of each command (4,): what "a lot" means."""
    head = network.spec.head
    return (np.array(head.high) - np.array(head.low)) / 2


def mass_ratio(saliency: Floats, masks: NDArray[np.bool_]) -> Floats:
    """Saliency inside a mask against chance.

    Parameters
    ----------
    saliency : ndarray, shape (K, H, W)
    masks : ndarray of bool, shape (K, H, W)

    Returns
    -------
    ndarray, shape (K,)
        The share of the saliency that lies in the mask over the share of pixels that do: 1 is
        chance. NaN where the mask is empty or full, or there is no saliency.
    """
    total, share = saliency.sum((1, 2)), masks.mean((1, 2))
    inside = (saliency * masks).sum((1, 2))
    usable = (total > 0) & (share > 0) & (share < 1)
    ratio = np.full(len(saliency), np.nan)
    ratio[usable] = inside[usable] / total[usable] / share[usable]
    return ratio


def commands_without(
    network: Network,
    history: History,
    frames: NDArray[Any],
    gone: NDArray[np.bool_],
    fill: Floats,
    after: float = AFTER_S,
) -> Floats:
    """Commands had some pixels not been seen.

    Parameters
    ----------
    network : Network
    history : History
        Of ``network`` over the intervals that ``frames`` close (``History.take``): state, summary
        and elapsed time stay as recorded.
    frames : ndarray, shape (K, H, W, C)
    gone : ndarray of bool, shape (K, H, W)
        The pixels that are replaced,
    fill : ndarray, broadcast to (K, H, W, C)
        by these.
    after : float
        Seconds from the frame to the command.

    Returns
    -------
    ndarray, shape (K, 4)

    Raises
    ------
    LnnError
        When there is not one frame for each interval.
    """
    if len(frames) != len(history.dt) or not history.camera.all():
        raise LnnError(
            f"saliency: {len(frames)} frames for {len(history.dt)} intervals found, "
            f"{history.camera.sum()} of them with a frame, expected one for each"
        )
    features = network.encode(np.where(gone[..., None], fill, frames))
    state = network.step(history.before, history.dt[:, None], features, history.summaries)
    return network.read(state, history.summaries, after)


def most_salient(saliency: Floats, pixels: int) -> NDArray[np.bool_]:
    """Mask (K, H, W) of the ``pixels`` most salient ones of each frame."""
    flat = saliency.reshape(len(saliency), -1)
    chosen = np.argpartition(-flat, pixels - 1, axis=1)[:, :pixels]
    mask = np.zeros(flat.shape, bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    return mask.reshape(saliency.shape)


def _averages(encoder: Conv, w: Mapping[str, Floats], frames: NDArray[Any]) -> list[Floats]:
    """Mean over the channels (K, h, w) after each convolution and its rectifier."""
    x = frames.astype(np.float64) * encoder.pixel_scale + encoder.pixel_offset
    averages = []
    for i, layer in enumerate(encoder.layers):
        weight, bias = w[f"conv{i}.weight"], w[f"conv{i}.bias"]
        x = NUMPY.relu(NUMPY.convolve(x, weight, bias, layer.stride, layer.padding))
        averages.append(x.mean(-1))
    return averages


def spread(mask: Floats, layer: Convolution, size: tuple[int, int]) -> Floats:
    """Spread what stands behind a convolution over the pixels that its kernels look at.

    Parameters
    ----------
    mask : ndarray, shape (K, h, w)
    layer : Convolution
    size : tuple of 2 int
        Height and width of what enters the convolution.

    Returns
    -------
    ndarray, shape (K, *size)
    """
    (rows, columns), (down, right), (above, left) = layer.kernel, layer.stride, layer.padding
    count, h, w = mask.shape
    out = np.zeros((count, size[0] + 2 * above, size[1] + 2 * left))
    for i in range(rows):
        for j in range(columns):
            out[:, i : i + h * down : down, j : j + w * right : right] += mask
    return out[:, above : above + size[0], left : left + size[1]]
