"""The vehicle adapter: the last hop, which stops the vehicle when nobody commands it any more.

A process of its own, so that it survives the controller in whatever way that ends. It passes
commands on at once, in the form that the vehicle takes, and knows nothing of policies or limits.
There is no life cycle that it could be left out of: it runs from its start.
"""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy (geometry_msgs needs it) is loaded

# isort: split
import math
import time
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from lnn_ros import messages, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints, status, vehicle_state
from lnn_ros.nodes.message_types import message_type
from lnn_ros.nodes.offers import Offers
from lnn_ros.nodes.parameters import Parameters
from lnn_ros.nodes.settings import VehicleAdapterSettings
from lnn_ros.vehicles import UNHEARD, Command, Said, Vehicle
from lnn_ros.vehicles.base import LASTS_S

_ZERO: Command = (0.0, 0.0, 0.0, 0.0)
_LAST_WORD = Duration(seconds=1.0)  # how long to wait until the last zero is acknowledged
_REPORT_S = 1.0
_SAY_S = 0.2  # between two messages on vehicle_state
_SETTLE_S = 0.2  # after a standstill of this process: what had waited meanwhile has come by then
# Only the newest command is worth anything, should several have come at once.
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)


class State(str, Enum):
    """What becomes of commands."""

    WAITING = "waiting"  # none has come yet: nothing is said
    PASSING = "passing"  # they are passed on
    TIMED_OUT = "timed out"  # none has come for too long: the vehicle is stopped
    CONTESTED = "contested"  # more than one publisher: the vehicle is stopped


