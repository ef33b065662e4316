"""The doctor's checks: what is wrong is named, with its remedy, and nothing else is."""

from __future__ import annotations

import dataclasses
import importlib
import io
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_robots import (
    BEST,
    HOVER,
    IMAGE,
    IMU,
    INFO,
    RELIABLE,
    STAMPED,
    START_NS,
    STATUS,
    TWIST,
    VIRTUAL,
    calibration,
    having,
    heard,
    hearing,
    picture,
    resting,
    said,
    well,
    without,
)

from lnn_ros import messages, vehicles
from lnn_ros.geometry import Mounting
from lnn_ros.nodes.doctor import intent
from lnn_ros.nodes.doctor.checks import frames, imu, judge, stamps, timing, topics
from lnn_ros.nodes.doctor.findings import Finding, Verdict, worst
from lnn_ros.nodes.doctor.snapshot import Endpoint, Heard, Policy, Quality, Snapshot, System, Topic
from lnn_ros.nodes.doctor.status import grown
from lnn_ros.nodes.settings import (
    SENSORS,
    CameraSettings,
    ControllerSettings,
    ImuSettings,
    VehicleAdapterSettings,
    build,
)

BOOT_S = 40_000.0
OTHER = Endpoint("/other", IMAGE, BEST)


def bad(seen: Snapshot) -> dict[str, Finding]:
    """Return what is not ok, by what it is about."""
    return {finding.what: finding for finding in judge(seen) if finding.remedy}


def only(seen: Snapshot, what: str, verdict: Verdict, *words: str) -> Finding:
    """Return the one thing that is not ok; assert that it is the one expected, and says words."""
    found = bad(seen)
    assert list(found) == [what]
    assert found[what].verdict is verdict
    text = f"{found[what].found} {found[what].remedy}"
    assert all(word in text for word in words), text
    return found[what]


def test_robot_that_is_well_has_nothing_to_mend() -> None:
    assert bad(well()) == {}
    assert len(judge(well())) > 25
    assert worst(judge(well())) is Verdict.OK


def test_finding_is_one_line_however_others_speak() -> None:
    seen = hearing(well(), "controller/status", last=said(2, "fault: a\n  b", active="true"))
    line = str(only(seen, "controller", Verdict.FAIL))
    assert line.startswith(f"fail  {'controller':22s}  fault: a b  -> ")


def test_checks_need_no_ros() -> None:
    code = "import sys; import lnn_ros.nodes.doctor.checks; sys.exit('rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Whatever is seen

ENDPOINTS = st.lists(st.builds(
    Endpoint, st.sampled_from(("/controller", "/vehicle_adapter", "/a", "/b")),
    st.sampled_from((IMAGE, INFO, IMU, STAMPED, TWIST, STATUS,
                     "sensor_msgs/msg/CompressedImage")),
    st.builds(Quality, st.booleans(), st.booleans(), st.sampled_from((0.1, math.inf)),
              st.sampled_from((0.1, math.inf)), st.booleans())), max_size=3).map(tuple)
TOPICS = st.dictionaries(st.sampled_from(
    ("/image", "/image/compressed", "/imu", "/imu/data", "/camera_info", "/cmd_vel", "/takeover",
     "/vehicle/cmd_vel", "/vehicle_state", "/clock")), st.builds(Topic, ENDPOINTS, ENDPOINTS))
TIMES = st.lists(st.integers(0, 2**40), max_size=6).map(tuple)
STATUSES = st.builds(said, st.integers(0, 3), st.sampled_from(("", " ", "a\nb")),
                     airborne=st.sampled_from(("true", "false", "", "perhaps")),
                     velocity_mode=st.sampled_from(("true", "")),
                     state=st.sampled_from(("passing", "contested", "timed out")),
                     troubles=st.sampled_from(("", "x")), active=st.sampled_from(("true", "false")))


@st.composite
def heards(draw: st.DrawFn, message: object) -> Heard:
    """Draw what came: as many stamps as arrivals, or none."""
    arrivals = tuple(sorted(draw(TIMES)))
    count = len(arrivals)
    row = st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=6)
    stamped = draw(st.booleans())
    return Heard(
        arrivals, tuple(draw(st.lists(st.integers(0, 2**40), min_size=count, max_size=count)))
        if stamped else (), (), draw(st.lists(st.sampled_from(("", "a", "base_link")), unique=True)
                                     .map(tuple)), draw(st.integers(0, 10**7)), draw(
            st.integers(0, 2)),
        np.array(draw(st.lists(row, max_size=25))).reshape(-1, 6), draw(st.sampled_from(
            ("", "bad"))), message, message)


@given(TOPICS, st.data())
@settings(max_examples=60)
def test_judges_whatever_is_seen(graph, data) -> None:
    wanted = build(ControllerSettings, {
        "lockstep": data.draw(st.booleans()),
        "image_transport": data.draw(st.sampled_from(("raw", "compressed"))),
        "camera.fov_deg": data.draw(st.sampled_from((0.0, 90.0)))})
    drawn = {name: data.draw(heards(message)) for name, message in (
        ("image", picture()), ("camera_info", calibration()), ("imu", None), ("cmd_vel", None))}
    drawn |= {name: data.draw(heards(data.draw(STATUSES))) for name in (
        "vehicle_state", "controller/status", "vehicle_adapter/status")}
    base = well(wanted, VehicleAdapterSettings(vehicle=data.draw(
        st.sampled_from(("stamped", "twist", "px4", "mavros")))))
    seen = dataclasses.replace(
        base, topics=graph, heard=drawn, simulated=data.draw(st.booleans()),
        stated=data.draw(st.booleans()),
        clock=tuple(zip(sorted(data.draw(TIMES)), data.draw(TIMES), strict=False)),
        nodes=data.draw(st.frozensets(st.sampled_from(("/controller", "/vehicle_adapter", "/a")))),
        lifecycle=data.draw(st.sampled_from(({}, {"/controller": "inactive"}))))
    for finding in judge(seen):
        assert bool(finding.remedy) == (finding.verdict is not Verdict.OK)
        assert finding.what and finding.found
        assert "\n" not in str(finding)


