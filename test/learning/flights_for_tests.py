"""Bags of recorded flights, small and made up."""

import json

import numpy as np
from policies_for_tests import HEIGHT, WIDTH

from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.flight_writer import COMMAND, HINT, IMAGE, IMU, LABEL, Note, write_flight
from lnn_ros.learning.hints import COLUMNS, HINTS

MS = 1_000_000
START = 1_000 * MS
CAMERA = VirtualCamera(WIDTH, HEIGHT, 1.5)
"""That of the small policies."""


def arrays(seed=0, seconds=3.0, frame_ms=(30, 90), imu_ms=5, label_ms=33):
    """Frames at irregular times, IMU and labels at regular ones, numbers at random."""
    rng = np.random.default_rng(seed)
    end = START + round(1e9 * seconds)
    stamps = START + np.cumsum(rng.integers(*frame_ms, 200)) * MS
    stamps = stamps[stamps < end]
    imu = np.arange(START, end, imu_ms * MS)
    labels = np.arange(START, end, label_ms * MS) + 1234
    return {
        "frame_stamps": stamps,
        "frames": rng.integers(0, 256, (len(stamps), HEIGHT, WIDTH, 3), dtype=np.uint8),
        "hints": np.zeros((len(stamps), HINTS), np.float32),
        "imu_stamps": imu,
        "imu": rng.normal((0, 0, 0, 0, 0, 9.81), 0.5, (len(imu), 6)).astype(np.float32),
        "label_stamps": labels,
        "labels": rng.normal(0, 0.5, (len(labels), 4)).astype(np.float32),
    }


def with_target(data, cosines, sines, visible):
    """Set the target's direction, and whether it is in view, frame by frame."""
    data["hints"][:, COLUMNS] = visible
    data["hints"][:, COLUMNS + 1] = cosines
    data["hints"][:, COLUMNS + 2] = sines
    return data


def heard(data, late_ms=10):
    """What came when: everything as long after its stamp, labels at once."""
    out = []
    for topic, stamps, values, wait in (
        (IMAGE, "frame_stamps", "frames", late_ms), (HINT, "frame_stamps", "hints", late_ms),
        (IMU, "imu_stamps", "imu", late_ms), (LABEL, "label_stamps", "labels", 0),
        (COMMAND, "label_stamps", "labels", 0),
    ):  # fmt: skip
        rows = zip(data[stamps].tolist(), data[values], strict=False)
        out += [Note(stamp + wait * MS, topic, stamp, value) for stamp, value in rows]
    return out


def write(bag, data, seed=0, sided=False, camera=CAMERA, **about):
    """Write a flight's bag; return it."""
    said = {"episode": json.dumps({"seed": seed}), "outcome": "arrived",
            "sided": json.dumps(sided), **about}  # fmt: skip
    write_flight(bag, heard(data), camera, said)
    return bag