class Unusable(LnnError):
    """A command that is of no use, with the kind of trouble that is counted."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class VehicleAdapter(Node):
    """Pass commands on to the vehicle; stop it when none comes."""

    def __init__(self) -> None:
        super().__init__("vehicle_adapter")
        self._complaints = Complaints(self.get_logger())
        self._vehicle: Vehicle | None = None
        self._said: Said = UNHEARD
        self._said_on: dict[str, float] = {}
        self._problem = ""
        self._deaf: list[str] = []
        self._settings = VehicleAdapterSettings()
        self._settable = Parameters(self, VehicleAdapterSettings,
                                    lambda: self._vehicle is not None)
        self._state, self._why = State.WAITING, "no command has come yet"
        self._passed = self._stops = 0
        self._stamp_ns, self._heard_at = 0, -math.inf
        self._next_zero_at = self._reported_at = self._said_at = -math.inf
        self._worked_at, self._settled_at = time.monotonic(), -math.inf
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.RELIABLE)

    # Run by lnn_ros.nodes.process

    def start(self) -> None:
        """Open the topics."""
        self._prepare()
        self._report()
        self._worked_at = time.monotonic()

    def work(self) -> float:
        """Do what is due; return how long to wait for commands."""
        now = time.monotonic()
        self._notice_standstill(now)
        if now - self._reported_at >= _REPORT_S:
            self._prepare()
            self._report()
        if self._vehicle is None:
            return _REPORT_S
        self._settings = self._settable.settings()
        self._forget_old(now)
        if self._vehicle.says and now - self._said_at >= _SAY_S:
            self._say_vehicle_state(now)
        if self._is_contested():
            self._stop_vehicle(State.CONTESTED)
        elif self._state is State.CONTESTED:
            self._change(State.TIMED_OUT if self._passed else State.WAITING,
                         "nobody contests the commands any more")
        left = self._heard_at + self._settings.timeout_s - now
        if self._state is State.PASSING:
            if left > 0.0:
                return left
            self._stop_vehicle(State.TIMED_OUT)
        if not self._passed or self._settings.on_timeout == "silence":
            return _REPORT_S
        if now >= self._next_zero_at:
            self._say_zero()
        return max(0.0, self._next_zero_at - now)

    def fail(self, error: Exception) -> None:
        """Stop the vehicle for now; the next usable command is passed on again."""
        self._complaints.counts["errors"] += 1
        if self._passed:
            self._say_zero()

    def stop(self) -> None:
        """Say zero, and see it acknowledged; an adapter that has said nothing yet need not."""
        if not self._passed:
            return
        if self._state is State.PASSING or self._settings.on_timeout == "zero":
            self._say_zero()
        for publisher in self._told.values():
            if not publisher.wait_for_all_acked(_LAST_WORD):
                self.get_logger().warning(
                    f"{publisher.topic_name}: the last zero was not acknowledged within "
                    f"{_LAST_WORD.nanoseconds / 1e9:g} s")

    # Commands

    def _on_command(self, payload: bytes) -> None:
        """Pass a command on, if it is usable; only then does it count as one that has come."""
        try:
            command, stamp_ns = self._read(payload)
            if self._is_contested():
                self._stop_vehicle(State.CONTESTED)
                self._complaints.counts["cmd_vel.contested"] += 1
                return
            # Last of all: this process could have been stopped after it took the command.
            now = time.monotonic()
            self._notice_standstill(now)
            if now < self._settled_at:
                raise Unusable("waited", "commands that came while this process stood still are "
                               "dropped")
            self._tell(command, stamp_ns)
        except Unusable as error:
            self._complaints.report("cmd_vel", error.kind, str(error))
            return
        self._stamp_ns, self._heard_at = stamp_ns, now
        self._passed += 1
        self._complaints.fine("cmd_vel")
        if self._state is not State.PASSING:
            self._change(State.PASSING, "commands come")

    def _read(self, payload: bytes) -> tuple[Command, int]:
        """Return a command and its stamp.

        Raises
        ------
        Unusable
            With the reason.
        """
        try:
            message = deserialize_message(payload, TwistStamped)
        except Exception as error:  # whatever the middleware says of bytes that are no message
            raise Unusable("undecodable", f"{len(payload)} bytes are no TwistStamped "
                           f"({error})") from error
        try:
            stamp_ns = messages.stamp_ns(message)
        except LnnError as error:
            raise Unusable("stamp", str(error)) from error
        frame = message.header.frame_id
        if frame != self._settings.base_frame:
            raise Unusable("frame", f"command is in frame {frame!r}: expected "
                           f"{self._settings.base_frame}")
        linear, angular = message.twist.linear, message.twist.angular
        numbers = linear.x, linear.y, linear.z, angular.x, angular.y, angular.z
        if not all(map(math.isfinite, numbers)):
            raise Unusable("not_finite", f"command is {numbers}: expected finite numbers")
        return (linear.x, linear.y, linear.z, angular.z), stamp_ns

    def _tell(self, command: Command, stamp_ns: int) -> None:
        """Tell the vehicle a command, by what is known of it at this moment."""
        assert self._vehicle is not None
        try:
            self._vehicle.tell(self._messages, command, stamp_ns, self._settings.base_frame,
                               self._said)
        except LnnError as error:
            raise Unusable("untold", str(error)) from error
        told_on = self._vehicle.told_on(self._said)
        for topic, publisher in self._told.items():
            if topic in told_on:
                publisher.publish(self._messages[topic])

    def _say_zero(self) -> None:
        """Say zero, stamped with the time by the clock of the last command."""
        now = time.monotonic()
        self._next_zero_at = now + 1.0 / self._settings.zero_rate_hz
        self._tell(_ZERO, self._stamp_ns + round(1e9 * (now - self._heard_at)))

    def _stop_vehicle(self, state: State) -> None:
        """Stop it because of a state, if that is new."""
        if state is self._state:
            return
        passing, self._state = self._state is State.PASSING, state
        if passing:
            self._say_zero()  # first of all: what follows could fail
            self._stops += 1
        self._change(state, f"no usable command for {self._settings.timeout_s:g} s"
                     if state is State.TIMED_OUT else
                     f"commands are offered by {' and '.join(self._offers.names())}: expected one "
                     f"publisher, the controller; nobody is obeyed until then")

    def _is_contested(self) -> bool:
        return self._settings.exclusive and self._offers.living() > 1

    def _notice_standstill(self, now: float) -> None:
        """Find that this process was stopped or starved: commands that waited are of the past."""
        gap, self._worked_at = now - self._worked_at, now
        if gap > self._settings.timeout_s:
            self._settled_at = now + _SETTLE_S
            self.get_logger().warning(f"this process stood still for {gap:.2f} s")
            if self._state is State.PASSING:
                self._stop_vehicle(State.TIMED_OUT)

    # What the vehicle says

    def _on_said(self, topic: str, message: Any) -> None:
        assert self._vehicle is not None
        before = self._said
        try:
            self._said = self._vehicle.hear(before, topic, message)
        except LnnError as error:
            self._complaints.report(topic, "content", str(error))
            return
        self._said_on[topic] = time.monotonic()
        self._complaints.fine(topic)
        if _state(before) != _state(self._said):
            self._say_vehicle_state(time.monotonic())

    def _forget_old(self, now: float) -> None:
        """Forget what the vehicle has not said again for as long as that counts."""
        assert self._vehicle is not None
        for topic, at in list(self._said_on.items()):
            if now - at > self._vehicle.lasts.get(topic, LASTS_S):
                del self._said_on[topic]
                self._said = self._vehicle.forget(self._said, topic)

    def _say_vehicle_state(self, now: float) -> None:
        """Publish what the vehicle says, as far as it counts."""
        self._said_at = now
        self._vehicle_state.publish(vehicle_state(self.get_name(), *_state(self._said)))

    # Parts

    def _prepare(self) -> None:
        """Open the topics, once parameters and installed messages allow it."""
        if self._vehicle is not None:
            return
        try:
            self._settings = self._settable.settings()
            vehicle = vehicles.make(self._settings.vehicle)
            takes = {topic: message_type(kind) for topic, kind in vehicle.takes.items()}
            self._refuse_loop(vehicle)
        except LnnError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self.get_logger().error(f"nothing is passed on: {error}")
            return
        self._vehicle, self._said, self._problem = vehicle, vehicle.unheard, ""
        self._messages = {topic: kind() for topic, kind in takes.items()}
        self._told = {
            topic: self.create_publisher(kind, vehicle.name(topic, kind), qos.RELIABLE)
            for topic, kind in takes.items()}
        if vehicle.says:
            self._vehicle_state = self.create_publisher(DiagnosticStatus, "vehicle_state",
                                                        qos.RELIABLE)
        for topic in vehicle.says:
            self._listen(vehicle, topic)
        # Raw: bytes that are no message are counted, too.
        self._commands = self.create_subscription(TwistStamped, "cmd_vel", self._on_command,
                                                  _NEWEST, raw=True)
        self._offers = Offers(self, TwistStamped, "cmd_vel")

    def _refuse_loop(self, vehicle: Vehicle) -> None:
        """Raise a sentence where the vehicle would be told what comes as a command."""
        commands = self.resolve_topic_name("cmd_vel")
        for topic in vehicle.takes:
            if self.resolve_topic_name(topic) == commands:
                raise LnnError(f"the vehicle is told on {commands}, on which commands come: "
                               f"expected one of cmd_vel and {topic} to be remapped to another "
                               f"name")

    def _listen(self, vehicle: Vehicle, topic: str) -> None:
        """Hear what the vehicle says on a topic; without its type it stays unknown."""
        try:
            kind = message_type(vehicle.says[topic])
        except LnnError as error:
            self._deaf.append(f"{topic} is not heard: {error}")
            self.get_logger().error(self._deaf[-1])
            return
        heard: Callable[[Any], None] = partial(self._on_said, topic)
        # The newest counts. Best effort matches any offer, but only who asks gets what was kept.
        quality = qos.LATCHED if topic in vehicle.latched else qos.sensor(1, False)
        self.create_subscription(kind, vehicle.name(topic, kind), heard, quality)

    # Seen from outside

    def _change(self, state: State, why: str) -> None:
        self._state, self._why = state, why
        if state in (State.TIMED_OUT, State.CONTESTED):
            self.get_logger().warning(f"{state.value}: {why}")
        else:
            self.get_logger().info(f"{state.value}: {why}")
        self._publish_status()

    def _publish_status(self) -> DiagnosticStatus:
        state, level = self._state, OK
        text = f"{state.value}: {self._why}"
        if self._problem:
            level, text = ERROR, f"nothing is passed on: {self._problem}"
        elif state in (State.TIMED_OUT, State.CONTESTED) or self._deaf:
            level, text = WARN, "; ".join([text, *self._deaf])
        silent = time.monotonic() - self._heard_at
        found = status(f"{self.get_name()}: status", level, text, {
            "state": state.value, "vehicle": self._settings.vehicle, "passed": self._passed,
            "stops": self._stops, "silent_s": round(silent, 3) if self._passed else None,
            "withheld": self._withheld(),
            **self._complaints.counts})
        self._status.publish(found)
        return found

    def _withheld(self) -> str:
        """Name the topics on which the vehicle is not told anything as things stand."""
        if self._vehicle is None:
            return ""
        told_on = self._vehicle.told_on(self._said)
        return " ".join(topic for topic in self._vehicle.takes if topic not in told_on)

    def _report(self) -> None:
        """Publish status and /diagnostics."""
        self._reported_at = time.monotonic()
        message = DiagnosticArray(status=[self._publish_status()])
        messages.set_time(message.header.stamp, time.time_ns())
        self._diagnostics.publish(message)


def _state(said: Said) -> tuple[bool | None, bool | None]:
    """Return what of it concerns everybody."""
    return said.airborne, said.velocity_mode


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.use_dds_profile("robot.xml")
    return process.run(VehicleAdapter, args)


if __name__ == "__main__":
    raise SystemExit(main())
