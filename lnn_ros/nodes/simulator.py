"""The embedded simulator as a node: its sensors, its clock and its vehicle on ROS topics."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import time
from collections.abc import Sequence
from enum import Enum

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, Imu
from std_srvs.srv import SetBool, Trigger

from lnn_ros import messages
from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints, status, vehicle_state
from lnn_ros.nodes.parameters import Parameters
from lnn_ros.nodes.settings import SimulatorSettings, TimingSettings
from lnn_ros.simulation.forest import make_world
from lnn_ros.simulation.sensors import START_NS, Delivery, StreamTiming
from lnn_ros.simulation.simulator import (
    CONTROL_PERIOD_NS,
    Outcome,
    Simulator,
    SimulatorOptions,
)
from lnn_ros.simulation.task import Task

BODY, CAMERA, MAP, ODOM = "base_link", "camera", "map", "odom"

_STEP_NS = 5_000_000  # time simulated at once when not in lock-step: the IMU's period
_POSE_NS = 20_000_000  # between two odometry messages
_ANSWER_NS = CONTROL_PERIOD_NS // 2  # a command stamped up to this after an instant answers it
_STATUS_S = 0.2
_STATE_S = 0.05  # between two messages about the vehicle, by simulated and by steady time
_ASK_AGAIN_S = 0.25  # after which an unanswered /clock is published again
_PATIENCE_S = 5.0  # after which the wait for an answer is complained about
_FALL_BEHIND_S = 0.5  # lag behind the wanted real-time factor that is given up


class _Phase(Enum):
    """How far lock-step has come with the present instant."""

    PUBLISHED = "published"  # its samples are on their way
    ASKED = "asked"  # all subscribers have them, /clock says what time it is
    ANSWERED = "answered"  # there is a command for it


class SimulatorNode(Node):
    """Simulate one flight after another.

    Live, simulated time follows the steady clock times the real-time factor. In lock-step, it goes
    from one control instant t to the next: publish the samples up to t, wait until every
    subscriber has acknowledged them, publish /clock = t, wait for a ``cmd_vel`` stamped t or later.
    So the controller has all samples up to t when it learns that it is t, and the flight does not
    depend on how fast anything runs.
    """

    def __init__(self) -> None:
        super().__init__("simulator")
        self._complaints = Complaints(self.get_logger())
        self._settings = Parameters(self, SimulatorSettings, lambda: True)
        self._lockstep = bool(self.get_parameter("lockstep").value)
        self._simulator: Simulator | None = None
        self._problem = "not yet started"
        self._outcome = Outcome.FLYING
        self._paused = False
        self._episode = self._tick = 0
        self._phase = _Phase.PUBLISHED
        self._position = np.zeros(3)
        self._next_pose_ns = START_NS
        self._said_at = self._asked_at = self._stated_at = -np.inf
        self._airborne, self._stated_ns = True, START_NS
        self._anchor()
        sensor = qos.sensor(1000 if self._lockstep else 10, self._lockstep)
        self._image = self.create_publisher(Image, "image", sensor)
        self._camera_info = self.create_publisher(CameraInfo, "camera_info", sensor)
        self._imu = self.create_publisher(Imu, "imu", sensor)
        self._odom = self.create_publisher(Odometry, "odom", qos.RELIABLE)
        self._truth = self.create_publisher(Odometry, "ground_truth", qos.RELIABLE)
        self._clock_topic = self.create_publisher(Clock, "/clock", qos.RELIABLE)
        self._vehicle_state = self.create_publisher(DiagnosticStatus, "vehicle_state", qos.RELIABLE)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)
        self.create_subscription(TwistStamped, "cmd_vel", self._on_command,
                                 QoSProfile(depth=10))
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
        now = time.monotonic()
        if now - self._said_at >= _STATUS_S:
            self._say_status()
        if self._simulator is None:
            return _STATE_S
        if not self._lockstep and now - self._stated_at >= _STATE_S:
            self._say_vehicle_state()  # paused or slow, it is where it was
        if self._paused:
            return _STATE_S
        return self._work_lockstep(self._simulator) if self._lockstep else self._work_live(
            self._simulator)

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
        self._simulator = Simulator(world, options, task=task)
        self._problem, self._outcome = "", Outcome.FLYING
        self._episode += 1
        self._position = np.zeros(3)
        self._next_pose_ns = START_NS
        # In lock-step the first instant is asked for before anything was measured: who answers is
        # there, and has learned that time went back.
        self._tick, self._phase = 0, _Phase.PUBLISHED
        self._airborne = True
        self._say_vehicle_state()
        self._anchor()
        self.get_logger().info(f"episode {self._episode}: task {task.name}, seed {settings.seed}")
        self._say_status()
        if not self._lockstep:
            # First of all, so that everyone knows that time went back before the new samples come.
            self._say_clock()

    def _stand_still(self, problem: str) -> None:
        """Simulate nothing until a reset."""
        self._simulator, self._problem = None, problem
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

    def _on_command(self, message: TwistStamped) -> None:
        if self._simulator is None:
            return
        try:
            stamp = messages.stamp_ns(message)
            vector = messages.command_vector(message)
            if message.header.frame_id != BODY:
                raise LnnError(f"command is in frame {message.header.frame_id!r}: expected {BODY}")
        except LnnError as error:
            self._complaints.report("cmd_vel", "dropped", str(error))
            return
        self._complaints.fine("cmd_vel")
        if not self._lockstep:
            self._simulator.command(vector)
        # Not any later stamp: right after a reset, the last answer of the episode before may come.
        elif self._phase is _Phase.ASKED and 0 <= stamp - self._simulator.time_ns < _ANSWER_NS:
            self._simulator.command(vector)
            self._phase = _Phase.ANSWERED
            self._complaints.fine("lock-step")

    # Time

    def _anchor(self) -> None:
        """Tie simulated to steady time as they stand now."""
        self._steady_at = time.monotonic()
        self._simulated_at = self._simulator.time_ns if self._simulator else 0
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

    def _work_live(self, simulator: Simulator) -> float:
        until = simulator.time_ns + _STEP_NS
        ahead = self._ahead(until)
        if ahead > 0.0:
            return min(ahead, _STATE_S)
        if -ahead > _FALL_BEHIND_S:
            self._complaints.report("real_time_factor", "late", f"simulation is "
                                    f"{_FALL_BEHIND_S} s behind real_time_factor "
                                    f"{self._factor:g}: this computer is too slow for it")
            self._anchor()
        else:
            self._complaints.fine("real_time_factor")
        arrived = simulator.advance(until)
        self._look_at_vehicle(simulator)
        if until - self._stated_ns >= _STATE_S * 1e9:
            self._say_vehicle_state()
        self._say_clock()
        self._publish(simulator, arrived)
        return 0.0

    def _work_lockstep(self, simulator: Simulator) -> float:
        """Go on with the present instant, as far as that is possible now."""
        if self._phase is _Phase.ANSWERED:
            until = START_NS + (self._tick + 1) * CONTROL_PERIOD_NS
            ahead = self._ahead(until)
            if ahead > 0.0:
                return ahead
            self._tick += 1
            # What it says is of the instant before: to notice a contact takes it one period.
            self._look_at_vehicle(simulator)
            self._say_vehicle_state()
            self._publish(simulator, simulator.advance(until))
            self._phase, self._waiting_since = _Phase.PUBLISHED, time.monotonic()
        if self._phase is _Phase.PUBLISHED:
            if not self._acknowledged():
                self._complain_of_waiting("the samples are not acknowledged by every subscriber")
                return 0.0
            self._phase, self._asked_at = _Phase.ASKED, -np.inf
        since_asked = time.monotonic() - self._asked_at
        if since_asked > _ASK_AGAIN_S:  # the first time, or the answer was lost on the way
            self._complain_of_waiting(f"/clock is not answered by a cmd_vel stamped "
                                      f"{simulator.time_ns} ns or later")
            if self._asked_at > -np.inf:
                self._say_vehicle_state()  # who has just come learns of it before the clock
            self._say_clock()
            self._asked_at, since_asked = time.monotonic(), 0.0
        return _ASK_AGAIN_S - since_asked

    def _acknowledged(self) -> bool:
        patience = Duration(seconds=0.05)
        awaited = (self._vehicle_state, self._imu, self._camera_info, self._image)
        return all(publisher.wait_for_all_acked(patience) for publisher in awaited)

    def _complain_of_waiting(self, what: str) -> None:
        if time.monotonic() - self._waiting_since > _PATIENCE_S:
            self._complaints.report("lock-step", "waiting", f"{what} within {_PATIENCE_S:g} s: "
                                    f"waiting on (is the controller active, with lockstep true?)")

    # Messages

    def _look_at_vehicle(self, simulator: Simulator) -> None:
        """Find out whether it flies: until it has touched something, which ends the flight."""
        self._airborne = simulator.outcome is not Outcome.CONTACT

    def _say_vehicle_state(self) -> None:
        """Say for the vehicle what its adapter would say for a robot."""
        self._stated_at = time.monotonic()
        self._stated_ns = self._simulator.time_ns if self._simulator else START_NS
        self._vehicle_state.publish(vehicle_state(self.get_name(), self._airborne, True))

    def _say_clock(self) -> None:
        assert self._simulator is not None
        message = Clock()
        messages.set_time(message.clock, self._simulator.time_ns)
        self._clock_topic.publish(message)

    def _publish(self, simulator: Simulator, arrived: list[Delivery]) -> None:
        """Publish samples in order of arrival, then the pose if it is due."""
        for delivery in arrived:
            if delivery.stream == "imu":
                imu = Imu()
                messages.fill_imu(imu, delivery.value, delivery.stamp_ns, BODY)
                self._imu.publish(imu)
            else:
                image, info = Image(), CameraInfo()
                messages.fill_image(image, delivery.value, delivery.stamp_ns, CAMERA)
                height, width = delivery.value.shape[:2]
                messages.fill_camera_info(info, width, height, simulator.geometry.focal_length,
                                          delivery.stamp_ns, CAMERA)
                self._camera_info.publish(info)  # first, so that the image can be used at once
                self._image.publish(image)
        if simulator.time_ns >= self._next_pose_ns:
            self._publish_pose(simulator)
        if simulator.outcome is not self._outcome:
            self._outcome = simulator.outcome
            self.get_logger().info(f"{self._outcome.value} after "
                                   f"{(simulator.time_ns - START_NS) / 1e9:.1f} s")
            self._say_status()

    def _publish_pose(self, simulator: Simulator) -> None:
        truth, now = simulator.truth, simulator.time_ns
        exact = Odometry()
        messages.fill_odometry(exact, truth.position, truth.rotation,
                               truth.rotation.T @ truth.velocity, truth.angular_velocity, now,
                               MAP, BODY)
        self._truth.publish(exact)
        # The vehicle knows its attitude, but its place only by adding up its estimated velocity.
        c, s = np.cos(truth.yaw), np.sin(truth.yaw)
        levelled = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        velocity = levelled @ simulator.estimate
        elapsed = (now - self._next_pose_ns + _POSE_NS) / 1e9
        self._position = self._position + velocity * elapsed
        self._next_pose_ns = now + _POSE_NS
        estimate = Odometry()
        messages.fill_odometry(estimate, self._position, truth.rotation,
                               truth.rotation.T @ velocity, truth.angular_velocity, now, ODOM, BODY)
        self._odom.publish(estimate)

    def _say_status(self) -> None:
        self._said_at = time.monotonic()
        name, simulator = f"{self.get_name()}: status", self._simulator
        if simulator is None:
            self._status.publish(status(name, ERROR, self._problem, {"outcome": ""}))
            return
        elapsed = self._said_at - self._steady_at
        factor = (simulator.time_ns - self._simulated_at) / 1e9 / elapsed if elapsed > 0.5 else None
        outcome = simulator.outcome.value
        values = {
            "task": simulator.task.name, "seed": simulator.world.seed, "episode": self._episode,
            "outcome": outcome, "time_s": (simulator.time_ns - START_NS) / 1e9,
            "distance_m": simulator.distance, "clearance_m": simulator.clearance,
            "paused": str(self._paused).lower(), "real_time_factor": factor,
        }
        bad = simulator.outcome in (Outcome.CONTACT, Outcome.TIMEOUT)
        self._status.publish(status(name, WARN if bad else OK,
                                    "paused" if self._paused else outcome, values))


def _timing(settings: TimingSettings) -> StreamTiming:
    return StreamTiming(settings.rate_hz, settings.jitter_s, settings.latency_s,
                        settings.latency_jitter_s, settings.drop, settings.reorder)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.use_dds_profile("simulator.xml")
    return process.run(SimulatorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