# System

def test_nobody_is_there() -> None:
    seen = dataclasses.replace(well(), topics={}, nodes=frozenset(), heard={})
    finding = bad(seen)["graph"]
    assert finding.verdict is Verdict.FAIL
    assert "ROS_DOMAIN_ID 7" in finding.found and "RMW_IMPLEMENTATION" in finding.remedy


def test_python_that_cannot_use_messages_is_all_that_is_said() -> None:
    seen = Snapshot(system=System("humble", "rmw_fastrtps_cpp", numpy="2.1.0",
                                  problem="numpy.core.multiarray failed to import"))
    (finding,) = judge(seen)
    assert finding.verdict is Verdict.FAIL
    assert "constraints/ros.txt" in finding.remedy and "2.1.0" in finding.found


@pytest.mark.parametrize("changes", [{"distribution": "iron"}, {"distribution": "humble"},
                                     {"middleware": "rmw_zenoh_cpp"}])
def test_untested_ros_is_a_warning(changes) -> None:
    seen = well()
    seen = dataclasses.replace(seen, system=dataclasses.replace(seen.system, **changes))
    only(seen, "ros", Verdict.WARN, *changes.values())


def test_policy_that_does_not_load() -> None:
    seen = dataclasses.replace(well(), policy=Policy("mine", problem="mine.safetensors is cut"))
    only(seen, "policy", Verdict.FAIL, "mine.safetensors is cut")


def test_running_node_with_other_parameters_than_the_files() -> None:
    seen = dataclasses.replace(well(), differs=("/controller runs with rate_hz 20.0",))
    only(seen, "parameters", Verdict.WARN, "rate_hz 20.0", "--params-file")


# Topics

def test_topic_under_another_name_is_named() -> None:
    seen = having(having(well(), "/image", ()), "/camera/image_raw",
                  (Endpoint("/camera", IMAGE, BEST),))
    seen = having(seen, "/camera/depth/image", (Endpoint("/camera", IMAGE, BEST),))
    finding = bad(seen)["image topic"]
    assert "/camera/image_raw" in finding.found
    assert finding.remedy.startswith("remap image:=/camera/image_raw (or ")


def test_topic_of_another_namespace_may_be_meant() -> None:
    seen = having(having(well(), "/imu", ()), "/drone1/imu", (Endpoint("/drone1/imu", IMU),))
    assert "--namespace drone1" in bad(seen)["imu topic"].remedy


def test_missing_topic_without_a_candidate_names_its_source() -> None:
    finding = bad(having(well(), "/imu", ()))["imu topic"]
    assert finding.verdict is Verdict.FAIL and "start the IMU's driver" in finding.remedy
    finding = bad(having(well(), "/vehicle_state", ()))["vehicle_state topic"]
    assert "autopilot's bridge" in finding.remedy and "modes.require_airborne" in finding.remedy


def test_our_own_status_is_no_candidate_for_vehicle_state() -> None:
    seen = having(having(well(), "/vehicle_state", ()), "/controller/status",
                  (Endpoint("/controller", STATUS),))
    seen = having(seen, "/motor/status", (Endpoint("/motor", STATUS),))
    assert "remap vehicle_state:=" not in bad(seen)["vehicle_state topic"].remedy


COMPRESSED = "sensor_msgs/msg/CompressedImage"


@pytest.mark.parametrize(("transport", "there", "kind", "remedy"), [
    ("raw", "/image", COMPRESSED,
     "set image_transport: compressed and remap image/compressed:=/image"),
    ("raw", "/cam/image/compressed", COMPRESSED,
     "set image_transport: compressed and remap image:=/cam/image"),
    ("compressed", "/image", IMAGE, "set image_transport: raw and remap image:=/image"),
    ("compressed", "/cam/image/compressed", COMPRESSED, "remap image:=/cam/image"),
])
def test_transport_of_images_and_its_remap(transport, there, kind, remedy) -> None:
    seen = well(ControllerSettings(image_transport=transport))
    seen = having(having(seen, "/image", ()), there, (Endpoint("/camera", kind, BEST),))
    name = "image" if transport == "raw" else "image/compressed"
    assert bad(seen)[f"{name} topic"].remedy.startswith(remedy)


def test_two_publishers_of_a_sensor() -> None:
    seen = having(well(), "/imu", (Endpoint("/a", IMU, BEST), Endpoint("/b", IMU, BEST)))
    only(seen, "imu topic", Verdict.FAIL, "/a and /b", "remap imu")


def test_another_type_beside_the_right_one() -> None:
    seen = having(well(), "/image", (Endpoint("/a", IMAGE, BEST), Endpoint("/b", INFO, BEST)))
    only(seen, "image topic", Verdict.WARN, "CameraInfo from /b", "stop /b")


def test_person_may_have_two_sticks_but_of_one_type() -> None:
    two = (Endpoint("/stick", STAMPED), Endpoint("/pad", STAMPED))
    assert bad(having(well(), "/takeover", two)) == {}
    seen = having(well(), "/takeover", (Endpoint("/stick", TWIST),))
    only(seen, "takeover topic", Verdict.FAIL, "set takeover.stamped: false")


