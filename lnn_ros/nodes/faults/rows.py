"""The faults of the campaign: what is injected, and what must come of it."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass

from lnn_ros.nodes.faults.actions import (
    Action,
    BadStart,
    Burst,
    Deactivate,
    Garbage,
    NobodyListens,
    Parameters,
    Send,
    Spoil,
    Starve,
    Takeover,
)
from lnn_ros.nodes.faults.verdict import Expectation

HOLDS = Expectation("cmd_vel", 1.4, modes=("hold",))
"""A required stream is stale after 0.5 s; braking from the greatest speed takes 0.3 s."""
HOLDS_AT_ONCE = Expectation("cmd_vel", 0.8, modes=("hold",))
"""A deadman that is let go needs not be waited for."""
HOLDS_LATER = Expectation("cmd_vel", 3.2, modes=("hold",))
"""What the vehicle says is unknown after 2 s."""
LEAVES = Expectation("cmd_vel", 0.6, modes=("disengaged",))
STANDS = Expectation("cmd_vel", 1.4)
"""It must stand; in which mode is the controller's affair."""
FLIES = Expectation(flies=True, modes=("engaged",))
BOUNDED = Expectation()
"""Not found, or not by this: it must only stay inside of its limits."""
ADAPTER = Expectation("vehicle/cmd_vel", 0.8)
"""The controller cannot: the adapter says zero 0.5 s after the last command."""
VEHICLE = Expectation("ground_truth", 2.5)
"""The adapter cannot either: the vehicle's own timeout."""
STALLS = Expectation("cmd_vel", 0.8)
"""A thread beside the loop says zero, at once, when the loop has not been heard of for 0.3 s."""
SLOWS = Expectation(slow=0.35)
"""Where no sensor sees anything, 0.3 m/s are allowed."""
BLOCKED = Expectation("ahead", 1.4, modes=("engaged",))


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes
    ----------
    name : str
        ``subject.fault``.
    injected : str
        What is done, for a person.
    action : Action
        Does it.
    wanted : Expectation
        What must come of it, besides what must always hold.
    recovers : {"itself", "engage", "reset", "restart", "any"}
        How it flies again after the fault: by itself; only when a person engages; after ``~/reset``
        and ``~/engage``; the process comes up disengaged, and a person engages; in any of these
        ways.
    lasts : float
        Seconds from the injection to the end of the fault, of simulated time while it passes.
    steady : bool
        Whether these are seconds of a steady clock in any case.
    profile : str
        Which controller: ``stage.PROFILES``.
    ends : tuple of str
        Processes that may have ended when the fault ends.
    by_trace : bool
        Whether the commands that count are those of the controller's trace, because ``cmd_vel`` is
        not heard, or not the controller's alone.
    """

    name: str
    injected: str
    action: Action
    wanted: Expectation
    recovers: str = "itself"
    lasts: float = 1.5
    steady: bool = False
    profile: str = "flight"
    ends: tuple[str, ...] = ()
    by_trace: bool = False


def _stream(stream: str, words: str, *rows: tuple[str, str, str, float, Expectation, str]
            ) -> list[Row]:
    """Return rows of one stream: name, what is done, change, value, what must come of it."""
    return [Row(f"{stream.lstrip('/')}.{name}", f"{words}: {done}", Spoil(stream, change, value),
                wanted, recovers)
            for name, done, change, value, wanted, recovers in rows]


_IMAGE = _stream(
    "image", "images",
    ("silent", "none", "silent", 0, HOLDS, "itself"),
    ("stuck", "the same one, stamp and all", "stuck", 0, HOLDS, "itself"),
    ("frozen", "the same picture, with new stamps", "frozen", 0, BOUNDED, "itself"),
    ("black", "black", "filled", 0, BOUNDED, "itself"),
    ("white", "white", "filled", 255, BOUNDED, "itself"),
    ("noise", "random pixels", "noise", 0, BOUNDED, "itself"),
    ("resized", "half as wide and high in mid-flight", "resized", 2, BOUNDED, "itself"),
    ("enlarged", "eight times as wide and high in mid-flight", "enlarged", 8, BOUNDED, "itself"),
    ("encoding", "of an encoding that is not taken", "encoding", 0, HOLDS, "itself"),
    ("short", "with a quarter of the data that they state", "lying", 0, HOLDS, "itself"),
    ("twice", "each twice", "copies", 2, FLIES, "itself"),
    ("reordered", "every four in reverse order", "reordered", 0, FLIES, "itself"),
    ("flood", "ten times as many", "flood", 0, FLIES, "itself"),
    ("past", "stamped 10 s ago", "shifted", -10, HOLDS, "itself"),
    ("future", "stamped in 10 s", "shifted", 10, HOLDS, "itself"),
    ("ahead", "stamped in 0.3 s", "shifted", 0.3, FLIES, "itself"),
    ("unstamped", "stamped zero", "unstamped", 0, HOLDS, "itself"),
    ("truncated", "cut short", "truncated", 0, HOLDS, "itself"),
    ("garbled", "with random bytes in place of every fiftieth", "garbled", 0, BOUNDED, "itself"),
)
_IMU = _stream(
    "imu", "inertial data",
    ("silent", "none", "silent", 0, HOLDS, "itself"),
    ("stuck", "the same sample, stamp and all", "stuck", 0, HOLDS, "itself"),
    ("frozen", "the same reading, with new stamps", "frozen", 0, BOUNDED, "itself"),
    ("nan", "NaN", "numbers", math.nan, HOLDS, "itself"),
    ("inf", "infinite", "numbers", math.inf, HOLDS, "itself"),
    ("huge", "1e6 rad/s and m/s^2", "numbers", 1e6, HOLDS, "itself"),
    ("wild", "50 rad/s and m/s^2", "numbers", 50.0, BOUNDED, "itself"),
    ("twice", "each twice", "copies", 2, FLIES, "itself"),
    ("reordered", "every four in reverse order", "reordered", 0, FLIES, "itself"),
    ("flood", "ten times as many", "flood", 0, FLIES, "itself"),
    ("past", "stamped 10 s ago", "shifted", -10, HOLDS, "itself"),
    ("future", "stamped in 10 s", "shifted", 10, HOLDS, "itself"),
    ("unstamped", "stamped zero", "unstamped", 0, HOLDS, "itself"),
    ("truncated", "cut short", "truncated", 0, HOLDS, "itself"),
    ("garbled", "with random bytes in place of every fiftieth", "garbled", 0, BOUNDED, "itself"),
)
_INFO = _stream(
    "camera_info", "calibration",
    ("silent", "none", "silent", 0, FLIES, "itself"),
    ("nan", "NaN", "numbers", math.nan, FLIES, "itself"),
    ("zero", "not calibrated", "uncalibrated", 0, FLIES, "itself"),
    ("focus", "three times the focal length in mid-flight", "focus", 3, BOUNDED, "itself"),
    ("truncated", "cut short", "truncated", 0, FLIES, "itself"),
)
_OTHERS = [
    *_stream("odom", "odometry (with a fence)",
             ("silent", "none", "silent", 0, HOLDS, "itself"),
             ("stuck", "the same one, stamp and all", "stuck", 0, HOLDS, "itself"),
             ("nan", "NaN", "numbers", math.nan, HOLDS, "itself"),
             ("inf", "infinite", "numbers", math.inf, HOLDS, "itself"),
             ("twice", "each twice", "copies", 2, FLIES, "itself"),
             ("reordered", "every four in reverse order", "reordered", 0, FLIES, "itself"),
             ("flood", "ten times as many", "flood", 0, FLIES, "itself"),
             ("past", "stamped 10 s ago", "shifted", -10, HOLDS, "itself"),
             ("future", "stamped in 10 s", "shifted", 10, HOLDS, "itself"),
             ("truncated", "cut short", "truncated", 0, HOLDS, "itself")),
    *_stream("deadman", "the deadman",
             ("released", "let go", "no", 0, HOLDS_AT_ONCE, "engage"),
             ("silent", "says nothing", "silent", 0, HOLDS, "engage")),
    *_stream("vehicle_state", "the vehicle",
             ("landed", "says that it is not airborne", "no", 0, LEAVES, "engage")),
    Row("vehicle_state.nonsense", "the vehicle: says 'perhaps'", Spoil("vehicle_state", "nonsense"),
        HOLDS_LATER, lasts=3.4),
    Row("vehicle_state.silent", "the vehicle: says nothing", Spoil("vehicle_state", "silent"),
        HOLDS_LATER, lasts=3.4),
    Row("image.gone", "images: none for 5 s, so long that a person has to engage",
        Spoil("image", "silent"), HOLDS, "engage", lasts=5.0),
    *_stream("/clock", "time",
             ("stopped", "stands still", "silent", 0, STANDS, "itself"),
             ("back", "goes back by 3 s", "shifted", -3, BOUNDED, "any"),
             ("forward", "goes forward by 60 s", "shifted", 60, STANDS, "any"),
             ("zero", "is zero", "unstamped", 0, STANDS, "any"),
             ("shaking", "goes to and fro by 0.2 s", "stepped", 0.2, BOUNDED, "any"),
             ("twice", "each message twice", "copies", 2, FLIES, "itself"),
             ("reordered", "every four messages in reverse order", "reordered", 0, BOUNDED,
              "itself"),
             ("truncated", "messages cut short", "truncated", 0, STANDS, "itself")),
]
_RIVALS = [
    Row(f"rival.{name}", f"a second publisher on {stream}: {done}",
        Spoil(stream, change, value, rival=True), wanted,
        "any" if stream == "/clock" else "itself")
    for name, stream, done, change, value, wanted in (
        ("image_same", "image", "the same", "copies", 1, FLIES),
        ("image_other", "image", "random pixels of the same stamp", "noise", 0, BOUNDED),
        ("image_clock", "image", "the same by another clock", "shifted", -1000, FLIES),
        ("imu_same", "imu", "the same", "copies", 1, FLIES),
        ("imu_nan", "imu", "NaN", "numbers", math.nan, FLIES),
        ("imu_clock", "imu", "the same by another clock", "shifted", 1000, FLIES),
        ("info_other", "camera_info", "another calibration", "focus", 3, BOUNDED),
        ("clock_other", "/clock", "another time", "shifted", 500, BOUNDED),
    )
]
_PERSON = [
    Row("takeover.person", "a person commands more than is allowed", Takeover(),
        Expectation(modes=("takeover",)), "engage"),
    Row("takeover.nan", "a person commands NaN", Takeover("numbers", math.nan), FLIES),
]
_KILL, _STOP = signal.SIGKILL, signal.SIGSTOP
_PROCESSES = [
    Row("controller.killed", "the controller is killed", Send("controller", _KILL), ADAPTER,
        "restart", ends=("controller",)),
    Row("controller.stopped", "the controller is stopped (SIGSTOP)", Send("controller", _STOP),
        ADAPTER, "any"),
    Row("controller.respawned", "the controller is killed and started again at once",
        Send("controller", _KILL, at_once=True), ADAPTER, "restart", lasts=5.0),
    Row("controller.terminated", "the controller is told to end (SIGTERM)",
        Send("controller", signal.SIGTERM), Expectation("cmd_vel", 0.8), "restart",
        ends=("controller",)),
    Row("controller.deactivated", "the controller is deactivated", Deactivate(),
        Expectation("cmd_vel", 0.8), "engage"),
    Row("controller.stalled", "the control loop stalls for 2 s",
        Send("controller", signal.SIGUSR1), STALLS, lasts=1.8, steady=True),
    Row("simulator.killed", "the simulator is killed: all sensors and the clock",
        Send("simulator", _KILL), STANDS, "any", ends=("simulator",)),
    Row("simulator.stopped", "the simulator is stopped (SIGSTOP)", Send("simulator", _STOP),
        STANDS, "itself"),
    Row("companion.killed", "the companion is killed while it records",
        Send("companion", _KILL), FLIES, ends=("companion",)),
    Row("companion.stopped", "the companion is stopped (SIGSTOP)", Send("companion", _STOP),
        FLIES),
    Row("adapter.killed", "the vehicle adapter is killed", Send("vehicle_adapter", _KILL), VEHICLE,
        "any", lasts=2.7, ends=("vehicle_adapter",)),
    Row("adapter.stopped", "the vehicle adapter is stopped (SIGSTOP)",
        Send("vehicle_adapter", _STOP), VEHICLE, "any", lasts=2.7),
    Row("listeners.none", "nobody listens on cmd_vel", NobodyListens(), VEHICLE, "any", lasts=2.7,
        ends=("vehicle_adapter", "companion"), by_trace=True),
    Row("cpu.starved", "every core is taken for 3 s", Starve(3.0), BOUNDED, "any", lasts=3.2),
]
_FILES = [
    Row("parameters.nonsense", "nonsense parameters in flight", Parameters("controller", (
        {"limits.forward": math.nan}, {"limits.max_age": -1.0}, {"rate_hz": 0.0},
        {"braking.forward": 0.5}, {"normal.jerk_forward": 1e9}, {"fence.x_low": 200.0},
        {"policy": "/dev/zero"}, {"limits.forward": "fast"}, {"use_sim_time": False},
        {"takeover.timeout": math.inf}, {"obstacles.margin": -1.0},
    )), FLIES),
    Row("parameters.start", "the controller is started with nonsense parameters",
        BadStart((("rate_hz", -5.0), ("limits.max_age", -1.0))), ADAPTER, "restart", lasts=4.0),
    Row("checkpoint.garbage", "the checkpoint is replaced by garbage, then ~/reset",
        Garbage(b"\x93NUMPY garbage" * 4000, True), Expectation("cmd_vel", 0.8, modes=("fault",)),
        "reset"),
    Row("checkpoint.empty", "the checkpoint is emptied, then ~/reset", Garbage(b"", True),
        Expectation("cmd_vel", 0.8, modes=("fault",)), "reset"),
    Row("checkpoint.unread", "the checkpoint is replaced by garbage in flight",
        Garbage(b"\x93NUMPY garbage" * 4000, False), FLIES),
]
_SENSORS = ("scan", "range", "depth", "points")
_SENSING = [
    Row(f"{sensor}.{fault}", f"{sensor}: {done}", Spoil(sensor, change, value), wanted,
        profile=sensor)
    for sensor in _SENSORS
    for fault, done, change, value, wanted in (
        ("silent", "nothing", "silent", 0, SLOWS),
        ("nan", "NaN", "ranges", math.nan, SLOWS),
        ("wall", "a wall at 0.4 m", "ranges", 0.4, BLOCKED),
        ("past", "stamped 10 s ago", "shifted", -10, SLOWS),
        ("future", "stamped in 10 s", "shifted", 10, SLOWS),
        ("flood", "ten times as often", "flood", 0, FLIES),
        ("truncated", "cut short", "truncated", 0, SLOWS),
    )
]
_COMPRESSED = [
    Row(f"compressed.{fault}", f"compressed images: {done}",
        Spoil("image/compressed", change, value), wanted, profile="compressed")
    for fault, done, change, value, wanted in (
        ("silent", "none", "silent", 0, HOLDS),
        ("noise", "random bytes where the picture is", "noise", 0, HOLDS),
        ("huge", "of 60,000 x 60,000 pixels, as their heads say", "huge", 60_000, HOLDS),
        ("format", "of a format that is not taken", "encoding", 0, HOLDS),
        ("truncated", "cut short", "truncated", 0, HOLDS),
        ("garbled", "with random bytes in place of every fiftieth", "garbled", 0, BOUNDED),
        ("flood", "ten times as many", "flood", 0, FLIES),
    )
]
_BURSTS = [
    Row(f"hostile.{topic}",
        f"1,000 {kind} of hostile values and 1,000 broken payloads on {topic}, in 4 s",
        Burst(topic, kind), BOUNDED, "any", lasts=0.5, profile=profile,
        by_trace=topic == "cmd_vel")
    for topic, kind, profile in (
        ("image", "Image", "flight"), ("camera_info", "CameraInfo", "flight"),
        ("imu", "Imu", "flight"), ("takeover", "TwistStamped", "flight"),
        ("deadman", "Bool", "flight"), ("odom", "Odometry", "flight"),
        ("vehicle_state", "DiagnosticStatus", "flight"), ("/clock", "Clock", "flight"),
        ("cmd_vel", "TwistStamped", "flight"),
        ("image/compressed", "CompressedImage", "compressed"),
        ("scan", "LaserScan", "scan"), ("range", "Range", "range"), ("depth", "Image", "depth"),
        ("points", "PointCloud2", "points"),
    )
]

_PROFILES = ("flight", "compressed", *_SENSORS)
ROWS: dict[str, Row] = {row.name: row for row in sorted(
    (*_IMAGE, *_IMU, *_INFO, *_OTHERS, *_RIVALS, *_PERSON, *_PROCESSES, *_FILES, *_COMPRESSED,
     *_SENSING, *_BURSTS), key=lambda row: _PROFILES.index(row.profile))}
"""All faults by name, those of one profile together."""

SHORT = ("image.silent", "imu.nan", "image.twice", "controller.stalled", "controller.killed",
         "hostile.imu")
"""Those that the tests inject."""
