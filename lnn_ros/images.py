"""Images in messages to pixels: raw and compressed, of any encoding, duck-typed like messages.py.

Everything becomes RGB of 8 bits. A payload is hostile until it is decoded: its size is judged by
what it declares, before anything of that size is made.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError

# encoding -> (bytes per channel, channels, channel that is red, step from red to green to blue)
_ENCODINGS = {
    "rgb8": (1, 3, 0, 1),
    "bgr8": (1, 3, 2, -1),
    "rgba8": (1, 4, 0, 1),
    "bgra8": (1, 4, 2, -1),
    "mono8": (1, 1, 0, 0),
    "8UC1": (1, 1, 0, 0),
    "8UC3": (1, 3, 2, -1),  # OpenCV's order: cv_bridge reads and writes 8UC3 as BGR
    "8UC4": (1, 4, 2, -1),  # and 8UC4 as BGRA
    "mono16": (2, 1, 0, 0),
    "16UC1": (2, 1, 0, 0),
}
ENCODINGS = tuple(_ENCODINGS)
"""Encodings of ``sensor_msgs/Image`` that can be read."""
MAX_SIDE = 4096
"""Pixels; an image that is longer or higher is refused."""
MAX_SCANS = 64
"""Scans of a JPEG; cameras send one, progressive files ten. Each may cost a pass over the whole
image for a few bytes of payload."""


def image_view(message: Any) -> NDArray[np.uint8]:
    """Decode a ``sensor_msgs/Image`` or ``sensor_msgs/CompressedImage`` without copying pixels.

    Parameters
    ----------
    message : sensor_msgs/Image or sensor_msgs/CompressedImage
        An Image of one of ``ENCODINGS``; rows may be padded (``step``). A CompressedImage whose
        ``format`` names jpeg, jpg or png, as in "jpeg" or "rgb8; jpeg compressed bgr8"; a second
        part that says "compressed rgb8" means that red and blue are exchanged inside the file, as
        image_transport has it.

    Returns
    -------
    ndarray of uint8 (H, W, 3)
        RGB, read-only; any strides: of an Image it is a view of the message's own data, in which
        all three channels of a mono image are the same memory. Sixteen-bit pixels keep their high
        byte, alpha is dropped.

    Raises
    ------
    LnnError
        When the encoding or format is unknown, the size is zero, a side exceeds ``MAX_SIDE``, the
        data do not fit size and encoding or are no whole JPEG or PNG, or pillow is missing, which
        decodes compressed images.
    """
    return _decompressed(message) if hasattr(message, "format") else _raw(message)


def image_array(message: Any) -> NDArray[np.uint8]:
    """Decode an image as :func:`image_view` does into an array of its own.

    Returns
    -------
    ndarray of uint8 (H, W, 3)
        RGB, contiguous, a copy.

    Raises
    ------
    LnnError
        As :func:`image_view`.
    """
    view = image_view(message)
    image = np.empty(view.shape, np.uint8)
    for channel in range(3):  # plane by plane: inner loops as long as a row
        image[:, :, channel] = view[:, :, channel]
    return image


def _raw(message: Any) -> NDArray[np.uint8]:
    """View of a ``sensor_msgs/Image``."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    known = _ENCODINGS.get(message.encoding)
    if known is None:
        raise LnnError(
            f"image encoding {message.encoding[:40]!r} is unknown: expected one of "
            f"{', '.join(ENCODINGS)}"
        )
    if height <= 0 or width <= 0:
        raise LnnError(f"image size is {width}x{height} pixels: expected at least 1x1")
    depth, channels, red, order = known
    row = width * depth * channels
    if step < row:
        raise LnnError(
            f"image step is {step} bytes: expected at least {row} for {width} pixels of "
            f"{message.encoding}"
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size < step * height:
        raise LnnError(
            f"image data have {data.size} bytes: expected {step * height} for {height} rows of "
            f"{step}"
        )
    _check_size(width, height)
    # The high byte of two is the last one if little-endian.
    offset = red if depth == 1 else int(not message.is_bigendian)
    view: NDArray[np.uint8] = np.ndarray(
        (height, width, 3), np.uint8, data, offset, (step, depth * channels, order)
    )
    view.flags.writeable = False
    return view


def _decompressed(message: Any) -> NDArray[np.uint8]:
    """Pixels of a ``sensor_msgs/CompressedImage``."""
    said, size = str(message.format), len(message.data)
    source, _, compressed = said.lower().rpartition(";")
    kinds = [kind for kind, word in (("JPEG", "jp"), ("PNG", "png")) if word in compressed]
    exchanged = "compressed rgb" in compressed
    mosaic = source.strip().startswith("bayer") and "compressed bgr" not in compressed
    if len(kinds) != 1 or "compresseddepth" in compressed or (mosaic and not exchanged):
        raise LnnError(
            f"compressed image format {said[:60]!r} is unknown: expected jpeg or png, "
            f"as in 'jpeg' or 'rgb8; jpeg compressed bgr8'"
        )
    try:
        from PIL import Image
    except ImportError:
        raise LnnError(
            "compressed images need the Python package pillow, which is not installed: install it "
            "with pip install pillow, or python3-pil with apt"
        ) from None
    data = bytes(message.data)
    if kinds == ["JPEG"] and data.count(b"\xff\xda") > MAX_SCANS:
        raise LnnError(
            f"compressed image has more than {MAX_SCANS} scans: expected a JPEG as cameras send it"
        )
    try:
        # Opening reads the header alone, and no other format than the one that was said.
        with Image.open(io.BytesIO(data), formats=kinds) as picture:
            _check_size(*picture.size)
            if picture.mode.startswith("I"):  # 16 bits; older versions hold them in 32
                grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            elif picture.mode in ("1", "L"):
                grey = np.asarray(picture.convert("L"))
            else:
                view = np.asarray(picture.convert("RGB"))
                return view[:, :, ::-1] if exchanged else view
    except LnnError:
        raise
    except Exception as error:  # the library's own, or whatever a hostile payload provokes
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LnnError(
            f"compressed image of {size} bytes could not be read: expected a whole {kinds[0]} as "
            f"its format {said[:60]!r} says ({reason})"
        ) from error
    return np.broadcast_to(grey[:, :, None], (*grey.shape, 3))


def _check_size(width: int, height: int) -> None:
    if max(height, width) > MAX_SIDE:
        raise LnnError(
            f"image size is {width}x{height} pixels: expected at most {MAX_SIDE} each way"
        )
