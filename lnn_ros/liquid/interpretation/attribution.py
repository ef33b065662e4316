"""How much of a command comes from the camera, the IMU, the elapsed time and from memory.

A command is a function of four sources, ``SOURCES``. Each can be replaced by a baseline that says
nothing: a mean frame of ordinary age, an IMU at rest, an interval of ordinary length, the state
before anything was seen.
The Shapley value of a source is what it changes when it takes the place of its baseline, averaged
over all orders in which the sources may do so: with four, 16 evaluations give it exactly. The four
values sum to the command minus the command of all baselines, a source that changes nothing has
zero, and two that do the same have the same. Sources: Shapley, "A value for n-person games", 1953;
Strumbelj and Kononenko, "An efficient explanation of individual classifications using game theory",
Journal of Machine Learning Research 11 (2010).

The camera is what the frame shows and how long ago the one before was taken; the IMU all that is
computed from it: rotation, direction against gravity, mean rate and force, coverage and age. Memory
stands for everything that was seen before the last interval; the elapsed time for the length of
that interval, wherever it enters. Whether a frame closes the interval is the question, not part of
the answer: where there is none, none takes its place, and the camera's part is that of its age.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.interpretation.history import Floats, History, Network
from lnn_ros.liquid.interpretation.saliency import AFTER_S
from lnn_ros.liquid.spec import CAMERA_PRESENT, SUMMARY

SOURCES = ("camera", "imu", "elapsed_time", "memory")
GRAVITY = 9.81
_DT, _CAMERA_AGE = SUMMARY.index("dt"), SUMMARY.index("camera_age")
_IMU = [i for i in range(len(SUMMARY)) if i not in (_DT, _CAMERA_AGE, CAMERA_PRESENT)]


@dataclass(frozen=True)
class Baselines:
    """What stands for having observed nothing in particular.

    Attributes
    ----------
    frame : ndarray, shape (H, W, C)
        Such as the mean of many frames, 0 to 255.
    summary : ndarray, shape (len(SUMMARY),)
        ``spec.SUMMARY``; its ``camera_present`` is not used.
    """

    frame: Floats
    summary: Floats

    @staticmethod
    def ordinary(frames: NDArray[np.uint8], summaries: NDArray[np.floating[Any]]) -> Baselines:
        """Mean of frames (M, H, W, C), median times of intervals, an IMU at rest that is fresh.

        ``summaries`` (K, len(SUMMARY)) are those of the intervals, with and without frames.
        """
        summary = np.zeros(len(SUMMARY))
        summary[SUMMARY.index("up_z")] = 1.0
        summary[SUMMARY.index("specific_force_z")] = GRAVITY
        summary[SUMMARY.index("imu_coverage")] = 1.0
        for time in (_DT, _CAMERA_AGE):
            summary[time] = float(np.median(summaries[:, time]))
        return Baselines(frames.mean(0), summary)


def shapley(
    network: Network, history: History, baselines: Baselines, after: float = AFTER_S
) -> Floats:
    """Attribute the commands after all intervals to their sources.

    Parameters
    ----------
    network : Network
    history : History
        Of ``network`` over recorded intervals.
    baselines : Baselines
    after : float
        Seconds from the interval's end to the command; what the vehicle does meanwhile belongs to
        the IMU (``history.going_on``).

    Returns
    -------
    ndarray, shape (K, len(SOURCES), 4)
        m/s and rad/s. Summed over the sources: ``command - command of all baselines``, both
        inside the head's limits.
    """
    shape = network.spec.encoder.frame_shape
    if baselines.frame.shape != shape or baselines.summary.shape != (len(SUMMARY),):
        raise LnnError(
            f"attribution: baselines of shapes {baselines.frame.shape} and "
            f"{baselines.summary.shape} found, expected {shape} and ({len(SUMMARY)},)"
        )
    count = len(history.dt)
    blank = network.encode(baselines.frame[None])[0]
    rested, nothing = baselines.summary, network.spec.core.initial_state()
    values = {}
    for present in itertools.product((False, True), repeat=len(SOURCES)):
        camera, imu, elapsed, memory = present
        summary = history.summaries.copy()
        for there, numbers in ((camera, _CAMERA_AGE), (imu, _IMU), (elapsed, _DT)):
            if not there:
                summary[:, numbers] = rested[numbers]
        dt = summary[:, _DT]
        state = network.step(
            history.before if memory else np.broadcast_to(nothing, history.before.shape),
            dt[:, None],
            history.features if camera else np.broadcast_to(blank, history.features.shape),
            summary,
        )
        values[present] = network.read(state, summary, after)
    n = len(SOURCES)
    out = np.zeros((count, n, 4))
    for i in range(n):
        for present, value in values.items():
            if present[i]:
                absent = (*present[:i], False, *present[i + 1 :])
                others = sum(absent)
                share = math.factorial(others) * math.factorial(n - 1 - others) / math.factorial(n)
                out[:, i] += share * (value - values[absent])
    return out
