"""The embedded simulator as a node: its sensors, its clock and its vehicle on ROS topics."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import time
from collections.abc import Sequence
from enum import Enum

import numpy as np
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from std_srvs.srv import SetBool, Trigger

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import Complaints
from lnn_ros.nodes.parameters import Parameters
from lnn_ros.nodes.settings import SimulatorSettings, TimingSettings
from lnn_ros.nodes.simulated_vehicle import STATE_S, SimulatedVehicle
from lnn_ros.simulation.fleet import Fleet
from lnn_ros.simulation.sensors import START_NS, StreamTiming
from lnn_ros.simulation.simulator import CONTROL_PERIOD_NS, SimulatorOptions
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

_STEP_NS = 5_000_000  # time simulated at once when not in lock-step: the IMU's period
_STATUS_S = 0.2
_ASK_AGAIN_S = 0.25  # after which an unanswered /clock is published again
_PATIENCE_S = 5.0  # after which the wait for an answer is complained about
_FALL_BEHIND_S = 0.5  # lag behind the wanted real-time factor that is given up


class _Phase(Enum):
    """How far lock-step has come with the present instant."""

    PUBLISHED = "published"  # its samples are on their way
    ASKED = "asked"  # all subscribers have them, /clock says what time it is


class SimulatorNode(Node):
    """Simulate one flight after another, of one vehicle or of several in the same world.

    Live, simulated time follows the steady clock times the real-time factor. In lock-step, it goes
    from one control instant t to the next: publish the samples up to t, wait until every
    subscriber has acknowledged them, publish /clock = t, wait for a ``cmd_vel`` stamped t or later
    for every vehicle. So a controller has all samples up to t when it learns that it is t, and the
    flight does not depend on how fast anything runs.
    """

    def __init__(self) -> None:
        super().__init__("simulator")
        self._complaints = Complaints(self.get_logger())
        self._settings = Parameters(self, SimulatorSettings, lambda: True)
        # Not ``settings``: that they are possible is looked at when an episode begins.
        self._lockstep = bool(self.get_parameter("lockstep").value)
        self._fleet: Fleet | None = None
        self._problem = "not yet started"
        self._paused = False
        self._episode = self._tick = 0
        self._phase = _Phase.PUBLISHED
        self._said_at = self._asked_at = -np.inf
        self._anchor()
        # Alone it needs no name; of several, each has a namespace of its own.
        count = int(self.get_parameter("vehicles").value or 1)
        names = [""] if count == 1 else [f"drone{k + 1}" for k in range(count)]
        self._vehicles = [SimulatedVehicle(self, name, self._lockstep, self._complaints)
                          for name in names]
        self._clock_topic = self.create_publisher(Clock, "/clock", qos.RELIABLE)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/pause", self._on_pause)

    # Run by lnn_ros.nodes.process

    def start(self) -> None:
        """Begin the first episode."""
        self.get_logger().info("preparing the world; the first time after an installation, the "
                               "camera is compiled, which takes about 15 s")
        try:
            self._begin()
        except LnnError as error:
            self._stand_still(str(error))

    def work(self) -> float:
        """Simulate what is due; return how long to wait for callbacks."""
        if time.monotonic() - self._said_at >= _STATUS_S:
            self._say_status()
        if self._fleet is None:
            return STATE_S
        if not self._lockstep:
            for vehicle in self._vehicles:
                vehicle.say_state(if_due=True)  # paused or slow, it is where it was
        if self._paused:
            return STATE_S
        return self._work_lockstep(self._fleet) if self._lockstep else self._work_live(self._fleet)

    def fail(self, error: Exception) -> None:
        """Stand still until a reset."""
        self._stand_still(f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        """Nothing to say: a vehicle without a simulator moves no more."""

    # Episodes

    def _begin(self) -> None:
        """Begin an episode with the present parameters."""
        settings = self._settings.settings()
        task = Task.load(settings.task)
        world = make_world(settings.seed, task)
        options = SimulatorOptions(camera=_timing(settings.camera), imu=_timing(settings.imu))
        fleet = self._fleet = Fleet(world, len(self._vehicles), options, task)
        self._problem = ""
        self._episode += 1
        # In lock-step the first instant is asked for before anything was measured: who answers is
        # there, and has learned that time went back.
        self._tick, self._phase = 0, _Phase.PUBLISHED
        for vehicle, simulator in zip(self._vehicles, fleet.simulators, strict=True):
            vehicle.begin(simulator)
        self._anchor()
        self.get_logger().info(f"episode {self._episode}: task {task.name}, seed {settings.seed}")
        self._say_status()
        if not self._lockstep:
            # First of all, so that everyone knows that time went back before the new samples come.
            self._say_clock(fleet)

    def _stand_still(self, problem: str) -> None:
        """Simulate nothing until a reset."""
        self._fleet, self._problem = None, problem
        for vehicle in self._vehicles:
            vehicle.end()
        self.get_logger().error(f"no simulation until ~/reset: {problem}")
        self._say_status()

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self._begin()
        except LnnError as error:
            response.message = f"reset refused: {error}"
            self.get_logger().warning(response.message)
            return response
        response.success, response.message = True, f"episode {self._episode}"
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._paused = bool(request.data)
        self._anchor()
        response.success = True
        response.message = "paused" if self._paused else "running"
        self._say_status()
        return response

    # Time

    def _anchor(self) -> None:
        """Tie simulated to steady time as they stand now."""
        self._steady_at = time.monotonic()
        self._simulated_at = self._fleet.time_ns if self._fleet else 0
        self._waiting_since = self._steady_at
        self._factor = float(self.get_parameter("real_time_factor").value or 0.0)

    def _ahead(self, until_ns: int) -> float:
        """Seconds until a simulated instant is due; negative when it is overdue."""
        factor = float(self.get_parameter("real_time_factor").value or 0.0)
        if factor != self._factor:
            self._anchor()
        if factor == 0.0:
            return 0.0
        return (self._steady_at + (until_ns - self._simulated_at) / 1e9 / factor
                - time.monotonic())

    def _work_live(self, fleet: Fleet) -> float:
        until = fleet.time_ns + _STEP_NS
        ahead = self._ahead(until)
        if ahead > 0.0:
            return min(ahead, STATE_S)
        if -ahead > _FALL_BEHIND_S:
            self._complaints.report("real_time_factor", "late", f"simulation is "
                                    f"{_FALL_BEHIND_S} s behind real_time_factor "
                                    f"{self._factor:g}: this computer is too slow for it")
            self._anchor()
        else:
            self._complaints.fine("real_time_factor")
        arrived = fleet.advance(until)
        for vehicle in self._vehicles:
            vehicle.look()
            vehicle.say_state(if_due=True)
        self._say_clock(fleet)
        for vehicle, samples in zip(self._vehicles, arrived, strict=True):
            vehicle.publish(samples)
        self._say_ends(fleet)
        return 0.0

    def _work_lockstep(self, fleet: Fleet) -> float:
        """Go on with the present instant, as far as that is possible now."""
        if all(vehicle.answered for vehicle in self._vehicles):
            self._complaints.fine("lock-step")
            until = START_NS + (self._tick + 1) * CONTROL_PERIOD_NS
            ahead = self._ahead(until)
            if ahead > 0.0:
                return ahead
            self._tick += 1
            # What it says is of the instant before: to notice a contact takes it one period.
            for vehicle in self._vehicles:
                vehicle.look()
                vehicle.say_state()
            for vehicle, samples in zip(self._vehicles, fleet.advance(until), strict=True):
                vehicle.asked = vehicle.answered = False
                vehicle.publish(samples)
            self._say_ends(fleet)
            self._phase, self._waiting_since = _Phase.PUBLISHED, time.monotonic()
        if self._phase is _Phase.PUBLISHED:
            if not all(vehicle.acknowledged() for vehicle in self._vehicles):
                self._complain_of_waiting("the samples are not acknowledged by every subscriber")
                return 0.0
            self._phase, self._asked_at = _Phase.ASKED, -np.inf
            for vehicle in self._vehicles:
                vehicle.asked = True
        since_asked = time.monotonic() - self._asked_at
        if since_asked > _ASK_AGAIN_S:  # the first time, or the answer was lost on the way
            self._complain_of_waiting(f"/clock is not answered by a cmd_vel stamped "
                                      f"{fleet.time_ns} ns or later")
            if self._asked_at > -np.inf:
                for vehicle in self._vehicles:
                    vehicle.say_state()  # who has just come learns of it before the clock
            self._say_clock(fleet)
            self._asked_at, since_asked = time.monotonic(), 0.0
        return _ASK_AGAIN_S - since_asked

    def _complain_of_waiting(self, what: str) -> None:
        if time.monotonic() - self._waiting_since > _PATIENCE_S:
            self._complaints.report("lock-step", "waiting", f"{what} within {_PATIENCE_S:g} s: "
                                    f"waiting on (is the controller active, with lockstep true?)")

    # Messages

    def _say_clock(self, fleet: Fleet) -> None:
        message = Clock()
        messages.set_time(message.clock, fleet.time_ns)
        self._clock_topic.publish(message)

    def _say_ends(self, fleet: Fleet) -> None:
        """Say of every flight that has just ended how."""
        ends = [text for text in (vehicle.ended() for vehicle in self._vehicles) if text]
        for text in ends:
            self.get_logger().info(f"{text} after {(fleet.time_ns - START_NS) / 1e9:.1f} s")
        if ends:
            self._say_status()

    def _say_status(self) -> None:
        self._said_at = time.monotonic()
        fleet = self._fleet
        if fleet is None:
            for vehicle in self._vehicles:
                vehicle.say_problem(self._problem)
            return
        elapsed = self._said_at - self._steady_at
        factor = (fleet.time_ns - self._simulated_at) / 1e9 / elapsed if elapsed > 0.5 else None
        for vehicle in self._vehicles:
            vehicle.say_status({"episode": self._episode, "real_time_factor": factor},
                               self._paused)


def _timing(settings: TimingSettings) -> StreamTiming:
    return StreamTiming(settings.rate_hz, settings.jitter_s, settings.latency_s,
                        settings.latency_jitter_s, settings.drop, settings.reorder)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.use_dds_profile("simulator.xml")
    return process.run(SimulatorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