def test_quality_that_does_not_fit_says_which_side_to_change() -> None:
    lockstep = well(ControllerSettings(lockstep=True))
    assert "lockstep" in bad(lockstep)["image quality"].remedy
    viewer = Endpoint("/viewer", IMAGE, RELIABLE)
    seen = having(well(), "/image", readers=(viewer,))
    finding = bad(seen)["image quality"]
    assert finding.verdict is Verdict.WARN and finding.remedy.endswith("that /viewer asks for")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from((0.1, 1.0, math.inf)),
                          st.sampled_from((0.1, 1.0, math.inf)), st.booleans()),
                min_size=2, max_size=2))
def test_quality_fits_exactly_where_the_middleware_says_so(both) -> None:
    rclpy_qos = importlib.import_module("rclpy.qos")
    duration = importlib.import_module("rclpy.duration").Duration

    def profile(quality: Quality):
        found = rclpy_qos.QoSProfile(
            depth=1,
            reliability=rclpy_qos.ReliabilityPolicy(1 if quality.reliable else 2),
            durability=rclpy_qos.DurabilityPolicy(1 if quality.latched else 2),
            liveliness=rclpy_qos.LivelinessPolicy(3 if quality.manual else 1))
        if quality.deadline_s < math.inf:
            found.deadline = duration(seconds=quality.deadline_s)
        if quality.lease_s < math.inf:
            found.liveliness_lease_duration = duration(seconds=quality.lease_s)
        return found

    offer, ask = (Quality(*values) for values in both)
    verdict, _ = rclpy_qos.qos_check_compatible(profile(offer), profile(ask))
    assert (not topics.mismatch(offer, ask)) == (verdict == rclpy_qos.QoSCompatibility.OK)


# Timing

@pytest.mark.parametrize(("stream", "rate_hz", "verdict", "word"), [
    ("image", 1.5, Verdict.FAIL, "limits.max_age"), ("image", 5.0, Verdict.WARN, "8 and 60"),
    ("image", 30.0, Verdict.OK, ""), ("image", 90.0, Verdict.FAIL, "60 Hz or less"),
    ("imu", 50.0, Verdict.WARN, "100 and 1000"), ("imu", 400.0, Verdict.OK, ""),
    ("imu", 4000.0, Verdict.FAIL, "refused")])
def test_rate(stream, rate_hz, verdict, word) -> None:
    known = well().listened(stream)
    now = heard(rate_hz)
    seen = hearing(well(), stream, arrivals_ns=now.arrivals_ns, stamps_ns=now.stamps_ns,
                   sequence=now.sequence, readings=None, frames=known.frames)
    finding = next(f for f in judge(seen) if f.what == f"{stream} rate")
    assert finding.verdict is verdict and f"{rate_hz:.1f} Hz" in finding.found
    assert word in finding.remedy


def test_rates_are_those_of_the_simulator_that_policies_are_trained_in() -> None:
    sensors = importlib.import_module("lnn_ros.simulation.sensors")
    assert {name: rate.trained for name, rate in timing.RATES.items()} == {
        "camera": sensors.CAMERA.rate_hz, "imu": sensors.IMU.rate_hz}


def test_silent_publisher() -> None:
    seen = hearing(well(), "imu", arrivals_ns=(), stamps_ns=(), readings=None)
    only(seen, "imu rate", Verdict.FAIL, "though it has a publisher")


def test_gap() -> None:
    now = heard(20.0)
    arrivals = tuple(t + (600_000_000 if k > 50 else 0) for k, t in enumerate(now.arrivals_ns))
    seen = hearing(well(), "image", arrivals_ns=arrivals,
                   stamps_ns=tuple(t - 3_000_000 for t in arrivals))
    only(seen, "image gaps", Verdict.FAIL, "650 ms", "limits.max_age")


def test_repeated_stamps() -> None:
    stamps_ns = well().listened("image").stamps_ns
    seen = hearing(well(), "image", stamps_ns=tuple(np.repeat(stamps_ns[::2], 2).tolist()))
    assert "50%" in bad(seen)["image repeats"].found


@given(st.sets(st.integers(1, 998), max_size=900))
def test_counted_losses_are_exact(missing) -> None:
    left = tuple(k for k in range(1000) if k not in missing)
    share = timing.lost(Heard(sequence=left, arrivals_ns=left))
    assert share is not None and share[1]
    assert share[0] == pytest.approx(len(missing) / 1000)


@given(st.sets(st.integers(1, 98), max_size=25), st.floats(0.0, 0.05))
def test_losses_are_guessed_from_gaps_where_nothing_counts(missing, jitter) -> None:
    times = [round((k + jitter * math.sin(k)) * 50e6) + START_NS for k in range(100)
             if k not in missing]
    share = timing.lost(Heard(stamps_ns=tuple(times), arrivals_ns=tuple(times)))
    assert share is not None and not share[1]
    assert share[0] == pytest.approx(len(missing) / 100, abs=0.02)


def test_large_images_that_are_lost() -> None:
    known = well().listened("image")
    keep = [k for k in range(len(known)) if k % 10]
    seen = hearing(well(), "image", size=1_200_000, **{
        name: tuple(getattr(known, name)[k] for k in keep)
        for name in ("arrivals_ns", "stamps_ns", "sequence")})
    only(seen, "image losses", Verdict.WARN, "1,200,000 bytes", "compressed")


# Simulated time

