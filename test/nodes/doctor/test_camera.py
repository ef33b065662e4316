"""The camera: whether its images can be read, and whether it sees enough."""

from __future__ import annotations

import dataclasses
import importlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from seen_robots import BEST, COMPRESSED, calibration, having, hearing, picture, well
from verdicts import bad, only

from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Endpoint
from lnn_ros.nodes.settings import CameraSettings, ControllerSettings


def test_calibration_of_another_size() -> None:
    seen = hearing(well(), "camera_info", last=calibration(640, 480, 320.0))
    only(seen, "camera_info size", Verdict.FAIL, "640x480", "64x48")


@pytest.mark.parametrize(("info", "words"), [
    (SimpleNamespace(**{**vars(calibration()), "k": (0.0,) * 9}), ("K of zeros", "camera.fov_deg")),
    (calibration(model="thin_prism", d=(0.1,) * 5), ("thin_prism",)),
])
def test_calibration_that_cannot_be_used(info, words) -> None:
    seen = hearing(well(), "camera_info", last=info)
    finding = bad(seen)["camera_info content"]
    assert finding.verdict is Verdict.FAIL
    assert all(word in f"{finding.found} {finding.remedy}" for word in words)


def test_lens_that_sees_too_little() -> None:
    seen = hearing(well(), "camera_info", last=calibration(focal=100.0))
    only(seen, "camera geometry", Verdict.FAIL, "35", "90 degrees across")


def test_camera_that_looks_elsewhere_names_the_mounting() -> None:
    seen = well(ControllerSettings(camera=CameraSettings(yaw=1.0)))
    only(seen, "camera geometry", Verdict.FAIL, "camera.yaw")


def test_field_of_view_by_parameter() -> None:
    good = well(ControllerSettings(camera=CameraSettings(info=False, fov_deg=90.0)))
    assert bad(good) == {}
    narrow = well(ControllerSettings(camera=CameraSettings(info=False, fov_deg=40.0)))
    assert list(bad(narrow)) == ["camera geometry"]


def test_picture_that_cannot_be_read_is_black_or_frozen() -> None:
    only(hearing(well(), "image", last=picture(encoding="yuv422")), "image content", Verdict.FAIL,
         "yuv422")
    only(hearing(well(), "image", last=picture(), first=picture()), "image content", Verdict.WARN,
         "equal")
    dark = picture()
    dark.data = bytes(len(dark.data))
    only(hearing(well(), "image", last=dark), "image content", Verdict.WARN, "black")


def compressed(seed: int) -> SimpleNamespace:
    """Return a CompressedImage with noise in it."""
    pil = importlib.import_module("PIL.Image")
    pixels = np.frombuffer(picture(seed=seed).data, np.uint8).reshape(48, 64, 3)
    pil.fromarray(pixels).save(file := io.BytesIO(), "jpeg")
    return SimpleNamespace(format="rgb8; jpeg compressed bgr8", data=file.getvalue())


def test_compressed_images_are_judged_as_raw_ones() -> None:
    seen = well(ControllerSettings(image_transport="compressed"))
    seen = having(seen, "/image/compressed", (Endpoint("/camera", COMPRESSED, BEST),),
                  (Endpoint("/controller", COMPRESSED, BEST),))
    assert bad(hearing(seen, "image", first=compressed(0), last=compressed(1))) == {}
    cut = compressed(1)
    cut.data = cut.data[:40]
    only(hearing(seen, "image", last=cut), "image content", Verdict.FAIL, "could not be read")


def test_calibration_of_another_frame_or_none() -> None:
    only(hearing(well(), "camera_info", frames=("rear",)), "camera_info frame", Verdict.WARN,
         "rear")
    silent = dataclasses.replace(well(), heard={
        name: what for name, what in well().heard.items() if name != "camera_info"})
    only(silent, "camera_info content", Verdict.FAIL, "latched")
