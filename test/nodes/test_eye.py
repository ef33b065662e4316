"""Cameras of other kinds than the policy's: calibration, field of view, encodings, mounting."""

from __future__ import annotations

import io
import time
from itertools import pairwise

import numpy as np
import pytest
from flight import Flight
from PIL import Image as Picture
from ros import LATCHED, is_zero, pairs
from sensor_msgs.msg import CameraInfo, CompressedImage
from sensors import Sensors, first_frame, info_message

from lnn_ros import messages
from lnn_ros.timeline.samples import digest


class Uncalibrated(Sensors):
    """Sensors of which the camera's calibration is not published."""

    def __init__(self, bench) -> None:
        super().__init__(bench, calibrated=False)


class Compressed(Uncalibrated):
    """A camera of ten times the policy's size, as JPEG, and no raw images."""

    kind, topic = CompressedImage, "image/compressed"

    def image_message(self, at_ns):
        large = first_frame().repeat(10, axis=0).repeat(10, axis=1)
        data = io.BytesIO()
        Picture.fromarray(large).save(data, format="JPEG", quality=90)
        message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=data.getvalue())
        messages.set_time(message.header.stamp, at_ns)
        return message


def frames(flight):
    """Return the digest of each frame that was taken alone between two traces, by stamp."""
    said = [pairs(message.status[0]) for message in flight.trace]
    found = {}
    for before, after in pairwise(said):
        new = after["camera.new"].split()
        if len(new) == 1:
            found[int(new[0])] = (int(after["camera.digest"], 16)
                                  - int(before["camera.digest"], 16)) % 2**64
    return found


def test_image_without_calibration_waits_for_it(bench):
    flight = Flight(bench, Uncalibrated)
    flight.until(lambda: "no usable camera info has come on /camera_info: expected one, or the "
                         "parameter camera.fov_deg" in flight.diagnosed(), "the warning")
    refused = bench.trigger("controller/engage", flight.sensors)
    assert refused.message.startswith("engage refused: ")
    assert "no usable camera info has come on /camera_info" in refused.message
    # Published once, and kept for whoever comes later: another quality than that of every image.
    latched = bench.node.create_publisher(CameraInfo, "camera_info", LATCHED)
    bad = info_message(time.time_ns())
    bad.k[:] = np.zeros(9)
    latched.publish(bad)
    flight.until(lambda: "camera info has K of zeros" in flight.process.log, "the complaint")
    latched.publish(info_message(time.time_ns()))
    flight.until(lambda: int(flight.traced().get("camera.taken", 0)) > 3, "frames")
    assert "camera of 64x48 pixels: sees 100% of what the policy looks at" in flight.process.log
    flight.engage()
    flight.fly()
    # The same camera as the policy's: what it is given is what came, to the byte.
    flight.until(lambda: len(frames(flight)) > 3, "single frames")
    for stamp, found in frames(flight).items():
        assert found == digest(stamp, first_frame())


def test_field_of_view_may_be_a_parameter_and_images_compressed(bench):
    flight = Flight(bench, Compressed, image_transport="compressed", camera__fov_deg=90.0,
                    camera__info=False, engage=True)
    flight.fly()
    assert flight.traced()["mode"] == "engaged"


def test_camera_that_sees_too_little_is_said(bench):
    flight = Flight(bench, Uncalibrated, camera__fov_deg=30.0, engage=True)
    flight.until(lambda: "the camera (64x48 pixels) sees " in flight.process.log, "the complaint")
    flight.until(lambda: flight.diagnosed() == "disengaged; nothing usable arrives on /image",
                 "the warning")
    assert all(map(is_zero, flight.commands))


@pytest.mark.parametrize("turned", [True, False])
def test_mounting_turns_the_imu(bench, turned):
    """A quarter turn about z: what the sensor calls forward is left."""
    angles = {"imu__yaw": np.pi / 2} if turned else {}
    flight = Flight(bench, **angles)
    flight.sensors.reading[:] = (1.0, 0.0, 0.0, 2.0, 0.0, 9.81)
    flight.until(lambda: int(flight.traced().get("imu.taken", 0)) > 50, "samples")
    said = [pairs(message.status[0]) for message in flight.trace]
    expected = np.array((0.0, 1.0, 0.0, 0.0, 2.0, 9.81) if turned
                        else (1.0, 0.0, 0.0, 2.0, 0.0, 9.81))
    first = next(s for s in said if s["imu.new"])
    stamps = [int(stamp) for stamp in first["imu.new"].split()]
    assert int(first["imu.digest"], 16) == sum(digest(t, expected) for t in stamps) % 2**64