def simulated(seen: Snapshot, clock) -> Snapshot:
    """Return a snapshot whose controller reads /clock."""
    from lnn_ros.nodes.doctor.intent import inputs

    seen = having(seen, "/clock", (Endpoint("/simulator", "rosgraph_msgs/msg/Clock"),))
    return dataclasses.replace(
        seen, simulated=True, clock=clock, inputs=inputs(
            seen.settings, seen.adapter, True, lambda name: f"/{name.lstrip('/')}"))


def clock(times_s) -> tuple[tuple[int, int], ...]:
    """Return /clock messages that come 50 ms apart."""
    return tuple((START_NS + k * 50_000_000, round(t * 1e9)) for k, t in enumerate(times_s))


def test_clock_that_stands() -> None:
    seen = simulated(well(), clock([1.0 + 0.05 * k for k in range(50)] + [3.5] * 50))
    found = bad(seen)
    assert found["clock"].verdict is Verdict.FAIL and "stood still for 2.5" in found["clock"].found


def test_clock_that_goes_back_or_says_nothing() -> None:
    seen = simulated(well(), clock([1.0 + 0.05 * (k % 50) for k in range(100)]))
    assert "back 1 times" in bad(seen)["clock"].found
    assert bad(simulated(well(), ()))["clock"].verdict is Verdict.FAIL
    missing = having(simulated(well(), ()), "/clock", ())
    assert "use_sim_time" in bad(missing)["/clock topic"].remedy


def test_simulated_sensors_are_judged_by_the_clock() -> None:
    times = clock([1.0 + 0.05 * k for k in range(101)])
    seen = simulated(well(), times)
    for name, rate_hz in (("image", 20.0), ("imu", 20.0)):
        now = heard(rate_hz)
        seen = hearing(seen, name, arrivals_ns=now.arrivals_ns, stamps_ns=tuple(
            round((1.0 + k / rate_hz - 0.01) * 1e9) for k in range(len(now))), readings=None)
    found = bad(seen)
    assert "image stamps" not in found and "image rate" not in found


def test_sensors_and_controller_of_different_clocks() -> None:
    times = clock([1.0 + 0.05 * k for k in range(101)])
    system_stamps = simulated(well(), times)
    assert "system's clock" in bad(system_stamps)["image stamps"].found
    now = heard(20.0)
    sim_stamps = hearing(dataclasses.replace(well(), clock=times), "image", stamps_ns=tuple(
        round((1.0 + k / 20) * 1e9) for k in range(len(now))))
    finding = bad(sim_stamps)["image stamps"]
    assert "/clock" in finding.found and "use_sim_time" in finding.remedy


# Stamps

def lagging(lag_s: float, offset_s: float = 0.0) -> Snapshot:
    """Return a robot whose camera stamps by another clock."""
    settings = ControllerSettings(camera=CameraSettings(offset_s=offset_s))
    return hearing(well(settings), "image", stamps_ns=heard(20.0, lag_s=lag_s).stamps_ns)


@given(st.one_of(st.floats(0.6, 1.7e9), st.floats(-1e6, -0.6)))
@settings(max_examples=40)
def test_offset_that_is_named_mends_it(lag_s) -> None:
    for given_s in (0.0, lag_s + 3.0):
        finding = only(lagging(lag_s, given_s), "image stamps", Verdict.FAIL, "camera.offset_s")
        number = float(finding.remedy.split("camera.offset_s to ")[1].split(",")[0])
        assert bad(lagging(lag_s, number)) == {}


def test_clock_since_boot_is_recognised() -> None:
    end = well().ended_ns
    seen = hearing(well(), "imu", stamps_ns=tuple(
        arrival - end + round(BOOT_S * 1e9) for arrival in well().listened("imu").arrivals_ns))
    only(seen, "imu stamps", Verdict.FAIL, "boot", "imu.offset_s")


def test_notable_offset_is_a_warning_and_a_small_one_is_none() -> None:
    only(lagging(0.2), "image stamps", Verdict.WARN, "0.200 s behind", "camera.offset_s to 0.200")
    assert bad(lagging(0.05)) == {}
    only(lagging(-0.2), "image stamps", Verdict.WARN, "ahead of")


def test_zero_stamps() -> None:
    seen = hearing(well(), "imu", stamps_ns=(0,) * 1000)
    only(seen, "imu stamps", Verdict.FAIL, "1000 of 1000", "header.stamp")


def test_stamps_that_go_back() -> None:
    known = list(well().listened("imu").stamps_ns)
    little = known[:500] + known[480:480 + 1] + known[501:]
    assert [f for f in stamps.check(hearing(well(), "imu", stamps_ns=tuple(little)))
            if "out of order" in f.found]
    far = (*known[:500], known[300], *known[501:])
    assert "imu stamps" in bad(hearing(well(), "imu", stamps_ns=far))


def test_clock_that_nobody_is_said_to_read() -> None:
    seen = dataclasses.replace(well(), stated=False, clock=clock([1.0, 1.05]))
    only(seen, "clock", Verdict.WARN, "use_sim_time")


# What the guard is told

GUARDED = build(ControllerSettings, {"modes.deadman": True, "fence.enabled": True,
                                     "scan.enabled": True, "scan.width": 3.0})
TOLD = {"deadman": "modes.deadman_max_age", "odom": "fence.max_age", "scan": "scan.max_age",
        "vehicle_state": "modes.vehicle_max_age"}


