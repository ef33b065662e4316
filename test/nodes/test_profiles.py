"""Robot profiles as nodes take them: their parameters, and the vehicle adapter over DDS."""

from __future__ import annotations

import math
import time

import pytest
import rclpy
from commander import command
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from ros import LATCHED, Bench, pairs
from speaking import says

from lnn_ros.nodes import robots
from lnn_ros.nodes.message_types import message_type
from lnn_ros.nodes.parameters import Parameters
from lnn_ros.nodes.settings import SETTINGS
from lnn_ros.vehicles import make

NORTH = math.pi / 2
FORWARD, DIAGONAL = (0.5, 0.0, 0.0, 0.0), (0.5, -0.25, 0.125, 1.0)
MISSING = {"mavros": "mavros_msgs/msg/PositionTarget", "px4": "px4_msgs/msg/OffboardControlMode",
           "crazyflie": "crazyflie_interfaces/msg/Hover"}


@pytest.fixture
def context():
    found = Context()
    rclpy.init(context=found)
    yield found
    rclpy.shutdown(context=found)


@pytest.mark.parametrize("executable", ["controller", "vehicle_adapter"])
@pytest.mark.parametrize("name", robots.names())
def test_nodes_take_every_profiles_parameters(context, name, executable):
    given = [Parameter(key, value=value) for key, value in robots.load(name).parameters.items()]
    node = Node(executable, context=context, parameter_overrides=given,
                start_parameter_services=False)
    try:
        parameters = Parameters(node, SETTINGS[executable], lambda: False)
        parameters.settings()
        values = parameters.values()
        for key, value in robots.load(name).parameters.items():
            assert values.get(key, value) == value
    finally:
        node.destroy_node()


class Driven:
    """A vehicle adapter with a profile, the robot behind it, and a commander before it."""

    def __init__(self, bench: Bench, name: str) -> None:
        self.bench, self.robot = bench, robots.load(name)
        words = ["-m", "lnn_ros.nodes.vehicle_adapter", "--ros-args"]
        for topic, other in self.robot.remaps.items():
            words += ["-r", f"{topic}:={other}"]
        self.process = bench.run("vehicle_adapter", *words, **self.robot.parameters)
        self.status = bench.collect(DiagnosticStatus, "vehicle_adapter/status", LATCHED)
        self.states = bench.collect(DiagnosticStatus, "vehicle_state")
        self.told: list = []

    def listen(self) -> None:
        """Hear what the robot is told, under its own name; offer commands."""
        (topic, kind), = make(self.robot.vehicle).takes.items()
        self.told = self.bench.collect(message_type(kind), self.robot.remaps.get(topic, topic))
        self.bench.introduce("vehicle_adapter")
        self.publisher = self.bench.publisher(
            TwistStamped, self.robot.remaps.get("cmd_vel", "cmd_vel"))

    def command(self, numbers) -> None:
        """Command it."""
        self.publisher.publish(command(numbers))

    def twists(self) -> list[Twist]:
        """Return what it was told."""
        return [getattr(message, "twist", message) for message in self.told]

    def moves(self) -> bool:
        """Whether the last that it was told is not zero."""
        return bool(self.told) and self.twists()[-1] != Twist()

    def until_said(self, airborne: str, velocity_mode: str, meanwhile) -> None:
        """Await what the adapter says of the vehicle."""
        wanted = {"airborne": airborne, "velocity_mode": velocity_mode}
        self.bench.until(lambda: self.states and pairs(self.states[-1]) == wanted, str(wanted),
                         meanwhile)

    def until_refused(self, sentence: str, meanwhile) -> None:
        """Await that a command is refused with a sentence."""
        self.bench.until(lambda: sentence in self.process.log, sentence, meanwhile)


def numbers(twist: Twist) -> tuple[float, ...]:
    return (twist.linear.x, twist.linear.y, twist.linear.z,
            twist.angular.x, twist.angular.y, twist.angular.z)


@pytest.mark.parametrize("name", ["turtlebot4", "diff_drive"])
def test_rover_is_driven_and_stops_in_silence(bench, name):
    rover = Driven(bench, name)
    rover.listen()
    bench.until(rover.moves, "a command", lambda: rover.command(DIAGONAL))
    assert numbers(rover.twists()[-1]) == (0.5, -0.25, 0.125, 0.0, 0.0, 1.0)
    if name == "diff_drive":
        assert rover.told[-1].header.frame_id == "base_link"
    bench.until(lambda: rover.twists()[-1] == Twist(), "zero")
    assert rover.process.alive


