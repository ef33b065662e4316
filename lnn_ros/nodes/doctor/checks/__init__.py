"""The rooms of checks, in the order in which their findings are told.

Each is a function from a ``Snapshot`` to findings, without ROS, a clock or a memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lnn_ros.nodes.doctor.checks import (
    camera,
    controller,
    frames,
    imu,
    stamps,
    system,
    timing,
    topics,
    vehicle,
)
from lnn_ros.nodes.doctor.findings import Finding
from lnn_ros.nodes.doctor.snapshot import Snapshot

ROOMS: tuple[Callable[[Snapshot], Iterable[Finding]], ...] = (
    system.check, topics.check, timing.check, stamps.check, frames.check, camera.check, imu.check,
    vehicle.check, controller.check)
"""Whoever adds a room adds it here."""


def judge(snapshot: Snapshot) -> list[Finding]:
    """Return everything that is found of a snapshot."""
    if snapshot.system.problem:
        return list(system.check(snapshot))
    return [finding for check in ROOMS for finding in check(snapshot)]
