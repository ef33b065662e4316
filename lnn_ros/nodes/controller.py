"""The controller: camera and IMU in, velocity commands out, by a liquid policy."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from numpy.typing import NDArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.timer import Timer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from lnn_ros import messages, policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.guard.modes import Mode, Refusal
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.clocks import Clocks, Source
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints, status
from lnn_ros.nodes.lifecycle import ManagedNode
from lnn_ros.nodes.report import Report
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.nodes.streams import MAX_AGE_S, Arrival, Streams
from lnn_ros.nodes.trace import trace
from lnn_ros.pilot import Pilot

_LAST_WORD = Duration(seconds=1.0)  # how long to wait until the last zero is acknowledged
_WATCH_S = 0.1
_CALM_S = 1.0  # between two status messages that differ only in why zero is commanded
_SOONEST_S = 0.01  # after an image that was answered; one that comes sooner waits for the timer
_ZERO = np.zeros(4)


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
        self._clocks: Clocks | None = None
        self._timer: Timer | None = None
        self._withheld, self._withheld_at = "", 0.0
        self._entities: list[Callable[[], object]] = []
        self._tickers: list[Callable[[], object]] = []
        self._at_ns = 0
        self._settings = ControllerSettings()
        super().__init__("controller", ControllerSettings)
        self._complaints = Complaints(self.get_logger())
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)
        self.add_on_set_parameters_callback(self._on_set)

    # Life cycle

    def configure(self, settings: ControllerSettings) -> None:
        """Load the policy, then open topics and services."""
        self._settings = settings
        pilot = self._pilot = self._load()
        live = None if settings.lockstep else 1.0 / settings.rate_hz
        self._command = self._publisher(TwistStamped, "cmd_vel", qos.command(live))
        self._trace = self._publisher(DiagnosticArray, "~/trace", qos.RELIABLE)
        self._neurons = self._publisher(JointState, "~/neurons", qos.RELIABLE)
        self._diagnostics = self._publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)
        for name, action in (("engage", self._engage), ("disengage", self._disengage),
                             ("reset", self._reset)):
            service = self.create_service(Trigger, f"~/{name}", self._answering(action))
            self._entities.append(partial(self.destroy_service, service))
        self._clocks = Clocks(self, self._source())
        self._entities.append(self._clocks.close)
        wake = self._on_frame if settings.command_on_frame and not settings.lockstep else None
        self._streams = Streams(self, settings, VirtualCamera.from_card(pilot.card), self._clocks,
                                self._complaints, wake)
        self._entities.append(self._streams.close)
        self._about = Report(self.get_name())
        if settings.lockstep:
            # After the sensors: who sees this subscription has been told of theirs already.
            clock = self.create_subscription(Clock, "/clock", self._on_clock, qos.RELIABLE)
            self._entities.append(partial(self.destroy_subscription, clock))
        self._message = TwistStamped()
        self._at_ns = self._resets = 0
        self._answered_at, self._standing = 0.0, False

    def activate(self) -> None:
        """Begin to command."""
        engage = bool(self.get_parameter("engage").value)
        self._enter(Mode.ENGAGED if engage else Mode.DISENGAGED,
                    "engaged by the parameter engage" if engage else "activated")
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        source = self._source()
        if source is not Source.LOCKSTEP:
            assert self._streams is not None
            self._streams.discard()  # what has been waiting since configure is of no use
            # A steady clock does not stand still when the system's clock is set back.
            self._timer = self._ticker(1.0 / self._settings.rate_hz, self._on_timer,
                                       steady if source is Source.SYSTEM else self.get_clock())
        if source is Source.SIMULATED:
            self._ticker(_WATCH_S, self._watch, steady)
        self._ticker(1.0, self._report, steady)

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
            self._timer = None
        self._enter(Mode.DISENGAGED, "deactivated")

    def cleanup(self) -> None:
        """Close everything that configure opened."""
        while self._entities:
            self._entities.pop()()
        self._pilot = self._streams = self._clocks = None

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
        self._mode, self._reason, self._withheld = mode, reason, ""
        self.get_logger().info(f"{mode.value}: {reason}")
        self._publish_status()

    def _engage(self) -> str:
        if not self.active:
            raise Refusal("engage refused: the controller is not active")
        if self._mode is Mode.FAULT:
            raise Refusal(f"engage refused: in fault ({self._reason}), call ~/reset first")
        troubles = self._troubles()
        if troubles:
            raise Refusal(f"engage refused: {'; '.join(troubles)}")
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
        pilot = self._load()
        assert self._streams is not None
        self._streams.aim(VirtualCamera.from_card(pilot.card))
        self._pilot = pilot
        self._begin_anew()
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
        assert self._streams is not None
        assert self._clocks is not None
        arrivals = self._streams.take()
        now = self._clocks.look()
        if now > 0:  # else there has been no /clock yet, and a zero stamp is no time
            self._tick(now, arrivals)

    def _on_frame(self) -> None:
        """Answer an image at once, unless one has just been answered or no time has passed."""
        if not self.active or self._timer is None:
            return
        assert self._clocks is not None
        # Not judged by the last command: the timer's may come just before every image.
        soon = time.monotonic() - self._answered_at < _SOONEST_S
        if not soon and self._clocks.look() > self._at_ns:
            self._answered_at = time.monotonic()
            self._on_timer()
            self._timer.reset()

    def _on_clock(self, message: Clock) -> None:
        now = messages.time_ns(message.clock)
        if not self.active or now <= 0:
            return
        if now == self._at_ns:  # the simulator asks again: what it missed, not something new
            self._command.publish(self._message)
            return
        assert self._streams is not None
        assert self._clocks is not None
        self._clocks.tell(now)
        self._tick(now, self._streams.take())

    def _tick(self, now_ns: int, arrivals: list[Arrival]) -> None:
        """Answer what has arrived with one command."""
        assert self._pilot is not None
        assert self._streams is not None
        assert self._clocks is not None
        began = time.monotonic()
        self._standing = False
        jump_ns = self._clocks.jump()
        if jump_ns:
            self.get_logger().warning(f"time went {'back' if jump_ns < 0 else 'forward'} by "
                                      f"{abs(jump_ns) / 1e9:.3f} s: the pilot begins anew")
            self._begin_anew()
            # What had been sent before time jumped is here by now: let none of it wait for the next
            # tick, which could not tell it from new samples.
            arrivals = arrivals + self._streams.take()
        if self._mode is Mode.FAULT:
            self._at_ns = max(now_ns, self._at_ns)
            self._publish(self._at_ns, _ZERO)
            return
        self._streams.feed(self._pilot, arrivals, now_ns, jumped=jump_ns != 0)
        if self._clocks.source is Source.SIMULATED:
            # Simulated time is told by messages: a sample may have overtaken that of its stamp.
            now_ns = max(now_ns, self._streams.newest_ns())
        at_ns = self._at_ns = max(now_ns, self._at_ns)
        command, withheld = _ZERO, ""
        if self._mode is Mode.ENGAGED:
            command = self._pilot.command(at_ns)
            if self._streams.silent():
                command, withheld = _ZERO, "; ".join(self._streams.troubles(at_ns))
        self._publish(at_ns, command)
        if self._mode is Mode.ENGAGED:
            self._say_withheld("; ".join(self._streams.troubles(at_ns)))
        head = {"mode": self._mode.value, "policy": self._digest, "reset": self._resets,
                "withheld": withheld}
        self._trace.publish(trace(self.get_name(), at_ns, head, self._streams.seen, command))
        self._publish_neurons(at_ns)
        self._about.stepped(time.monotonic() - began)

    def _begin_anew(self) -> None:
        """Forget all samples."""
        assert self._pilot is not None
        assert self._streams is not None
        self._pilot.reset()
        self._streams.forget()
        self._resets += 1
        self._at_ns = 0

    def _watch(self) -> None:
        """Stop the vehicle when simulated time stands still, and with it all that judges ages."""
        assert self._clocks is not None
        if self._mode is Mode.ENGAGED and self._at_ns and self._clocks.standing_s() > MAX_AGE_S:
            if not self._standing:
                self._standing = True
                self._publish(self._at_ns, _ZERO)
            self._say_withheld(f"time stands still: no new /clock for {MAX_AGE_S:g} s")

    def _say_withheld(self, why: str) -> None:
        """Say why zero is commanded instead of what the policy wants: once, and what changes."""
        new = bool(why) != bool(self._withheld)
        if new and why:
            self.get_logger().warning(f"zero is commanded: {why}")
        elif new:
            self.get_logger().info("the policy commands again")
        if new or (why != self._withheld and time.monotonic() - self._withheld_at > _CALM_S):
            self._withheld, self._withheld_at = why, time.monotonic()
            self._publish_status()

    def _say_zero(self) -> None:
        """Command zero now, outside of a tick."""
        assert self._clocks is not None
        self._at_ns = max(self._clocks.look(), self._at_ns)
        if self._at_ns > 0:
            self._publish(self._at_ns, _ZERO)

    def _publish(self, at_ns: int, command: NDArray[np.float64]) -> None:
        messages.fill_command(self._message, command, at_ns, self._settings.base_frame)
        self._command.publish(self._message)

    # Seen from outside

    def _publish_neurons(self, at_ns: int) -> None:
        assert self._pilot is not None
        activity = self._pilot.neurons()
        message = JointState(name=list(activity), position=list(activity.values()))
        messages.set_time(message.header.stamp, at_ns)
        self._neurons.publish(message)

    def _publish_status(self) -> None:
        values = {"mode": self._mode.value, "reason": self._reason, "withheld": self._withheld,
                  "active": str(self.active).lower(), "policy": self._digest,
                  "policy_file": self._settings.policy}
        level, text = OK, f"{self._mode.value}: {self._reason}"
        if self._mode is Mode.FAULT or "failed:" in self._reason:
            level = ERROR
        elif self._withheld:
            level, text = WARN, f"{text}; zero is commanded: {self._withheld}"
        self._status.publish(status(f"{self.get_name()}: status", level, text, values))

    def _report(self) -> None:
        """Publish /diagnostics."""
        assert self._pilot is not None
        assert self._streams is not None
        assert self._clocks is not None
        self._streams.discover()
        level, text, troubles = OK, self._mode.value, self._troubles()
        if self._mode is Mode.FAULT:
            level, text = ERROR, f"fault: {self._reason}"
        elif troubles:
            level, text = WARN, f"{self._mode.value}; {'; '.join(troubles)}"
        head = {"mode": self._mode.value, "policy": self._digest, "resets": self._resets}
        self._diagnostics.publish(self._about.message(self._clocks.look(), level, text, head,
                                                      self._pilot, self._streams,
                                                      self._complaints))

    def _troubles(self) -> list[str]:
        """Say why the policy cannot be flown by what has arrived, if it cannot."""
        assert self._streams is not None
        assert self._clocks is not None
        now = self._clocks.look()
        if now == 0:
            return ["nothing arrives on /clock"]
        if self._clocks.source is Source.SIMULATED and self._clocks.standing_s() > MAX_AGE_S:
            return [f"time stands still: no new /clock for {MAX_AGE_S:g} s"]
        return self._streams.troubles(now)

    # Parts

    def _load(self) -> Pilot:
        """Read the policy that the settings name."""
        return Pilot(load(policies.find(self._settings.policy)),
                     horizon_s=self._settings.horizon_s)

    def _source(self) -> Source:
        """Where time comes from."""
        if self._settings.lockstep:
            return Source.LOCKSTEP
        return Source.SIMULATED if self.get_parameter("use_sim_time").value else Source.SYSTEM

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        """Refuse another clock in mid-flight."""
        for change in changes:
            now = self.get_parameter("use_sim_time").value
            if change.name == "use_sim_time" and change.value != now and self.configured:
                return SetParametersResult(successful=False, reason=f"parameter use_sim_time stays "
                                           f"{now}: it can be set only before configure")
        return SetParametersResult(successful=True)

    def _ticker(self, period_s: float, callback: Callable[[], None], clock: RosClock) -> Timer:
        """Call something regularly while the node is active."""
        timer = self.create_timer(period_s, callback, clock=clock)
        self._tickers.append(partial(self.destroy_timer, timer))
        return timer

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