def test_ardupilot_is_flown_in_the_map_and_stops_when_it_says_no_more_where_it_heads(bench):
    drone = Driven(bench, "ardupilot")
    drone.listen()
    missing = "vehicle/status is not heard: message type ardupilot_msgs/msg/Status is not installed"
    bench.until(lambda: drone.status and missing in drone.status[-1].message, missing)
    assert drone.status[-1].level == DiagnosticStatus.WARN
    drone.until_refused("the vehicle's heading is unknown: expected geometry_msgs/msg/PoseStamped",
                        lambda: drone.command(FORWARD))
    assert drone.told == []
    drone.command((0.0,) * 4)  # which can always be told
    bench.until(lambda: drone.told, "zero")
    assert numbers(drone.twists()[-1]) == (0.0,) * 6

    pose = bench.publisher(PoseStamped, drone.robot.remaps["vehicle/pose"])

    def fly() -> None:
        pose.publish(says("geometry_msgs/msg/PoseStamped", yaw=NORTH))
        drone.command(DIAGONAL)

    bench.until(drone.moves, "a command", fly)
    assert drone.told[-1].header.frame_id == "map"
    assert numbers(drone.twists()[-1]) == pytest.approx((0.25, 0.5, 0.125, 0.0, 0.0, 1.0))
    # Whether it flies nobody knows, without the type of its status: nothing is made up.
    drone.until_said("", "", fly)

    # Commands go on, but nobody knows any more where forward is.
    bench.until(lambda: not drone.moves(), "zero", lambda: drone.command(DIAGONAL))
    bench.until(lambda: pairs(drone.status[-1])["state"] == "timed out", "the time-out",
                lambda: drone.command(DIAGONAL))
    bench.until(drone.moves, "a command", fly)


def test_gazebos_multicopter_is_told_by_its_tilt_and_stopped(bench):
    drone = Driven(bench, "gazebo_multicopter")
    drone.listen()
    drone.until_refused("the vehicle's tilt is unknown: expected nav_msgs/msg/Odometry on odom",
                        lambda: drone.command(FORWARD))
    assert drone.told == []
    odom = bench.publisher(Odometry, "odom")

    def fly() -> None:
        odom.publish(says("nav_msgs/msg/Odometry", yaw=1.0, pitch=0.3))
        drone.command(FORWARD)

    bench.until(drone.moves, "a command", fly)
    assert numbers(drone.twists()[-1]) == pytest.approx(
        (0.5 * math.cos(0.3), 0.0, 0.5 * math.sin(0.3), 0.0, 0.0, 0.0), abs=1e-12)
    drone.until_said("true", "true", fly)
    # It has no timeout of its own: silence ends in zero here, tilted or not, and stays there.
    bench.until(lambda: not drone.moves(), "zero",
                lambda: odom.publish(says("nav_msgs/msg/Odometry", pitch=0.3)))
    drone.until_said("", "", lambda: None)
    start = len(drone.told)
    bench.until(lambda: len(drone.told) > start + 5, "more zeros")
    assert set(map(numbers, drone.twists()[start:])) == {(0.0,) * 6}


def test_odometry_that_says_nothing_is_dropped_and_counted(bench):
    drone = Driven(bench, "gazebo_multicopter")
    drone.listen()
    odom = bench.publisher(Odometry, "odom")
    drone.until_refused("turned by the quaternion (0.0, 0.0, 0.0, 0.0): expected one of length 1",
                        lambda: odom.publish(says_nothing()))
    bench.until(lambda: int(pairs(drone.status[-1]).get("odom.content", 0)) > 0, "its count",
                lambda: odom.publish(says_nothing()))
    assert drone.process.alive


def says_nothing() -> Odometry:
    """Return odometry that is turned by no quaternion."""
    found = Odometry()
    found.pose.pose.orientation.w = 0.0
    return found


def test_robot_that_is_told_where_commands_come_is_not_told(bench):
    words = ("-m", "lnn_ros.nodes.vehicle_adapter", "--ros-args", "-r", "vehicle/cmd_vel:=/cmd_vel")
    process = bench.run("vehicle_adapter", *words)
    sentence = ("nothing is passed on: the vehicle is told on /cmd_vel, on which commands come: "
                "expected one of cmd_vel and vehicle/cmd_vel to be remapped to another name")
    bench.until(lambda: sentence in process.log, sentence)
    assert "Traceback" not in process.log


def test_missing_messages_are_named_in_a_sentence(bench):
    for name, kind in MISSING.items():
        drone = Driven(bench, name)
        sentence = f"nothing is passed on: message type {kind} is not installed for Python ("
        bench.until(lambda d=drone, s=sentence: d.status and s in d.status[-1].message, sentence)
        assert drone.status[-1].level == DiagnosticStatus.ERROR
        assert "Traceback" not in drone.process.log
        drone.process.ask_to_end()
        assert drone.process.wait() == 0


def test_controller_comes_up_with_the_profile_that_sets_most(bench):
    robot = robots.load("turtlebot4")
    bench.start("controller", autostart=False, **robot.parameters)
    assert bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert bench.transition("controller", Transition.TRANSITION_ACTIVATE)
    assert bench.get_parameter("controller", "scan.yaw").double_value == pytest.approx(NORTH)
    began = time.monotonic()
    commands = bench.collect(TwistStamped, "cmd_vel")
    bench.until(lambda: commands, "commands")
    assert time.monotonic() - began < 30.0
