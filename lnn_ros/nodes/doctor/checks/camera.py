"""The camera: whether its images can be read, and whether it sees what the policy has to see."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.geometry import CameraModel, Mounting, VirtualCamera
from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import Snapshot
from lnn_ros.remap import Rectifier

_DARK = 3.0  # of 255, at the mean
_INFO = "calibrate the camera (camera_calibration), or set camera.info to false and camera.fov_deg"


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge images and calibration."""
    image = None
    heard = seen.listened("image")
    if heard.undecodable:
        yield fail("image content", f"{heard.undecodable} messages could not be decoded",
                   "build publisher and controller against the same version of sensor_msgs")
    if heard.last is not None:
        try:
            image = messages.image_view(heard.last)
            yield _picture(image, heard.first)
        except LnnError as error:
            yield fail("image content", str(error), "let the driver publish one of these, or put "
                       "image_proc between them")
    yield from _info(seen, image)


def _picture(image: NDArray[np.uint8], first: object) -> Finding:
    """Judge the picture itself: a lens cap, or one that never changes."""
    text = f"{image.shape[1]}x{image.shape[0]} pixels"
    if image.mean() < _DARK:
        return warn("image content", f"{text}, all but black", "take the cap off, or give it "
                    "light and a longer exposure")
    try:
        still = first is not None and np.array_equal(image, messages.image_view(first))
    except LnnError:
        still = False
    if still:
        return warn("image content", f"{text}; the first and the last are equal, pixel by pixel",
                    "see whether the driver repeats an old image: a frozen picture with new "
                    "stamps is not noticed in flight")
    return ok("image content", text)


def _info(seen: Snapshot, image: NDArray[np.uint8] | None) -> Iterator[Finding]:
    """Judge the calibration, and what is seen by it."""
    settings, what = seen.settings.camera, "camera geometry"
    model: CameraModel | float | None = None
    heard = seen.listened("camera_info")
    wanted = next((i for i in seen.inputs if i.name == "camera_info"), None)
    if settings.info and heard.last is not None:
        try:
            model = messages.camera_model(heard.last)
        except LnnError as error:
            yield fail("camera_info content", str(error), _INFO)
            return
        yield from _sizes(model, image)
        yield from _same_frame(seen)
    elif settings.info and wanted is not None and seen.topic(wanted.topic).publishers:
        yield fail("camera_info content", f"nothing came on {wanted.topic} in {seen.seconds:g} s",
                   "publish it with every image, or latched (transient local)")
    if model is None and settings.fov_deg:
        model = math.radians(settings.fov_deg)
        if image is not None:
            model = CameraModel.pinhole(image.shape[1], image.shape[0], model)
    if not isinstance(model, CameraModel) or seen.policy.camera is None:
        return
    mounting = Mounting(settings.roll, settings.pitch, settings.yaw)
    try:
        coverage = Rectifier(seen.policy.camera, model, mounting).coverage
    except LnnError as error:
        yield fail(what, str(error), _seen_better(seen.policy.camera, model, mounting))
        return
    yield ok(what, f"{width_deg(model):.0f} degrees wide, sees {coverage or 0.0:.0%} of what the "
             f"policy looks at")


def width_deg(model: CameraModel) -> float:
    """Return the angle across the middle of the image, degrees, without the lens' distortion."""
    focal, centre = model.k[0], model.k[2]
    return math.degrees(math.atan2(centre + 0.5, focal)
                        + math.atan2(model.width - 0.5 - centre, focal))


def _sizes(model: CameraModel, image: NDArray[np.uint8] | None) -> Iterator[Finding]:
    what = "camera_info size"
    if image is None:
        return
    height, width = image.shape[:2]
    if (model.width, model.height) != (width, height):
        yield fail(what, f"{model.width}x{model.height} pixels, the image has {width}x{height}",
                   "publish the calibration of the image as it is sent: after a resize or crop, "
                   "that of the node which does it")
    else:
        yield ok(what, f"{width}x{height} pixels, as the image; distortion {model.distortion} "
                 f"of {len(model.d)} numbers")


def _same_frame(seen: Snapshot) -> Iterator[Finding]:
    image, info = seen.listened("image").frames, seen.listened("camera_info").frames
    if image and info and set(image) != set(info):
        yield warn("camera_info frame", f"{', '.join(info) or 'empty'}, the image's is "
                   f"{', '.join(image) or 'empty'}", "see whether it is the calibration of this "
                   "camera, and remap camera_info if not")


def _seen_better(virtual: VirtualCamera, model: CameraModel, mounting: Mounting) -> str:
    """Say whether another mounting, or only another lens, would help."""
    level = Mounting(pitch=virtual.tilt)
    if mounting != level:
        try:
            Rectifier(virtual, model, level)
        except LnnError:
            pass
        else:
            return (f"check camera.roll, camera.pitch and camera.yaw: with 0, {virtual.tilt:g} and "
                    f"0 it would see enough; or turn the camera forward")
    return (f"use a lens that sees {math.degrees(virtual.horizontal_fov):.0f} degrees across, or "
            f"check K in camera_info: it says {width_deg(model):.0f}")