def guarded(**rates: float) -> Snapshot:
    """Return a robot with a deadman, a fence and a scanner, which come at 10 Hz."""
    seen = well(GUARDED)
    for wanted in seen.inputs:
        if wanted.limit_s:
            stamped = wanted.name in ("odom", "scan")
            now = heard(rates.get(wanted.name, 10.0), frame="x")
            seen = having(seen, wanted.topic, (Endpoint("/driver", wanted.kind, BEST),),
                          (Endpoint("/controller", wanted.kind, BEST),))
            seen = dataclasses.replace(seen, heard={**seen.heard, wanted.name: dataclasses.replace(
                seen.listened(wanted.name), arrivals_ns=now.arrivals_ns,
                stamps_ns=now.stamps_ns if stamped else ())})
    return seen


def test_what_the_guard_is_told_has_to_come_often_enough() -> None:
    assert bad(guarded()) == {}
    assert {w.name for w in guarded().inputs if w.limit_s} == set(TOLD)
    for name, parameter in TOLD.items():
        only(guarded(**{name: 0.4}), f"{name} gaps", Verdict.FAIL, "2.50 s", parameter)
        silent = guarded()
        silent = dataclasses.replace(silent, heard={
            key: what for key, what in silent.heard.items() if key != name})
        only(silent, f"{name} gaps", Verdict.FAIL, "though it has a publisher")


def test_stamps_of_what_the_guard_is_told() -> None:
    for name in ("odom", "scan"):
        stamped = guarded().listened(name).stamps_ns
        zero = hearing(guarded(), name, stamps_ns=(0,) * len(stamped))
        only(zero, f"{name} stamps", Verdict.FAIL, "are zero")
        for off in (1, -1):
            other = hearing(guarded(), name, stamps_ns=tuple(
                stamp - off * 3_000_000_000 for stamp in stamped))
            only(other, f"{name} stamps", Verdict.FAIL, "3.0 s", "chrony")


# Frames

def tree(base: str, frame: str, mounting: Mounting, optical: bool = False):
    """Return /tf_static of a sensor's mounting."""
    plate = Mounting(0.3, -0.2, 0.7).rotation
    rotation = plate.T @ mounting.rotation
    if optical:
        rotation = rotation @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    w, x, y, z = messages.quaternion(rotation)
    stamped = SimpleNamespace(
        child_frame_id=frame, header=SimpleNamespace(frame_id="plate"),
        transform=SimpleNamespace(rotation=SimpleNamespace(w=w, x=x, y=y, z=z)))
    still = SimpleNamespace(
        child_frame_id="plate", header=SimpleNamespace(frame_id=f"/{base}"),
        transform=SimpleNamespace(rotation=SimpleNamespace(
            **dict(zip("wxyz", messages.quaternion(plate), strict=True)))))
    return frames.transforms([SimpleNamespace(transforms=[stamped, still])])


ANGLE = st.floats(-1.4, 1.4)


@given(ANGLE, ANGLE, ANGLE, st.booleans())
@settings(max_examples=40)
def test_mounting_of_the_transforms_is_named_and_mends_it(roll, pitch, yaw, optical) -> None:
    frame = "front_optical_frame" if optical else "imu_link"
    stream, name = ("camera", "image") if optical else ("imu", "imu")
    transforms = tree("base_link", frame, Mounting(roll, pitch, yaw), optical)
    seen = hearing(dataclasses.replace(well(), transforms=transforms), name, frames=(frame,))
    found = [f for f in frames.check(seen) if f.what == f"{name} frame"]
    if found[0].verdict is Verdict.OK:
        assert max(map(abs, (roll, pitch, yaw))) < math.radians(10.0)
        return
    words = dict(part.rsplit(" ", 1) for part in
                 found[0].remedy.removeprefix("set ").split(", or")[0].split(", "))
    values = {axis: float(words[f"{stream}.{axis}"]) for axis in ("roll", "pitch", "yaw")}
    assert np.allclose(Mounting(**values).rotation, Mounting(roll, pitch, yaw).rotation, atol=1e-3)
    group = {"camera": CameraSettings, "imu": ImuSettings}[stream](**values)
    mended = dataclasses.replace(seen, settings=ControllerSettings(**{stream: group}))
    (finding,) = [f for f in frames.check(mended) if f.what == f"{name} frame"]
    assert finding.verdict is Verdict.OK and "/tf_static" in finding.found


def test_frames_that_are_empty_change_or_are_turned_twice() -> None:
    only(hearing(well(), "imu", frames=("",)), "imu frame", Verdict.WARN, "frame_id")
    only(hearing(well(), "imu", frames=("a", "b")), "imu frame", Verdict.WARN, "a, b")
    seen = hearing(well(ControllerSettings(imu=ImuSettings(roll=0.05))), "imu",
                   frames=("base_link",))
    only(seen, "imu frame", Verdict.WARN, "imu.roll 0.05")


def test_transforms_in_a_circle_lead_nowhere() -> None:
    still = (1.0, 0.0, 0.0, 0.0)
    assert frames.turned({"a": ("b", still), "b": ("a", still)}, "base_link", "a") is None


# Camera

def test_calibration_of_another_size() -> None:
    seen = hearing(well(), "camera_info", last=calibration(640, 480, 320.0))
    only(seen, "camera_info size", Verdict.FAIL, "640x480", "64x48")


@pytest.mark.parametrize(("info", "words"), [
    (SimpleNamespace(**{**vars(calibration()), "k": (0.0,) * 9}), ("K of zeros", "camera.fov_deg")),
    (calibration(model="thin_prism", d=(0.1,) * 5), ("thin_prism",)),
])
def test_calibration_that_cannot_be_used(info, words) -> None:
    seen = hearing(well(), "camera_info", last=info)
    finding = bad(seen)["camera_info content"]
    assert finding.verdict is Verdict.FAIL
    assert all(word in f"{finding.found} {finding.remedy}" for word in words)


