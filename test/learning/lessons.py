"""Recordings of a rule that can be learnt from the picture alone."""

import numpy as np
from policies_for_tests import HEIGHT, WIDTH

from lnn_ros.learning.dataset import Recording
from lnn_ros.learning.hints import COLUMNS, HINTS


def lesson(seed, count=60):
    """Turn to the brighter side: a rule that can be learnt from the picture alone."""
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], count).astype(np.float32)
    frames = rng.integers(0, 90, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    for k in range(count):
        half = slice(0, WIDTH // 2) if side[k] > 0 else slice(WIDTH // 2, WIDTH)
        frames[k, :, half] += 120
    summaries = np.zeros((count, 9), np.float32)
    summaries[:, 5], summaries[:, 6], summaries[:, 8] = 9.81, 1.0, 0.1
    labels = np.zeros((count, 3, 4), np.float32)
    labels[..., 3], labels[..., 0] = side[:, None], 0.5
    offsets = np.full((count, 3), 0.02, np.float32)
    hints = np.zeros((count, HINTS), np.float32)
    hints[:, 0] = 0.3 * (side > 0)  # something is near in the left-most column: what shines
    hints[:, COLUMNS - 1] = 0.3 * (side < 0)
    return Recording(frames, summaries, offsets, labels, hints, np.zeros(count, np.float32))
