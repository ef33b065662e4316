"""A controller that is fed and watched from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from random_policy import random_policy
from ros import LATCHED, Bench, is_zero, pairs
from sensors import Sensors

ALONE = {"modes__require_airborne": False, "modes__require_velocity_mode": False}
"""There is no vehicle that says anything."""


class Flight:
    """A controller that is fed and watched; by default there is no vehicle behind it."""

    def __init__(self, bench: Bench, sensors: Callable[[Bench], Any] = Sensors,
                 **parameters: object) -> None:
        self.bench = bench
        self.commands = bench.collect(TwistStamped, "cmd_vel")
        self.status = bench.collect(DiagnosticStatus, "controller/status", LATCHED)
        self.diagnostics = bench.collect(DiagnosticArray, "/diagnostics")
        self.trace = bench.collect(DiagnosticArray, "controller/trace")
        self.policy = parameters.pop("policy", None) or random_policy(
            bench.folder / "policy.safetensors")
        self.process = bench.start("controller", policy=self.policy,
                                   **{**ALONE, **parameters})
        self.sensors = sensors(bench)

    def until(self, condition, what):
        """Feed the controller until a condition holds."""
        self.bench.until(condition, what, self.sensors)

    def more(self, count, matching=lambda command: True):
        """Await commands of a kind; return them."""
        start = len(self.commands)
        self.until(lambda: sum(map(matching, self.commands[start:])) >= count,
                   f"{count} such commands")
        return self.commands[start:]

    def engage(self):
        """Await that it is fed, and engage it."""
        asked = time.time_ns()  # a trace from before a reset counts samples that are forgotten

        def fed():
            stamp = self.trace[-1].header.stamp if self.trace else None
            return (stamp is not None and stamp.sec * 10**9 + stamp.nanosec >= asked
                    and int(self.traced().get("camera.taken", 0)) > 0
                    and int(self.traced().get("imu.taken", 0)) > 0)

        self.until(fed, "samples")
        answer = self.bench.trigger("controller/engage", self.sensors)
        assert answer.success, answer.message

    def fly(self):
        """Await that it really commands motion."""
        self.more(5, lambda command: not is_zero(command))

    def stays_zero(self):
        """Tell whether after the last motion ten and more commands were zero, to the present."""
        return all(map(is_zero, self.commands[-10:]))

    def say(self):
        """Return its latest status as key-values."""
        return pairs(self.status[-1]) if self.status else {}

    def traced(self):
        """Return its latest trace as key-values."""
        return pairs(self.trace[-1].status[0]) if self.trace else {}

    def diagnosed(self):
        """Return the sentence of its latest diagnostics."""
        return self.diagnostics[-1].status[0].message if self.diagnostics else ""

    def counted(self):
        """Return its latest diagnostics as key-values."""
        return pairs(self.diagnostics[-1].status[0]) if self.diagnostics else {}