def test_lens_that_sees_too_little() -> None:
    seen = hearing(well(), "camera_info", last=calibration(focal=100.0))
    only(seen, "camera geometry", Verdict.FAIL, "35", "90 degrees across")


def test_camera_that_looks_elsewhere_names_the_mounting() -> None:
    seen = well(ControllerSettings(camera=CameraSettings(yaw=1.0)))
    only(seen, "camera geometry", Verdict.FAIL, "camera.yaw")


def test_field_of_view_by_parameter() -> None:
    good = well(ControllerSettings(camera=CameraSettings(info=False, fov_deg=90.0)))
    assert bad(good) == {}
    narrow = well(ControllerSettings(camera=CameraSettings(info=False, fov_deg=40.0)))
    assert list(bad(narrow)) == ["camera geometry"]


def test_picture_that_cannot_be_read_is_black_or_frozen() -> None:
    only(hearing(well(), "image", last=picture(encoding="yuv422")), "image content", Verdict.FAIL,
         "yuv422")
    only(hearing(well(), "image", last=picture(), first=picture()), "image content", Verdict.WARN,
         "equal")
    dark = picture()
    dark.data = bytes(len(dark.data))
    only(hearing(well(), "image", last=dark), "image content", Verdict.WARN, "black")


def compressed(seed: int) -> SimpleNamespace:
    """Return a CompressedImage with noise in it."""
    pil = importlib.import_module("PIL.Image")
    pixels = np.frombuffer(picture(seed=seed).data, np.uint8).reshape(48, 64, 3)
    pil.fromarray(pixels).save(file := io.BytesIO(), "jpeg")
    return SimpleNamespace(format="rgb8; jpeg compressed bgr8", data=file.getvalue())


def test_compressed_images_are_judged_as_raw_ones() -> None:
    seen = well(ControllerSettings(image_transport="compressed"))
    seen = having(seen, "/image/compressed", (Endpoint("/camera", COMPRESSED, BEST),),
                  (Endpoint("/controller", COMPRESSED, BEST),))
    assert bad(hearing(seen, "image", first=compressed(0), last=compressed(1))) == {}
    cut = compressed(1)
    cut.data = cut.data[:40]
    only(hearing(seen, "image", last=cut), "image content", Verdict.FAIL, "could not be read")


def test_calibration_of_another_frame_or_none() -> None:
    only(hearing(well(), "camera_info", frames=("rear",)), "camera_info frame", Verdict.WARN,
         "rear")
    silent = dataclasses.replace(well(), heard={
        name: what for name, what in well().heard.items() if name != "camera_info"})
    only(silent, "camera_info content", Verdict.FAIL, "latched")


# IMU

def turned_imu(mounting: Mounting, settings: ImuSettings | None = None) -> Snapshot:
    """Return a robot at rest whose IMU is mounted like this."""
    gravity = mounting.rotation.T @ HOVER[3:]
    readings = resting(np.concatenate([np.zeros(3), gravity]))
    return hearing(well(ControllerSettings(imu=settings or ImuSettings())), "imu",
                   readings=readings)


@given(st.floats(-math.pi, math.pi), st.floats(-1.3, 1.3))
@settings(max_examples=40)
def test_mounting_of_the_imu_is_named_and_mends_it(roll, pitch) -> None:
    seen = turned_imu(Mounting(roll, pitch))
    found = bad(seen)
    if not found:
        assert math.cos(roll) * math.cos(pitch) > math.cos(math.radians(11.0))
        return
    assert list(found) == ["imu mounting"]
    words = found["imu mounting"].remedy.replace(",", " ").split()
    values = {axis: float(words[words.index(f"imu.{axis}") + 2]) for axis in ("roll", "pitch")}
    assert bad(turned_imu(Mounting(roll, pitch), ImuSettings(**values))) == {}


def test_driver_that_speaks_ned() -> None:
    finding = only(turned_imu(Mounting(math.pi)), "imu mounting", Verdict.FAIL, "180 degrees",
                   "forward, right, down")
    assert "imu.roll to 3.1416 and imu.pitch to 0.0000" in finding.remedy


@pytest.mark.parametrize(("force", "word", "verdict"), [
    ((0.0, 0.0, 1.0), "these look like g", Verdict.FAIL),
    ((0.0, 0.0, 0.02), "gravity has been taken out", Verdict.FAIL),
    ((0.0, 0.0, 1003.0), "thousandths", Verdict.FAIL),
    ((0.0, 0.0, 11.5), "expected about 9.81", Verdict.WARN)])
def test_units_of_forces(force, word, verdict) -> None:
    seen = hearing(well(), "imu", readings=resting(np.array([0.0, 0.0, 0.0, *force])))
    only(seen, "imu gravity", verdict, word)


def swinging(scale: float) -> np.ndarray:
    """Return readings of a body that is rocked about x, by hand: rates times ``scale``."""
    t = np.arange(1000) / 200.0
    angle, rate = 0.5 * np.sin(2.0 * t), 1.0 * np.cos(2.0 * t)
    readings = np.zeros((1000, 6))
    readings[:, 0] = scale * rate
    readings[:, 4], readings[:, 5] = 9.81 * np.sin(angle), 9.81 * np.cos(angle)
    return readings + np.random.default_rng(1).normal(0.0, 0.05, (1000, 6))


def test_rates_in_degrees_show_in_motion_and_by_the_bias_at_rest() -> None:
    for readings in (swinging(180.0 / math.pi),
                     resting(np.array([1.2, 0.0, 0.0, 0.0, 0.0, 9.81]))):
        seen = hearing(well(), "imu", readings=readings)
        only(seen, "imu rates", Verdict.FAIL, "degrees a second", "0.0174533")
    assert "imu rates" not in bad(hearing(well(), "imu", readings=swinging(1.0)))


