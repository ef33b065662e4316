"""Everything that the controller says: commands, and what explains them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from lnn_ros import messages, trace
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.modes import Mode
from lnn_ros.nodes import cdr, qos
from lnn_ros.nodes.diagnostics import status
from lnn_ros.nodes.parameter_rows import Value
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.pilot import Pilot
from lnn_ros.trace import Seen

ZERO = np.zeros(4)
ZERO.setflags(write=False)
_LAST_WORD = Duration(seconds=1.0)  # how long to wait until the last zero is acknowledged
_RETELL_S = 1.0  # between two traces with all settings: a recording may begin at any time


class Voice:
    """The controller's publishers while it is configured.

    ``command`` and ``zero`` may be called by several threads: the stamps on the wire never go back.

    Parameters
    ----------
    node : Node
        Who speaks.
    settings : ControllerSettings
        At configure.

    Attributes
    ----------
    hushed : bool
        Whether nothing but zero is said, because another thread has spoken for a loop that hung.
    """

    def __init__(self, node: Node, settings: ControllerSettings) -> None:
        self._node, self._frame = node, settings.base_frame
        self._trace_name = f"{node.get_name()}: trace"
        self._close: list[Callable[[], object]] = []
        live = None if settings.lockstep else 1.0 / settings.rate_hz
        self._command = self._publisher(TwistStamped, "cmd_vel", qos.command(live))
        self._trace = self._publisher(DiagnosticArray, "~/trace", qos.RELIABLE)
        self._neurons = self._publisher(JointState, "~/neurons", qos.RELIABLE)
        self._diagnostics = self._publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        self._payload = cdr.twist_stamped(0, self._frame, ZERO)
        self._lock = threading.Lock()
        self.hushed = False
        self._at_ns = 0
        self._settings, self._told_at = "", -np.inf

    def close(self) -> None:
        """Say no more."""
        while self._close:
            self._close.pop()()

    # Commands

    def command(self, at_ns: int, command: NDArray[np.float64]) -> bool:
        """Publish a command for an instant, or for that of the last one if it is earlier.

        Returns
        -------
        bool
            Whether it was: while hushed, zero is published in its place. What a loop that hung had
            begun to compute must not follow the zeros that were said for it.
        """
        with self._lock:
            said = not self.hushed
            self._publish(at_ns, command if said else ZERO)
        return said

    def zero(self, at_ns: int) -> int:
        """Command zero, if it is known what time it is; return the instant that it is stamped with.

        That of the last command, if ``at_ns`` is earlier.
        """
        with self._lock:
            if max(at_ns, self._at_ns) > 0:
                self._publish(at_ns, ZERO)
            return self._at_ns

    def hush(self, at_ns: int) -> None:
        """Command zero for a loop that hangs; nothing else is said until ``hushed`` is false."""
        with self._lock:
            self.hushed = True
        self.zero(at_ns)

    def repeat(self) -> None:
        """Publish the last command once more."""
        with self._lock:
            self._command.publish(self._payload)

    def begin_anew(self) -> None:
        """Let stamps go back: time has."""
        with self._lock:
            self._at_ns = 0

    def heard(self) -> bool:
        """Await that every reader has the last command; say so in the log if one has not."""
        if self._command.wait_for_all_acked(_LAST_WORD):
            return True
        self._node.get_logger().warning(
            f"{self._command.topic_name}: the last zero was not acknowledged within "
            f"{_LAST_WORD.nanoseconds / 1e9:g} s")
        return False

    # What explains them

    def settle(self, values: Mapping[str, Value]) -> None:
        """Take the parameters that count from now on."""
        self._settings, self._told_at = json.dumps(values), -np.inf

    def explain(self, at_ns: int, head: Mapping[str, object], seen: Mapping[str, Seen],
                wish: NDArray[np.float64] | None, guard: Guard,
                command: NDArray[np.float64]) -> None:
        """Publish the trace of a command."""
        values = trace.values(at_ns, head, seen, wish, guard, command)
        now = time.monotonic()
        if now - self._told_at > _RETELL_S:
            self._told_at = now
            values["settings"] = self._settings
        self._trace.publish(cdr.diagnostic_array(at_ns, self._trace_name, values))

    def neurons(self, at_ns: int, pilot: Pilot) -> None:
        """Publish the activity of every neuron, if anybody listens."""
        if not self._neurons.get_subscription_count():
            return
        activity = pilot.neurons()
        message = JointState(name=list(activity), position=list(activity.values()))
        messages.set_time(message.header.stamp, at_ns)
        self._neurons.publish(message)

    def diagnose(self, message: DiagnosticArray) -> None:
        """Publish /diagnostics."""
        self._diagnostics.publish(message)

    def _publish(self, at_ns: int, command: NDArray[np.float64]) -> None:
        self._at_ns = max(at_ns, self._at_ns)
        self._payload = cdr.twist_stamped(self._at_ns, self._frame, command.tolist())
        self._command.publish(self._payload)

    def _publisher(self, kind: type[Any], topic: str, quality: QoSProfile) -> Any:
        # Every event callback makes every wake-up of the executor dearer: only commands have one.
        events = PublisherEventCallbacks(use_default_callbacks=kind is TwistStamped)
        publisher = self._node.create_publisher(kind, topic, quality, event_callbacks=events)
        self._close.append(partial(self._node.destroy_publisher, publisher))
        return publisher


class StatusSpeaker:
    """``~/status``: said when anything of it changes; its troubles alone, calmly.

    It outlives ``Voice``: an unconfigured node has a status, too.

    Parameters
    ----------
    node : Node
        Who speaks.
    """

    _CALM_S = 1.0  # between two messages that differ only in the troubles

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)
        self._said: tuple[object, ...] = ()
        self._troubles, self._said_at = "", -np.inf

    def say(self, mode: Mode, reason: str, troubles: list[str], level: bytes,
            about: Mapping[str, object], now: bool = False) -> None:
        """Publish it if it is worth it.

        Parameters
        ----------
        mode, reason
            Of the guard.
        troubles : list of str
            Why the policy cannot fly as things stand.
        level : bytes
            OK, WARN or ERROR.
        about : mapping of str to object
            More key-values.
        now : bool
            Publish in any case.
        """
        text = "; ".join(troubles)
        known = (mode.value, reason, dict(about))
        new = known != self._said or bool(text) != bool(self._troubles)
        changed = text != self._troubles and time.monotonic() - self._said_at > self._CALM_S
        if not (now or new or changed):
            return
        self._said, self._troubles, self._said_at = known, text, time.monotonic()
        sentence = f"{mode.value}: {reason}" + (f"; {text}" if text else "")
        values = {"mode": mode.value, "reason": reason, "troubles": text, **about}
        self._publisher.publish(
            status(f"{self._node.get_name()}: status", level, sentence, values))
