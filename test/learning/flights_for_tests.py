"""Files of recorded flights, small and made up."""

import json

import numpy as np
from policies_for_tests import HEIGHT, WIDTH

from lnn_ros.learning.hints import COLUMNS, HINTS

MS = 1_000_000
START = 1_000 * MS


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


def write(file, data, seed=0, sided=False):
    """Write a flight's file."""
    meta = json.dumps({"episode": {"seed": seed}, "outcome": "arrived", "sided": sided})
    np.savez(file, meta=np.array(meta), **data)
    return file
