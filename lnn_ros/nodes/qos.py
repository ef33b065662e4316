"""Qualities of service, one name for each purpose."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""State that who comes later must see too."""

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Small, slow topics."""


def sensor(depth: int, reliable: bool) -> QoSProfile:
    """Return the quality of a sensor stream: best effort, or reliable in lock-step."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=reliability)


def command(period: float | None) -> QoSProfile:
    """Return the quality that commands are offered with.

    Parameters
    ----------
    period : float or None
        Seconds between commands. A reader may ask for one every third period, and for a sign of
        life of the control loop itself (manual by topic: only a command is one) within ten. None
        in lock-step, where wall time means nothing.
    """
    profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    if period is not None:
        profile.deadline = Duration(seconds=3.0 * period)
        profile.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC
        profile.liveliness_lease_duration = Duration(seconds=10.0 * period)
    return profile
