"""Images in messages: every encoding, every compressed format, and whatever a network brings."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import sensor_msgs.msg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from received import LIBRARIES

from lnn_ros import images
from lnn_ros.errors import LnnError


def image_message(pixels, encoding, padding=0, bigendian=0):
    """Return an Image with rows of bytes from ``pixels`` (H, bytes), padded with 0xEE."""
    rows = np.full((pixels.shape[0], pixels.shape[1] + padding), 0xEE, np.uint8)
    rows[:, :pixels.shape[1]] = pixels
    message = sensor_msgs.msg.Image()
    message.header.stamp.sec = 1
    message.encoding, message.is_bigendian, message.step = encoding, bigendian, rows.shape[1]
    message.height = rows.shape[0]
    message.data.frombytes(rows.tobytes())
    return message


RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [100, 110, 120]]], np.uint8)
GREY = np.array([[10, 20], [30, 40]], np.uint8)
ALPHA = np.full((2, 2, 1), 99, np.uint8)
SIXTEEN = GREY.astype(np.uint16) * 256 + 7  # high byte is the picture, low byte noise
CASES = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "8UC4": (np.concatenate((RGB[:, :, ::-1], ALPHA), 2), RGB),
    "rgba8": (np.concatenate((RGB, ALPHA), 2), RGB),
    "bgra8": (np.concatenate((RGB[:, :, ::-1], ALPHA), 2), RGB),
    "mono8": (GREY, np.repeat(GREY[:, :, None], 3, 2)),
    "8UC1": (GREY, np.repeat(GREY[:, :, None], 3, 2)),
    "mono16": (SIXTEEN.astype("<u2"), np.repeat(GREY[:, :, None], 3, 2)),
    "16UC1": (SIXTEEN.astype("<u2"), np.repeat(GREY[:, :, None], 3, 2)),
}


def test_every_encoding_has_a_case():
    assert set(CASES) == set(images.ENCODINGS)


@LIBRARIES
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", images.ENCODINGS)
def test_image_is_decoded_to_rgb_whatever_its_encoding_and_padding(encoding, padding, received):
    sent, expected = CASES[encoding]
    rows = np.frombuffer(np.ascontiguousarray(sent).tobytes(), np.uint8).reshape(2, -1)
    message = image_message(rows, encoding, padding)
    message.width = 2
    there = received(message)
    image = images.image_array(there)
    view = images.image_view(there)
    np.testing.assert_array_equal(view, expected)
    assert not view.flags.writeable
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.owndata
    np.testing.assert_array_equal(image, expected)


def test_big_endian_sixteen_bit_image_keeps_its_high_byte():
    rows = np.frombuffer(SIXTEEN.astype(">u2").tobytes(), np.uint8).reshape(2, -1)
    message = image_message(rows, "mono16", bigendian=1)
    message.width = 2
    np.testing.assert_array_equal(images.image_array(message)[:, :, 0], GREY)


@pytest.mark.parametrize(("change", "sentence"), [
    ({"encoding": "bayer_rggb8"}, "image encoding 'bayer_rggb8' is unknown: expected one of rgb8"),
    ({"height": 0}, "image size is 2x0 pixels: expected at least 1x1"),
    ({"width": 0}, "image size is 0x2 pixels"),
    ({"step": 5}, "image step is 5 bytes: expected at least 6"),
    ({"height": 3}, "image data have 12 bytes: expected 18 for 3 rows of 6"),
    ({"width": 2**32 - 1}, "image step is 6 bytes: expected at least 12884901885"),
    ({"width": 2**31, "step": 2**32 - 1, "encoding": "mono8"}, "image data have 12 bytes"),
])
def test_image_that_cannot_be_read_is_a_named_error(change, sentence):
    message = image_message(RGB.reshape(2, -1), "rgb8")
    message.width = 2
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(LnnError) as error:
        images.image_array(message)
    assert sentence in str(error.value)


@pytest.mark.parametrize("turned", [False, True])
def test_image_that_is_too_long_is_a_named_error(turned):
    pixels = np.zeros((1, images.MAX_SIDE + 1), np.uint8)
    message = image_message(pixels.T if turned else pixels, "mono8")
    message.width = message.step
    with pytest.raises(LnnError, match="expected at most 4096 each way"):
        images.image_array(message)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_image_message_is_decoded_or_refused_by_name(data):
    message = sensor_msgs.msg.Image()
    message.encoding = data.draw(st.sampled_from([*images.ENCODINGS, "", "rgb16", "\ufffd"]))
    for name in ("height", "width", "step"):
        setattr(message, name, data.draw(st.integers(0, 12) | st.integers(0, 2**32 - 1)))
    message.is_bigendian = data.draw(st.integers(0, 255))
    message.data.frombytes(data.draw(st.binary(max_size=200)))
    try:
        image = images.image_array(message)
    except LnnError:
        return
    assert image.shape == (message.height, message.width, 3)
    assert image.dtype == np.uint8


def compressed(payload, said):
    """Return a CompressedImage."""
    message = sensor_msgs.msg.CompressedImage()
    message.format = said
    message.data.frombytes(bytes(payload))
    return message


def file_of(pixels, kind, **options):
    """Return the bytes of a file that pillow writes of an array."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(samples, colour, depth, palette=None, size=None):
    """Write a PNG by the letter of its specification (ISO/IEC 15948).

    ``samples`` (H, W, channels) are whole numbers below 2**depth; ``size`` may lie about them.
    """
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    elif depth == 8:
        lines = [row.astype(np.uint8).tobytes() for row in rows]
    else:
        bits = ((rows[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(height, -1)
        lines = [np.packbits(line.astype(np.uint8)).tobytes() for line in bits]
    wide, high = size or (width, height)
    head = struct.pack(">IIBBBBB", wide, high, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
            + (chunk(b"PLTE", palette.tobytes()) if palette is not None else b"")
            + chunk(b"IDAT", body) + chunk(b"IEND", b""))


SIDE = 8
PICTURE = np.random.default_rng(7).integers(0, 256, (SIDE, SIDE + 3, 3), np.uint8)


@LIBRARIES
@pytest.mark.parametrize("said", ["png", "PNG", "rgb8; png compressed bgr8", "bgr8; png compressed",
                                  "bayer_rggb8; png compressed bgr8"])
def test_png_is_decoded_to_the_byte_whatever_its_format_is_called(said, received):
    view = images.image_view(received(compressed(file_of(PICTURE, "PNG"), said)))
    np.testing.assert_array_equal(view, PICTURE)
    copy = images.image_array(compressed(file_of(PICTURE, "PNG"), said))
    assert copy.flags.owndata and copy.flags.c_contiguous and copy.flags.writeable


def test_file_that_holds_red_for_blue_is_read_as_it_says():
    """image_transport: what follows "compressed" is the order of the channels that were encoded."""
    payload = file_of(PICTURE[:, :, ::-1], "PNG")
    view = images.image_view(compressed(payload, "rgb8; png compressed rgb8"))
    np.testing.assert_array_equal(view, PICTURE)


PNG_KINDS = {"grey": (0, 1), "rgb": (2, 3), "palette": (3, 1), "grey+alpha": (4, 2), "rgba": (6, 4)}


@pytest.mark.parametrize(("kind", "depth"), [
    *(("grey", d) for d in (1, 2, 4, 8, 16)), *(("palette", d) for d in (1, 2, 4, 8)),
    *((k, d) for k in ("rgb", "grey+alpha", "rgba") for d in (8, 16))])
def test_every_kind_of_png_is_decoded(kind, depth):
    colour, channels = PNG_KINDS[kind]
    rng = np.random.default_rng(depth)
    samples = rng.integers(0, 2**depth, (SIDE, SIDE + 3, channels))
    palette = rng.integers(0, 256, (2**depth, 3), np.uint8) if kind == "palette" else None
    view = images.image_view(compressed(png(samples, colour, depth, palette), "png"))
    if palette is not None:
        expected = palette[samples[:, :, 0]]
    else:
        eight = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
        expected = eight[:, :, :3] if channels >= 3 else eight[:, :, :1].repeat(3, 2)
    # Sixteen bits of colour may be rounded instead of cut.
    assert np.abs(view.astype(int) - expected).max() <= (depth == 16 and kind != "grey")
    assert view.dtype == np.uint8 and view.shape == (SIDE, SIDE + 3, 3)


SMOOTH = (np.add.outer(np.arange(40), 2 * np.arange(56))[:, :, None] + (0, 30, 60)).astype(np.uint8)


@LIBRARIES
@pytest.mark.parametrize("said", ["jpeg", "jpg", "image/jpeg", "rgb8; jpeg compressed bgr8",
                                  "mono8; jpeg compressed"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_decoded(said, options, received):
    message = compressed(file_of(SMOOTH, "JPEG", quality=95, **options), said)
    view = images.image_view(received(message))
    assert view.shape == SMOOTH.shape
    assert np.abs(view.astype(int) - SMOOTH).mean() < 3.0
    # Red, green and blue are in their places.
    assert (np.diff(view.astype(int).mean(axis=(0, 1))) > 25).all()


def test_grey_and_cmyk_jpegs_are_decoded():
    grey = SMOOTH[:, :, 0]
    message = compressed(file_of(grey, "JPEG", quality=95), "mono8; jpeg compressed")
    view = images.image_view(message)
    assert np.abs(view.astype(int) - grey[:, :, None]).max() < 12
    assert (view[:, :, 0] == view[:, :, 2]).all()
    buffer = io.BytesIO()
    Image.fromarray(SMOOTH).convert("CMYK").save(buffer, "JPEG", quality=95)
    view = images.image_view(compressed(buffer.getvalue(), "jpeg"))
    assert np.abs(view.astype(int) - SMOOTH).mean() < 6.0


@pytest.mark.parametrize("said", ["", "webp", "tiff", "rgb8", "16UC1; compressedDepth png",
                                  "jpegpng", "bayer_rggb8; jpeg compressed ", "\ufffd" * 500])
def test_unknown_format_is_a_named_error(said):
    with pytest.raises(LnnError, match=r"compressed image format .*expected jpeg or png") as error:
        images.image_view(compressed(file_of(PICTURE, "PNG"), said))
    assert len(str(error.value)) < 250


@pytest.mark.parametrize("size", [(images.MAX_SIDE + 1, 1), (1, images.MAX_SIDE + 1),
                                  (20_000, 20_000), (2**31 - 1, 2**31 - 1), (0, 5)])
def test_size_that_a_png_declares_is_judged_before_it_is_decoded(size):
    payload = png(np.zeros((2, 2, 1), int), 0, 8, size=size)
    tracemalloc.start()
    try:
        with pytest.raises(LnnError, match=r"image (size is|of)"):
            images.image_view(compressed(payload, "png"))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_size_that_a_jpeg_declares_is_judged_before_it_is_decoded():
    payload = bytearray(file_of(SMOOTH, "JPEG"))
    frame = payload.index(b"\xff\xc0")
    payload[frame + 5:frame + 9] = struct.pack(">HH", 65_500, 65_500)
    with pytest.raises(LnnError, match="compressed image"):
        images.image_view(compressed(payload, "jpeg"))
    payload[frame + 5:frame + 9] = struct.pack(">HH", 10, 5_000)
    with pytest.raises(LnnError, match="image size is 5000x10 pixels: expected at most 4096"):
        images.image_view(compressed(payload, "jpeg"))


def test_pixels_that_unpack_to_more_than_declared_are_cut_off():
    """A small file of gigabytes of zeros."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(2**20)) for _ in range(128)) + packer.flush()
    head = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    payload = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body)
               + chunk(b"IEND", b""))
    program = (f"import resource, sys\n"
               f"from lnn_ros import images\n"
               f"from types import SimpleNamespace\n"
               f"data = open({'/dev/stdin'!r}, 'rb').read()\n"
               f"before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
               f"try: images.image_view(SimpleNamespace(format='png', data=data))\n"
               f"except ValueError: pass\n"
               f"print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n")
    done = subprocess.run([sys.executable, "-c", program], input=payload, check=True,
                          capture_output=True, timeout=60)
    assert int(done.stdout) < 60_000  # kB


def test_jpeg_of_endless_scans_is_a_named_error():
    payload = file_of(SMOOTH, "JPEG", progressive=True)
    assert images.image_view(compressed(payload, "jpeg")).shape == SMOOTH.shape
    first = payload.index(b"\xff\xda")
    second = payload.index(b"\xff\xda", first + 2)
    bomb = payload[:second] + payload[first:second] * 100 + payload[second:]
    with pytest.raises(LnnError, match="more than 64 scans"):
        images.image_view(compressed(bomb, "jpeg"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_truncated_file_is_a_named_error(kind):
    payload = file_of(SMOOTH, kind)
    for size in (0, 1, 3, 20, len(payload) // 3, len(payload) // 2):
        with pytest.raises(LnnError, match=f"compressed image of {size} bytes .*a whole {kind}"):
            images.image_view(compressed(payload[:size], kind.lower()))


@pytest.mark.parametrize(("kind", "said"), [("JPEG", "png"), ("PNG", "jpeg"), ("GIF", "png"),
                                            ("TIFF", "jpeg"), ("BMP", "jpeg")])
def test_file_of_another_kind_than_said_is_a_named_error(kind, said):
    with pytest.raises(LnnError, match=f"expected a whole {said.upper()}"):
        images.image_view(compressed(file_of(SMOOTH, kind), said))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_compressed_image_is_decoded_or_refused_by_name(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG"]))
    payload = bytearray(file_of(SMOOTH[:16, :16], kind))
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        payload = data.draw(st.binary(max_size=100))
    try:
        view = images.image_view(compressed(payload, kind.lower()))
    except LnnError:
        return
    assert view.dtype == np.uint8 and view.ndim == 3 and view.shape[2] == 3
    assert max(view.shape) <= images.MAX_SIDE


def test_missing_pillow_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(LnnError, match="need the Python package pillow, which is not installed"):
        images.image_view(compressed(b"", "jpeg"))


def test_raw_images_do_not_load_pillow():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, lnn_ros.messages; print('PIL' in sys.modules)"],
        check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"
