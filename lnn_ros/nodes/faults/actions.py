"""What a row does: each action begins a fault and ends it again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from lnn_ros.nodes.faults.relay import Order
from lnn_ros.nodes.faults.stage import Stage
from lnn_ros.nodes.parameter_rows import Value

_COUNT = 1000
_RATE_HZ = 500.0
_SPINNERS = 4
_SPIN = """
import os, sys, time
try:
    os.nice(-10)
except OSError:
    pass
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
"""
_LATEST_S = 30.0


class Action(Protocol):
    """One fault."""

    def begin(self, stage: Stage) -> float:
        """Inject it; return since when it is, steady s."""

    def end(self, stage: Stage) -> None:
        """Undo it, as far as a person would."""


@dataclass(frozen=True)
class Spoil:
    """A stream comes otherwise than it was measured.

    Attributes
    ----------
    stream, change, value
        As in ``relay.Order``.
    rival : bool
        Whether what is spoiled comes beside the good one, from a second publisher.
    """

    stream: str
    change: str
    value: float = 0.0
    rival: bool = False

    def begin(self, stage: Stage) -> float:
        return stage.relay.order(Order("rival" if self.rival else "apply", self.stream,
                                       self.change, self.value))

    def end(self, stage: Stage) -> None:
        stage.relay.order(Order("lift"))


@dataclass(frozen=True)
class Takeover:
    """A person commands, with a change of what is said."""

    change: str = ""
    value: float = 0.0

    def begin(self, stage: Stage) -> float:
        if self.change:
            stage.relay.order(Order("apply", "takeover", self.change, self.value))
        return stage.relay.order(Order("generate", "deadman takeover"))

    def end(self, stage: Stage) -> None:
        stage.relay.order(Order("generate", "deadman"))
        stage.relay.order(Order("lift"))


@dataclass(frozen=True)
class Send:
    """A signal to a process; at the end it runs again, continued or started anew."""

    process: str
    number: signal.Signals
    at_once: bool = False

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        stage.send(self.process, self.number)
        if self.at_once:
            self._start(stage)
        return began

    def end(self, stage: Stage) -> None:
        if self.number is signal.SIGSTOP:
            stage.send(self.process, signal.SIGCONT)
        elif self.number is not signal.SIGUSR1 and not self.at_once:
            self._start(stage)

    def _start(self, stage: Stage) -> None:
        stage.await_end(self.process)
        stage.start(self.process)


@dataclass(frozen=True)
class Starve:
    """Busy processes on every core, of a higher priority where that is allowed."""

    seconds: float

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        for _ in range(_SPINNERS):
            command = [sys.executable, "-c", _SPIN, str(self.seconds)]
            subprocess.Popen(command)  # nosec B603  # nothing in it comes from outside
        return began

    def end(self, stage: Stage) -> None:
        stage.listen(0.1)


@dataclass(frozen=True)
class Parameters:
    """Parameters that are nonsense, one set after the other; each must be refused."""

    node: str
    sets: tuple[Mapping[str, Value], ...]

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        taken = [values for values in self.sets if stage.operator.set(self.node, values)[0]]
        if taken:
            stage.remark("refused", f"{self.node} took {taken}: expected that they are refused")
        return began

    def end(self, stage: Stage) -> None:
        pass


@dataclass(frozen=True)
class BadStart:
    """The controller ends, and comes back with parameters that are nonsense."""

    parameters: tuple[tuple[str, Value], ...]

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        stage.send("controller", signal.SIGKILL)
        stage.await_end("controller")
        stage.start("controller", **dict(self.parameters))
        return began

    def end(self, stage: Stage) -> None:
        stage.send("controller", signal.SIGKILL)
        stage.await_end("controller")
        stage.start("controller")


@dataclass(frozen=True)
class Garbage:
    """The checkpoint on disk is replaced; with ``reset``, the controller is told to read it."""

    content: bytes
    reset: bool

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        stage.policy.write_bytes(self.content)
        if self.reset and stage.operator.trigger("controller/reset")[0]:
            stage.remark("refused", "~/reset took a checkpoint of garbage: expected that it is "
                         "refused")
        return began

    def end(self, stage: Stage) -> None:
        stage.restore_policy()


@dataclass(frozen=True)
class Burst:
    """Payloads of a hostile publisher: valid messages of hostile values, and no messages."""

    topic: str
    kind: str
    ways: tuple[str, ...] = ("hostile", "broken")

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        for way in self.ways:
            stage.relay.order(Order("burst", self.topic, way, _RATE_HZ, self.kind, _COUNT))
            if not stage.until(lambda: not stage.relay.order(Order("bursting")), _LATEST_S):
                stage.remark("burst", f"{_COUNT} payloads were not sent within {_LATEST_S:g} s")
        return began

    def end(self, stage: Stage) -> None:
        stage.relay.order(Order("lift"))


@dataclass(frozen=True)
class NobodyListens:
    """Nothing subscribes to ``cmd_vel``: not the adapter, the recorder or the judge."""

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        for name in self._listeners(stage):
            stage.send(name, signal.SIGKILL)
        stage.judge.be_deaf(True)
        return began

    def end(self, stage: Stage) -> None:
        stage.judge.be_deaf(False)
        for name in self._listeners(stage):
            stage.start(name)

    def _listeners(self, stage: Stage) -> tuple[str, ...]:
        return tuple(n for n in ("vehicle_adapter", "companion") if n in stage.names)


@dataclass(frozen=True)
class Deactivate:
    """A lifecycle manager deactivates the controller in flight."""

    def begin(self, stage: Stage) -> float:
        began = time.monotonic()
        stage.operator.deactivate("controller")
        return began

    def end(self, stage: Stage) -> None:
        stage.operator.activate("controller")
