"""The controller: camera and IMU in, velocity commands out, by a liquid policy."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from lnn_ros import messages, policies
from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints, status
from lnn_ros.nodes.lifecycle import ManagedNode
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.nodes.streams import Rates, Streams
from lnn_ros.pilot import Pilot

_LAST_WORD = Duration(seconds=1.0)  # how long to wait until the last zero is acknowledged
_ZERO = np.zeros(4)


class Refusal(LnnError):
    """A request that cannot be granted as things stand, which is no fault."""


class Mode(str, Enum):
    """Who decides what is commanded."""

    DISENGAGED = "disengaged"  # zeros
    ENGAGED = "engaged"  # the policy, through the guard
    FAULT = "fault"  # zeros, until a person resets


class Controller(ManagedNode[ControllerSettings]):
    """Fly by a policy.

    It commands zeros unless engaged. Every way out of the active state, and every exception, ends
    in a zero command that is last on the wire.
    """

    def __init__(self) -> None:
        self._mode = Mode.DISENGAGED
        self._reason = "not yet active"
        self._pilot: Pilot | None = None
        self._streams: Streams | None = None
        self._entities: list[Callable[[], object]] = []
        self._tickers: list[Callable[[], object]] = []
        self._at_ns = 0
        self._settings = ControllerSettings()
        super().__init__("controller", ControllerSettings)
        self._complaints = Complaints(self.get_logger())
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)

    # Life cycle

    def configure(self, settings: ControllerSettings) -> None:
        """Load the policy, then open topics and services."""
        self._settings = settings
        self._pilot = self._load()
        live = None if settings.lockstep else 1.0 / settings.rate_hz
        self._command = self._publisher(TwistStamped, "cmd_vel", qos.command(live))
        self._trace = self._publisher(DiagnosticArray, "~/trace", qos.RELIABLE)
        self._neurons = self._publisher(JointState, "~/neurons", qos.RELIABLE)
        self._diagnostics = self._publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        for name, action in (("engage", self._engage), ("disengage", self._disengage),
                             ("reset", self._reset)):
            service = self.create_service(Trigger, f"~/{name}", self._answering(action))
            self._entities.append(partial(self.destroy_service, service))
        self._streams = Streams(self, settings.lockstep, self._complaints)
        self._entities.append(self._streams.close)
        self._rates, self._taken = Rates(), Rates()
        if settings.lockstep:
            # After the sensors: who sees this subscription has been told of theirs already.
            clock = self.create_subscription(Clock, "/clock", self._on_clock, qos.RELIABLE)
            self._entities.append(partial(self.destroy_subscription, clock))
        self._message = TwistStamped()
        self._at_ns = 0
        self._ticks, self._step_s, self._slowest_s = 0, 0.0, 0.0

    def activate(self) -> None:
        """Begin to command."""
        engage = bool(self.get_parameter("engage").value)
        self._enter(Mode.ENGAGED if engage else Mode.DISENGAGED,
                    "engaged by the parameter engage" if engage else "activated")
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        if not self._settings.lockstep:
            # A steady clock does not stand still when the system's clock is set back.
            simulated = self.get_parameter("use_sim_time").value
            timer = self.create_timer(1.0 / self._settings.rate_hz, self._on_timer,
                                      clock=self.get_clock() if simulated else steady)
            self._tickers.append(partial(self.destroy_timer, timer))
        report = self.create_timer(1.0, self._report, clock=steady)
        self._tickers.append(partial(self.destroy_timer, report))

    def deactivate(self) -> None:
        """Say zero, and see it acknowledged."""
        self._mode = Mode.DISENGAGED
        try:
            self._say_zero()  # first of all: what follows could fail as well
            if not self._command.wait_for_all_acked(_LAST_WORD):
                self.get_logger().warning(
                    f"{self._command.topic_name}: the last zero was not acknowledged within "
                    f"{_LAST_WORD.nanoseconds / 1e9:g} s")
        finally:
            while self._tickers:
                self._tickers.pop()()
        self._enter(Mode.DISENGAGED, "deactivated")

    def cleanup(self) -> None:
        """Close everything that configure opened."""
        while self._entities:
            self._entities.pop()()
        self._pilot = self._streams = None

    def changed(self, problem: str) -> None:
        """Say where the node stands."""
        if problem or not self.active:
            self._reason = problem or ("configured" if self.configured else "not yet configured")
        self._publish_status()

    def fail(self, error: Exception) -> None:
        """Go to fault: zeros until a person resets."""
        if self.active and self._mode is not Mode.FAULT:
            self._mode = Mode.FAULT
            try:
                self._say_zero()  # first of all: what follows could fail as well
            finally:
                self._reason = (str(error) if isinstance(error, LnnError)
                                else f"{type(error).__name__}: {error}")
                self.get_logger().error(f"fault: {self._reason}")
                self._publish_status()

    # Modes

    def _enter(self, mode: Mode, reason: str) -> None:
        self._mode, self._reason = mode, reason
        self.get_logger().info(f"{mode.value}: {reason}")
        self._publish_status()

    def _engage(self) -> str:
        if not self.active:
            raise Refusal("engage refused: the controller is not active")
        if self._mode is Mode.FAULT:
            raise Refusal(f"engage refused: in fault ({self._reason}), call ~/reset first")
        self._enter(Mode.ENGAGED, "engaged by service")
        return "engaged"

    def _disengage(self) -> str:
        if self._mode is Mode.FAULT:
            raise Refusal(f"disengage refused: in fault ({self._reason}), which commands zeros")
        self._enter(Mode.DISENGAGED, "disengaged by service")
        if self.active:
            self._say_zero()
        return "disengaged"

    def _reset(self) -> str:
        """Begin anew with the policy as it is on disk: nothing of the old pilot is trusted."""
        if self.active:
            self._enter(Mode.DISENGAGED, "reset by service")
            self._say_zero()
        self._pilot = self._load()
        return "reset; call ~/engage to fly"

    def _answering(self, action: Callable[[], str]) -> Callable[..., Trigger.Response]:
        """Make a service callback: a refusal is an answer, anything else is a fault as well."""
        def callback(_request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = action()
                response.success = True
            except Refusal as error:
                response.message = str(error)
                self.get_logger().warning(response.message)
            except Exception as error:
                response.message = str(error)
                self.get_logger().error(response.message)
                self.fail(error)
            return response
        return callback

    # Commands

    def _on_timer(self) -> None:
        now = self.get_clock().now().nanoseconds
        if now > 0:  # else there has been no /clock yet, and a zero stamp is no time
            self._tick(now)

    def _on_clock(self, message: Clock) -> None:
        now = messages.time_ns(message.clock)
        if not self.active or now <= 0:
            return
        if now == self._at_ns:  # the simulator asks again: what it missed, not something new
            self._command.publish(self._message)
        else:
            self._tick(now)

    def _tick(self, now_ns: int) -> None:
        """Take what has arrived and answer with one command."""
        assert self._pilot is not None
        assert self._streams is not None
        began = time.perf_counter()
        if now_ns < self._at_ns:
            self.get_logger().warning(f"time went back by {(self._at_ns - now_ns) / 1e9:.3f} s: "
                                      f"the pilot begins anew")
            self._pilot.reset()
        self._at_ns = now_ns
        if self._mode is Mode.FAULT:
            self._publish(now_ns, _ZERO)
            self._streams.discard()
            return
        self._streams.feed(self._pilot, now_ns)
        engaged = self._mode is Mode.ENGAGED
        self._publish(now_ns, self._pilot.command(now_ns) if engaged else _ZERO)
        self._publish_trace(now_ns)
        self._publish_neurons(now_ns)
        elapsed = time.perf_counter() - began
        self._ticks += 1
        self._step_s += elapsed
        self._slowest_s = max(self._slowest_s, elapsed)

    def _say_zero(self) -> None:
        """Command zero now, outside of a tick."""
        now = self._at_ns if self._settings.lockstep else self.get_clock().now().nanoseconds
        if now > 0:
            self._publish(now, _ZERO)

    def _publish(self, at_ns: int, command: NDArray[np.float64]) -> None:
        messages.fill_command(self._message, command, at_ns, self._settings.base_frame)
        self._command.publish(self._message)

    # Seen from outside

    def _publish_trace(self, at_ns: int) -> None:
        assert self._pilot is not None
        assert self._streams is not None
        values: dict[str, object] = {"mode": self._mode.value, "policy": self._digest}
        ages = self._pilot.age(at_ns)
        for stream, seen in self._streams.seen.items():
            values[f"{stream}.taken"] = seen.taken
            values[f"{stream}.stamp_ns"] = seen.stamp_ns
            values[f"{stream}.digest"] = f"{seen.digest:08x}"
            values[f"{stream}.age_s"] = ages.get(stream)
        message = DiagnosticArray(status=[status(f"{self.get_name()}: trace", OK, "", values)])
        messages.set_time(message.header.stamp, at_ns)
        self._trace.publish(message)

    def _publish_neurons(self, at_ns: int) -> None:
        assert self._pilot is not None
        activity = self._pilot.neurons()
        message = JointState(name=list(activity), position=list(activity.values()))
        messages.set_time(message.header.stamp, at_ns)
        self._neurons.publish(message)

    def _publish_status(self) -> None:
        values = {"mode": self._mode.value, "reason": self._reason,
                  "active": str(self.active).lower(), "policy": self._digest,
                  "policy_file": self._settings.policy}
        level = ERROR if self._mode is Mode.FAULT or "failed:" in self._reason else OK
        self._status.publish(status(f"{self.get_name()}: status", level,
                                    f"{self._mode.value}: {self._reason}", values))

    def _report(self) -> None:
        """Publish /diagnostics."""
        assert self._pilot is not None
        assert self._streams is not None
        now = self.get_clock().now()
        values: dict[str, object] = {"mode": self._mode.value, "policy": self._digest}
        rates = self._rates.look(self._streams.received)
        taken = self._taken.look(Counter({s: seen.taken for s, seen in self._streams.seen.items()}))
        ages = self._pilot.age(now.nanoseconds)
        for stream in self._streams.seen:
            values[f"{stream}.rate_hz"] = round(rates.get(stream, 0.0), 1)
            values[f"{stream}.age_s"] = ages.get(stream)
        values.update(self._pilot.counts())
        values.update(self._complaints.counts)
        values["ticks"] = self._ticks
        values["step_mean_ms"] = 1e3 * self._step_s / max(self._ticks, 1)
        values["step_max_ms"] = 1e3 * self._slowest_s
        level, text = OK, self._mode.value
        missing = [f"nothing {'usable ' if rates.get(s) else ''}arrives on {topic}"
                   for s, topic in self._streams.topics.items() if not taken.get(s)]
        if self._mode is Mode.FAULT:
            level, text = ERROR, f"fault: {self._reason}"
        elif missing:
            level, text = WARN, f"{self._mode.value}; {', '.join(missing)}"
        message = DiagnosticArray(status=[status(f"{self.get_name()}: control", level, text,
                                                 values)])
        message.header.stamp = now.to_msg()
        self._diagnostics.publish(message)

    # Parts

    def _load(self) -> Pilot:
        """Read the policy that the settings name."""
        name = self._settings.policy
        path = (Path(name).expanduser() if "/" in name or name.endswith(".safetensors")
                else policies.path(name))
        pilot = Pilot.load(path)
        if pilot.frame_shape[2] != 3:
            raise LnnError(f"policy {path} takes images of {pilot.frame_shape[2]} channels: "
                           f"expected 3 (red, green, blue)")
        return pilot

    @property
    def _digest(self) -> str:
        """What names the policy that flies, whatever its file is called."""
        return str(self._pilot.card["weights_sha256"])[:16] if self._pilot else "none"

    def _publisher(self, kind: type[Any], topic: str, quality: QoSProfile) -> Any:
        # Every event callback makes every wake-up of the executor dearer: only commands have one.
        events = PublisherEventCallbacks(use_default_callbacks=kind is TwistStamped)
        publisher = self.create_publisher(kind, topic, quality, event_callbacks=events)
        self._entities.append(partial(self.destroy_publisher, publisher))
        return publisher


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.use_dds_profile("robot.xml")
    return process.run(Controller, args)


if __name__ == "__main__":
    raise SystemExit(main())