def test_turn_about_the_vertical_does_not_show_and_is_not_asked_to() -> None:
    readings = resting()
    readings[:, 2] += 1.5
    assert bad(hearing(well(), "imu", readings=readings)) == {}


def test_flight_is_not_judged_as_rest() -> None:
    t = np.arange(1000) / 200.0
    readings = resting()
    readings[:, 3] += 3.0 * np.sin(3.0 * t)
    readings[:, 5] += 2.0 * np.cos(2.0 * t)
    seen = hearing(well(), "imu", readings=readings)
    assert not imu.at_rest(readings) and bad(seen) == {}
    turns = resting()
    turns[:, 2] += np.sin(3.0 * t)
    assert not imu.at_rest(turns) and imu.at_rest(resting())
    hovers = hearing(well(), "vehicle_state", last=said(airborne="true", velocity_mode="true"))
    assert all("in motion" in f.found for f in judge(hovers) if f.what == "imu rates")


def test_imu_without_one_of_its_halves() -> None:
    seen = hearing(well(), "imu", readings=np.zeros((0, 6)),
                   problem="IMU says that it has no angular_velocity")
    only(seen, "imu content", Verdict.FAIL, "no angular_velocity")


# Vehicle

def test_two_who_command() -> None:
    seen = having(well(), "/cmd_vel", (*well().topic("/cmd_vel").publishers,
                                       Endpoint("/joystick", STAMPED)))
    only(seen, "cmd_vel", Verdict.FAIL, "/controller and /joystick", "takeover")


def test_twist_where_a_stamped_one_is_expected() -> None:
    publisher = having(well(), "/cmd_vel", (Endpoint("/teleop", TWIST),))
    assert "carries Twist from /teleop" in bad(publisher)["cmd_vel"].found
    reader = having(well(), "/cmd_vel", readers=(*well().topic("/cmd_vel").readers,
                                                 Endpoint("/base", TWIST)))
    only(reader, "cmd_vel", Verdict.FAIL, "/base listens for Twist", "/vehicle/cmd_vel")
    vehicle = having(well(), "/vehicle/cmd_vel", readers=(Endpoint("/base", TWIST),))
    assert "set the parameter vehicle to" in bad(vehicle)["vehicle/cmd_vel"].remedy
    assert "twist" in bad(vehicle)["vehicle/cmd_vel"].remedy


def test_command_in_another_frame() -> None:
    seen = hearing(well(), "cmd_vel", frames=("map",))
    only(seen, "cmd_vel", Verdict.FAIL, "'map'", "base_frame")


def test_best_effort_commands_are_not_heard() -> None:
    seen = having(well(), "/cmd_vel", (Endpoint("/planner", STAMPED, BEST),))
    finding = [f for f in judge(seen) if f.what == "cmd_vel" and f.verdict is Verdict.FAIL]
    assert "change the reliability of /planner" in finding[0].remedy


def test_adapter_that_listens_twice_hears_with_one_of_them() -> None:
    """It asks for a sign of life with a second subscription, which not everybody promises."""
    readers = (Endpoint("/vehicle_adapter", STAMPED, RELIABLE),
               Endpoint("/vehicle_adapter", STAMPED, Quality(lease_s=1.0, manual=True)))
    seen = having(well(), "/cmd_vel", (Endpoint("/planner", STAMPED, RELIABLE),), readers)
    only(seen, "cmd_vel", Verdict.WARN, "/planner, not by /controller")
    assert bad(having(well(), "/cmd_vel", readers=readers)) == {}


def test_vehicle_whose_types_are_not_installed() -> None:
    seen = dataclasses.replace(well(), absent=("px4_msgs/msg/VehicleStatus",))
    only(seen, "vehicle types", Verdict.FAIL, "px4_msgs/msg/VehicleStatus is not installed")


def test_vehicle_that_says_nothing_another_type_or_keeps_nothing() -> None:
    vehicle = vehicles.make("mavros")
    seen = well(adapter=VehicleAdapterSettings(vehicle="mavros"))
    for topic in vehicle.says:
        assert f"nobody publishes {topic}" in bad(seen)[topic].found
    topic, kind = next(iter(vehicle.says.items()))
    other = having(seen, "/mavros/other", (Endpoint("/mavros", kind),))
    assert bad(other)[topic].remedy == f"remap {topic}:=/mavros/other"
    wrong = having(seen, topic, (Endpoint("/mavros", IMAGE),))
    assert "expected" in bad(wrong)[topic].found
    right = having(seen, topic, (Endpoint("/mavros", kind),))
    assert (topic in bad(right)) == (topic in vehicle.latched)
    for name in vehicles.kinds():
        for kept in vehicles.make(name).latched:
            seen = having(well(adapter=VehicleAdapterSettings(vehicle=name)), kept,
                          (Endpoint("/bridge", vehicles.make(name).says[kept]),))
            assert "durability of /bridge" in bad(seen)[kept].remedy


def test_no_adapter() -> None:
    found = bad(without(well(), "/vehicle_adapter"))
    assert found["vehicle_adapter"].verdict is Verdict.FAIL
    assert "ros2 run lnn_ros vehicle_adapter" in found["vehicle_adapter"].remedy
    both = bad(without(well(), "/vehicle_adapter", "/controller"))
    assert both["vehicle_adapter"].verdict is both["controller"].verdict is Verdict.WARN
    assert not bad(without(well(ControllerSettings(lockstep=True)), "/vehicle_adapter")
                   ).get("vehicle_adapter")


