"""Camera and IMU of a robot that stands in a forest, published from the test."""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np
from ros import BEST_EFFORT, Bench
from sensor_msgs.msg import CameraInfo, Image, Imu

from lnn_ros import messages
from lnn_ros.simulation.simulator import Simulator
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

HOVER = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 9.81])


@lru_cache(maxsize=1)
def first_frame() -> np.ndarray:
    """Return what the camera sees at the start of a flight."""
    task = Task.load("fly_to_target")
    sim = Simulator(make_world(300_007, task), task=task)
    while True:
        for delivery in sim.advance(sim.time_ns + 50_000_000):
            if delivery.stream == "camera":
                return delivery.value


def image_message(at_ns: int, frame: np.ndarray) -> Image:
    """Return a good image."""
    message = Image()
    messages.fill_image(message, frame, at_ns, "camera")
    return message


def info_message(at_ns: int, width: int = 64, height: int = 48) -> CameraInfo:
    """Return the calibration of a camera that sees 90 degrees across."""
    message = CameraInfo()
    messages.fill_camera_info(message, width, height, width / 2, at_ns, "camera")
    return message


def imu_message(at_ns: int, reading: np.ndarray = HOVER) -> Imu:
    """Return a good IMU sample: by default standing still."""
    message = Imu()
    messages.fill_imu(message, reading, at_ns, "base_link")
    return message


class Sensors:
    """A camera at 20 Hz and an IMU at 200 Hz, stamped with the system's time.

    Call the object often: it publishes what is due. ``lag_ns`` of a stream is how far its clock
    is behind the system's; those in ``silent`` say nothing.
    """

    kind, topic = Image, "image"

    def __init__(self, bench: Bench, calibrated: bool = True) -> None:
        self.lag_ns = {"camera": 0, "imu": 0}
        self.silent: set[str] = set()
        self.reading = HOVER.copy()
        self.info = (bench.publisher(CameraInfo, "camera_info", BEST_EFFORT) if calibrated
                     else None)
        self.image = bench.publisher(self.kind, self.topic, BEST_EFFORT)
        self.imu = bench.publisher(Imu, "imu", BEST_EFFORT)
        first_frame()  # which takes its time
        self._next_image = self._next_imu = time.time_ns()

    def image_message(self, at_ns: int) -> Image:
        """Return what the camera sends."""
        return image_message(at_ns, first_frame())

    def __call__(self) -> None:
        """Publish what is due."""
        now = time.time_ns()
        while self._next_imu <= now:
            if "imu" not in self.silent:
                self.imu.publish(imu_message(self._next_imu - self.lag_ns["imu"], self.reading))
            self._next_imu += 5_000_000
        while self._next_image <= now:
            stamp = self._next_image - self.lag_ns["camera"]
            if "camera" not in self.silent:
                if self.info is not None:
                    self.info.publish(info_message(stamp))
                self.image.publish(self.image_message(stamp))
            self._next_image += 50_000_000
