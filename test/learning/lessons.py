"""Recordings of a rule that can be learnt from the picture alone."""

import numpy as np
from policies_for_tests import HEIGHT, WIDTH

from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.hints import COLUMNS, HINTS
from lnn_ros.learning.sequences import READS, STEPS
from lnn_ros.liquid.spec import SUMMARY


def lesson(seed, count=60):
    """Turn to the brighter side: a rule that can be learnt from the picture alone."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], count).astype(np.float32)
    frames = rng.integers(0, 90, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for k in range(count):
        half = slice(0, WIDTH // 2) if side[k] > 0 else slice(WIDTH // 2, WIDTH)
        frames[k, :, half] += 120
    summaries = np.zeros((count, len(SUMMARY)), np.float32)
    for name, value in (("specific_force_z", 9.81), ("imu_coverage", 1), ("dt", 0.1)):
        summaries[:, SUMMARY.index(name)] = value
    summaries[:, SUMMARY.index("camera_present")] = 1
    reads = np.zeros((count, READS, STEPS, len(SUMMARY)), np.float32)
    reads[:, :, 0] = summaries[:, None]
    reads[:, :, 0, SUMMARY.index("camera_present")] = 0
    reads[..., 0, SUMMARY.index("dt")] = 0.02
    taken = np.zeros((count, READS, STEPS), bool)
    taken[..., 0] = True
    labels = np.zeros((count, READS, 4), np.float32)
    labels[..., 3], labels[..., 0] = side[:, None], 0.5
    hints = np.zeros((count, HINTS), np.float32)
    hints[:, 0] = 0.3 * (side > 0)  # something is near in the left-most column: what shines
    hints[:, COLUMNS - 1] = 0.3 * (side < 0)
    where = np.arange(count, dtype=np.int32)
    weights = np.ones((count, READS), np.float32)
    return Recording(frames, where, summaries, reads, taken, labels, weights, hints)
