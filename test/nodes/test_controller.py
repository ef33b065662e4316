"""The controller as another process sees it: what it commands, and what is last on the wire."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from flight import ALONE, Flight
from geometry_msgs.msg import TwistStamped
from lifecycle_msgs.msg import Transition
from random_policy import random_policy
from rclpy.duration import Duration
from rclpy.qos import LivelinessPolicy, QoSProfile
from ros import LATCHED, ROOT, is_zero, pairs
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu, JointState
from sensors import first_frame, image_message, imu_message, info_message

from lnn_ros import messages
from lnn_ros.pilot import Pilot


def test_commands_are_zero_until_engaged_and_again_after(bench):
    flight = Flight(bench)
    neurons = bench.collect(JointState, "controller/neurons")
    assert all(map(is_zero, flight.more(20)))
    assert flight.say()["mode"] == "disengaged"

    flight.engage()
    flight.fly()
    flight.until(lambda: flight.say()["mode"] == "engaged", "mode engaged")
    for command in flight.commands:
        assert command.header.frame_id == "base_link"
    stamps = [messages.stamp_ns(command) for command in flight.commands]
    assert stamps == sorted(stamps)

    pilot = Pilot.load(flight.policy)
    assert list(neurons[-1].name) == list(pilot.neurons())
    said = flight.traced()
    assert said["mode"] == "engaged"
    assert pilot.card["weights_sha256"].startswith(said["policy"])
    assert int(said["imu.taken"]) > int(said["camera.taken"]) > 0
    assert abs(messages.stamp_ns(flight.trace[-1]) - int(said["camera.stamp_ns"])
               - 1e9 * float(said["camera.age_s"])) < 1e3

    assert bench.trigger("controller/disengage", flight.sensors).success
    flight.more(10, is_zero)
    assert flight.stays_zero()

    flight.until(lambda: float(flight.counted().get("camera.rate_hz", 0)) > 0
                 and int(flight.counted()["ticks"]) > 30, "a camera rate and 30 ticks")
    counted = flight.counted()
    assert float(counted["imu.rate_hz"]) > float(counted["camera.rate_hz"])
    assert int(counted["camera.accepted"]) > 0


def test_image_is_answered_at_once(bench):
    """Each gets a command of its own, long before one is due by the timer."""
    flight = Flight(bench, engage=True, rate_hz=1.0)
    flight.fly()
    flight.more(30)
    new = [pairs(message.status[0])["camera.new"].split() for message in flight.trace[-30:]]
    assert sum(len(stamps) == 1 for stamps in new) >= 20  # some may come late together


@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM", "SIGHUP", "deactivate", "shutdown"])
def test_zero_is_last_on_the_wire(bench, way):
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    flight = Flight(bench, engage=True)
    signal.signal(signal.SIGHUP, inherited)
    flight.fly()
    if way.startswith("SIG"):
        flight.process.send(signal.Signals[way])
        flight.until(lambda: not flight.process.alive, "the end of the process")
        assert flight.process.wait() == 0
    else:
        transition = {"deactivate": Transition.TRANSITION_DEACTIVATE,
                      "shutdown": Transition.TRANSITION_ACTIVE_SHUTDOWN}[way]
        assert bench.transition("controller", transition)
        assert flight.process.alive
    # Whatever had been sent has been acknowledged by this bench, and so can be taken at once.
    bench.until(lambda: is_zero(flight.commands[-1]), "a zero")
    said = len(flight.commands)
    if flight.process.alive:  # nothing may follow: one more service call outlasts several periods
        assert bench.state("controller") in ("inactive", "finalized")
        refused = bench.trigger("controller/engage") if way == "deactivate" else None
        assert refused is None or "not active" in refused.message
    assert is_zero(flight.commands[-1])
    assert len(flight.commands) == said


def test_exception_in_flight_ends_in_zero_and_needs_a_reset(bench, tmp_path):
    policy = random_policy(tmp_path / "policy.safetensors")
    good = policy.read_bytes()
    flight = Flight(bench, engage=True, policy=policy)
    flight.fly()
    # The file is damaged while it flies; the reset that reads it fails in its callback.
    policy.write_bytes(policy.read_bytes()[:1000])
    answer = bench.trigger("controller/reset", flight.sensors)
    assert not answer.success
    assert str(policy) in answer.message
    flight.until(lambda: flight.say()["mode"] == "fault", "mode fault")
    assert str(policy) in flight.say()["reason"]
    flight.more(10, is_zero)
    assert flight.stays_zero()

    refused = bench.trigger("controller/engage", flight.sensors)
    assert not refused.success
    assert "in fault: reset first" in refused.message
    policy.write_bytes(good)
    assert bench.trigger("controller/reset", flight.sensors).success
    flight.engage()
    flight.fly()
    assert flight.process.alive


def test_bad_samples_are_dropped_counted_and_said_once(bench):
    flight = Flight(bench, engage=True)
    flight.fly()
    sensors, now, frame = flight.sensors, time.time_ns(), first_frame()

    def image(at_ns=now, **changes):
        message = image_message(at_ns, frame)
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def imu(at_ns=now, rate=0.0, covariance=0.0):
        message = imu_message(at_ns)
        message.angular_velocity.y = rate
        message.linear_acceleration_covariance[0] = covariance
        return message

    later = now + 3_600_000_000_000
    bad = {
        "camera.content": [image(encoding="bayer_rggb8"), image(height=0, width=0),
                           image(height=480), image(step=1)],
        "camera.stamp": [image(0)],
        "camera.dropped_future": [image(later)],
        "camera.undecodable": [bytes(7), bytes([0, 1, 0, 0] + 30 * [255])],
        "camera.dropped_late": [image(1)],
        "imu.content": [imu(rate=float("nan")), imu(rate=float("inf")), imu(covariance=-1.0)],
        "imu.stamp": [imu(0)],
        "imu.dropped_future": [imu(later)],
        "imu.undecodable": [bytes(7)],
        "imu.dropped_late": [imu(1), imu(2)],
        "imu.dropped_range": [imu(rate=1e200), imu(rate=-1e154)],
    }

    def taken():
        """Await two ticks without a new sample: what was on its way has been taken."""
        said = len(flight.commands)
        bench.until(lambda: len(flight.commands) >= said + 2, "two ticks")

    taken()  # its queue holds ten images: good ones must not displace bad ones
    for key, bad_messages in bad.items():
        publisher = sensors.image if key.startswith("camera") else sensors.imu
        for message in bad_messages:
            publisher.publish(message)
    taken()
    expected = {key: str(len(bad_messages)) for key, bad_messages in bad.items()}
    flight.until(lambda: {key: flight.counted().get(key) for key in bad} == expected,
                 f"the counts {expected}")
    log = flight.process.log
    for sentence in ("camera: image encoding 'bayer_rggb8' is unknown: expected one of rgb8",
                     "imu: reading is [0.0, 1e+200, 0.0, 0.0, 0.0, 9.81]: expected at most 100 rad",
                     "camera: stamp is 0 s 0 ns", "before the newest one: expected none later than",
                     "ahead of this node's time: expected at most 0.5 s"):
        assert sentence in log
    assert log.count("said once until it is over") == len(bad)
    flight.until(lambda: flight.process.log.count("well again: no ") == len(bad), "the all-clear")
    assert "camera: well again: no content for 1 s, after 4 times" in flight.process.log
    assert flight.say()["mode"] == "engaged"
    flight.fly()


def test_camera_of_no_use_is_a_warning(bench):
    """Messages that arrive but are all dropped must not look like a healthy stream."""
    flight = Flight(bench)

    def blind():
        flight.sensors.info.publish(info_message(time.time_ns()))
        flight.sensors.image.publish(image_message(0, first_frame()))
        flight.sensors.imu.publish(imu_message(time.time_ns()))

    def said():
        return flight.diagnostics[-1].status[0] if flight.diagnostics else DiagnosticStatus()

    bench.until(lambda: said().message == "disengaged; nothing usable arrives on /image",
                "the warning", blind)
    assert said().level == DiagnosticStatus.WARN
    flight.until(lambda: said().message == "disengaged", "the all-clear")
    assert said().level == DiagnosticStatus.OK


@pytest.mark.parametrize(("parameter", "value", "sentence"), [
    ("policy", "no_such_policy", "policy 'no_such_policy' does not ship with this package"),
    ("policy", "/nowhere/policy.safetensors", "/nowhere/policy.safetensors: cannot be read"),
    ("rate_hz", 0.0, "parameter rate_hz is 0.0: expected a number in [1, 200]"),
    ("rate_hz", "fast", "parameter rate_hz is 'fast': expected a number in [1, 200]"),
    ("image_transport", "theora", "parameter image_transport is 'theora': expected one of raw, "
                                  "compressed"),
    ("camera__fov_deg", 0.5, "parameter camera.fov_deg is 0.5: expected an angle of view"),
    ("camera__info", False, "parameters camera.info is false and camera.fov_deg is 0"),
])
def test_impossible_parameter_is_named_and_can_be_mended(bench, parameter, value, sentence):
    policy = random_policy(bench.folder / "policy.safetensors")
    process = bench.start("controller", **{"policy": policy, parameter: value})
    status = bench.collect(DiagnosticStatus, "controller/status", LATCHED)
    bench.until(lambda: any(sentence in s.message for s in status), "the sentence in ~/status")
    assert sentence in process.log
    assert bench.state("controller") == "unconfigured"
    assert not bench.transition("controller", Transition.TRANSITION_CONFIGURE)

    good = {"policy": str(policy), "rate_hz": 50.0, "image_transport": "compressed",
            "camera__fov_deg": 90.0, "camera__info": True}[parameter]
    assert bench.set_parameters("controller", **{parameter: good}).successful
    assert bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert bench.transition("controller", Transition.TRANSITION_ACTIVATE)
    commands = bench.collect(TwistStamped, "cmd_vel")
    bench.until(lambda: len(commands) > 3, "commands")


def test_damaged_policy_is_named_at_configure(bench, tmp_path):
    damaged = random_policy(tmp_path / "damaged.safetensors")
    content = bytearray(damaged.read_bytes())
    content[-10] ^= 0x40
    damaged.write_bytes(content)
    process = bench.start("controller", policy=damaged)
    bench.until(lambda: "configure failed" in process.log, "the sentence in the log")
    assert str(damaged) in process.log
    assert "Traceback" not in process.log
    assert bench.state("controller") == "unconfigured"


def test_policy_without_colours_flies(bench, tmp_path):
    policy = random_policy(tmp_path / "grey.safetensors", channels=1)
    flight = Flight(bench, engage=True, policy=policy)
    flight.fly()


def test_reset_takes_a_policy_with_frames_of_another_size(bench, tmp_path):
    policy = random_policy(tmp_path / "policy.safetensors")
    flight = Flight(bench, engage=True, policy=policy)
    flight.fly()
    random_policy(policy, height=64, width=96)
    assert bench.trigger("controller/reset", flight.sensors).success
    flight.engage()
    flight.fly()


def test_parameters_are_set_all_or_none(bench):
    bench.start("controller", policy=random_policy(bench.folder / "policy.safetensors"))
    commands = bench.collect(TwistStamped, "cmd_vel")
    bench.until(lambda: commands, "a command")
    refused = bench.set_parameters("controller", engage=True, base_frame="")
    assert not refused.successful
    assert bench.get_parameter("controller", "engage").bool_value is False
    refused = bench.set_parameters("controller", rate_hz=10.0)
    assert "parameter rate_hz stays 30.0" in refused.reason
    assert bench.set_parameters("controller", engage=True).successful
    assert bench.get_parameter("controller", "engage").bool_value is True


def test_impossible_transition_is_answered(bench):
    process = bench.start("controller", autostart=False,
                          policy=random_policy(bench.folder / "policy.safetensors"))
    assert bench.state("controller") == "unconfigured"
    assert not bench.transition("controller", Transition.TRANSITION_ACTIVATE)
    assert bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert not bench.transition("controller", Transition.TRANSITION_CONFIGURE)
    assert bench.state("controller") == "inactive"
    process.send(signal.SIGTERM)
    assert process.wait() == 0


def test_time_that_goes_back_begins_anew(bench):
    flight_commands = bench.collect(TwistStamped, "cmd_vel")
    process = bench.start("controller", lockstep=True, engage=True, camera__fov_deg=90.0,
                          **ALONE, policy=random_policy(bench.folder / "policy.safetensors"))
    clock = bench.publisher(Clock, "/clock")
    image, imu = bench.publisher(Image, "image"), bench.publisher(Imu, "imu")
    bench.introduce("controller")  # or its first answer would not come
    frame = first_frame()

    def tick(at_ns):
        said = len(flight_commands)
        image.publish(image_message(at_ns, frame))
        imu.publish(imu_message(at_ns))
        message = Clock()
        messages.set_time(message.clock, at_ns)
        assert image.wait_for_all_acked()
        assert imu.wait_for_all_acked()
        clock.publish(message)
        bench.until(lambda: len(flight_commands) > said, f"the answer for {at_ns} ns")
        return flight_commands[-1]

    first = [tick(10**9 * second) for second in (100, 101, 102)]
    again = [tick(10**9 * second) for second in (50, 51, 52)]
    assert not is_zero(first[-1])
    assert "time went back by 52.000 s" in process.log
    # Nothing of the first time is left in the state: the same samples give the same commands.
    assert [c.twist for c in again] == [c.twist for c in first]
    assert [messages.stamp_ns(c) for c in again] == [10**9 * s for s in (50, 51, 52)]


def test_controller_loads_only_what_it_needs(bench):
    code = ("import sys; from lnn_ros.nodes import controller; import os;"
            "print(*[m for m in ('torch', 'numba', 'mujoco', 'matplotlib', 'rosbags', 'scipy')"
            " if m in sys.modules], os.environ['OPENBLAS_NUM_THREADS'])")
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                           check=True)
    assert found.stdout.split() == ["1"]

    flight = Flight(bench, engage=True)
    flight.more(60)
    with open(f"/proc/{flight.process.pid}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert resident <= 120 * 1024


def test_reader_may_ask_for_deadline_and_liveliness(bench):
    strict = QoSProfile(
        depth=100, deadline=Duration(seconds=0.1), liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
        liveliness_lease_duration=Duration(seconds=0.4))
    commands = bench.collect(TwistStamped, "cmd_vel", strict)
    bench.start("controller", policy=random_policy(bench.folder / "policy.safetensors"))
    bench.until(lambda: len(commands) > 3, "commands offered with deadline and liveliness")


HUMBLE = """
import sys
sys.modules["rclpy.experimental"] = None
from lnn_ros.nodes import controller, distributions
import rclpy
rclpy.init()
assert type(distributions.executor()).__name__ == "SingleThreadedExecutor"
rclpy.shutdown()
sys.exit(controller.main(sys.argv[1:]))
"""


def test_controller_runs_where_rclpy_has_no_events_executor(bench):
    commands = bench.collect(TwistStamped, "cmd_vel")
    process = bench.run("controller", "-c", HUMBLE,
                        policy=random_policy(bench.folder / "policy.safetensors"))
    bench.until(lambda: len(commands) > 3, "commands")
    process.ask_to_end()
    assert process.wait() == 0
    assert is_zero(commands[-1])