@pytest.mark.parametrize(("state", "level", "verdict", "word"), [
    ("contested", 1, Verdict.FAIL, "stop all publishers"),
    ("timed out", 1, Verdict.FAIL, "3 cmd_vel.frame"),
    ("waiting", 2, Verdict.FAIL, "set the parameter vehicle")])
def test_what_the_adapter_says(state, level, verdict, word) -> None:
    status = said(level, f"{state}: so it is", state=state)
    status.values.append(SimpleNamespace(key="cmd_vel.frame", value="3"))
    seen = hearing(well(), "vehicle_adapter/status", last=status)
    only(seen, "vehicle_adapter", verdict, state, word)


def test_nobody_listens_and_who_may_be_meant() -> None:
    seen = having(well(), "/vehicle/cmd_vel", readers=())
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "nobody listens")
    there = having(seen, "/mavros/setpoint_velocity/cmd_vel", (), (Endpoint("/mavros", STAMPED),))
    only(there, "vehicle/cmd_vel", Verdict.FAIL,
         "remap vehicle/cmd_vel:=/mavros/setpoint_velocity/cmd_vel")


def test_recorder_is_no_vehicle() -> None:
    seen = having(well(), "/vehicle/cmd_vel", readers=(Endpoint("/companion", STAMPED, RELIABLE),))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "nobody listens")


def test_somebody_else_tells_the_vehicle() -> None:
    seen = having(well(), "/vehicle/cmd_vel", (*well().topic("/vehicle/cmd_vel").publishers,
                                               Endpoint("/teleop", STAMPED)))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "/teleop")


def test_vehicle_that_asks_for_more_than_the_adapter_offers() -> None:
    seen = having(well(), "/vehicle/cmd_vel",
                  readers=(Endpoint("/autopilot", STAMPED, Quality(latched=True)),))
    only(seen, "vehicle/cmd_vel", Verdict.FAIL, "durability that /autopilot asks for")


@pytest.mark.parametrize(("airborne", "verdict"), [
    ("true", Verdict.OK), ("false", Verdict.OK), ("", Verdict.FAIL), ("perhaps", Verdict.FAIL)])
def test_what_the_vehicle_says(airborne, verdict) -> None:
    seen = hearing(well(), "vehicle_state", last=said(airborne=airborne, velocity_mode="true"))
    (finding,) = [f for f in judge(seen) if f.what == "vehicle_state"]
    assert finding.verdict is verdict


# Controller

def test_controller_in_trouble_fault_or_another_state() -> None:
    troubles = said(1, "hold: imu is stale; nothing arrives", troubles="nothing arrives",
                    active="true")
    only(hearing(well(), "controller/status", last=troubles), "controller", Verdict.FAIL,
         "nothing arrives")
    hold = said(1, "hold: the control loop stood still", active="true", troubles="")
    only(hearing(well(), "controller/status", last=hold), "controller", Verdict.WARN,
         "/controller/engage")
    fault = said(2, "fault: it broke", active="true", troubles="")
    only(hearing(well(), "controller/status", last=fault), "controller", Verdict.FAIL,
         "/controller/reset")
    seen = dataclasses.replace(well(), lifecycle={"/controller": "inactive"})
    only(seen, "controller lifecycle", Verdict.FAIL, "ros2 lifecycle set /controller activate")


def test_controller_of_another_namespace() -> None:
    seen = without(well(), "/controller", "/vehicle_adapter")
    seen = dataclasses.replace(seen, nodes=seen.nodes | {"/drone2/controller"})
    assert "--namespace drone2" in bad(seen)["controller"].remedy


def test_controller_that_listens_elsewhere() -> None:
    seen = having(well(), "/imu", readers=())
    seen = having(seen, "/mavros/imu/data", (), (Endpoint("/controller", IMU, BEST),))
    only(seen, "controller topics", Verdict.FAIL, "but to /mavros/imu/data", "imu:=/imu")


def test_samples_that_the_controller_drops() -> None:
    seen = dataclasses.replace(well(), dropped={"camera.dropped_late": 12})
    only(seen, "controller samples", Verdict.WARN, "12 of 100 camera.dropped_late")
    few = dataclasses.replace(well(), dropped={"camera.dropped_late": 2})
    assert bad(few) == {}


def test_growth_of_counts() -> None:
    def report(**values: str):
        status = said(**{"imu.rate_hz": "200"}, **{
            key.replace("__", "."): value for key, value in values.items()})
        status.name = "controller: control"
        return SimpleNamespace(status=[said(camera__dropped_late="99"), status])

    first = report(camera__dropped_late="3")
    last = report(camera__dropped_late="7", imu__stamp="2", imu__accepted="900", rewinds="8")
    assert grown([first, last], "controller: control") == {"camera.dropped_late": 4,
                                                           "imu.stamp": 2}
    assert grown([], "controller: control") == {}


def test_virtual_camera_of_these_tests_is_the_shipped_policys() -> None:
    from lnn_ros.nodes.doctor.intent import policy

    assert policy("fly_to_target").camera == VIRTUAL
    assert "no such" in policy("no such").problem


def test_every_sensor_of_distances_that_is_enabled_is_looked_for():
    wanted = build(ControllerSettings, {f"{name}.enabled": True for name in SENSORS})
    found = intent.inputs(wanted, VehicleAdapterSettings(), False, str)
    kinds = {item.name: item.kind for item in found}
    assert {*SENSORS, "depth_info"} <= set(kinds)
    assert kinds["range_left"] == kinds["range"] == "sensor_msgs/msg/Range"
