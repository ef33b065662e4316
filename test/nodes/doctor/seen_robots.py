"""Snapshots of robots for tests of the doctor's checks: one that is well, and ways to change it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from lnn_ros.geometry import VirtualCamera
from lnn_ros.nodes.doctor.intent import inputs, offered
from lnn_ros.nodes.doctor.snapshot import (
    Endpoint,
    Heard,
    Names,
    Policy,
    Quality,
    Snapshot,
    System,
    Topic,
)
from lnn_ros.nodes.parameter_rows import build
from lnn_ros.nodes.settings import ControllerSettings, VehicleAdapterSettings

BEST, RELIABLE = Quality(reliable=False), Quality()
IMAGE, INFO, IMU = (f"sensor_msgs/msg/{name}" for name in ("Image", "CameraInfo", "Imu"))
STAMPED, TWIST = "geometry_msgs/msg/TwistStamped", "geometry_msgs/msg/Twist"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
STATUS = "diagnostic_msgs/msg/DiagnosticStatus"
START_NS = 1_795_000_000_000_000_000
HOVER = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 9.81])
VIRTUAL = VirtualCamera(64, 48, np.pi / 2)
GUARDED = build(ControllerSettings, {"modes.deadman": True, "fence.enabled": True,
                                     "scan.enabled": True, "scan.width": 3.0})
TOLD = {"deadman": "modes.deadman_max_age", "odom": "fence.max_age", "scan": "scan.max_age",
        "vehicle_state": "modes.vehicle_max_age"}
"""Of what the guard of ``guarded`` is told, the parameter that says how old it may be."""
_NOISE = np.random.default_rng(6)


def said(level: int = 0, text: str = "", **values: str) -> Any:
    """Return a DiagnosticStatus, as rosbags would have it."""
    pairs = [SimpleNamespace(key=key, value=value) for key, value in values.items()]
    return SimpleNamespace(name="x", level=level, message=text, values=pairs)


def picture(width: int = 64, height: int = 48, encoding: str = "rgb8", seed: int = 0) -> Any:
    """Return an Image with noise in it."""
    pixels = np.random.default_rng(seed).integers(60, 200, (height, width, 3), np.uint8)
    return SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=0,
                           step=3 * width, data=pixels.tobytes())


def calibration(width: int = 64, height: int = 48, focal: float = 32.0,
                model: str = "plumb_bob", d: tuple[float, ...] = (0.0,) * 5) -> Any:
    """Return a CameraInfo."""
    return SimpleNamespace(
        width=width, height=height, binning_x=0, binning_y=0, distortion_model=model, d=d,
        k=(focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0),
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0))


def heard(rate_hz: float, seconds: float = 5.0, lag_s: float = 0.003, frame: str = "camera",
          **changes: Any) -> Heard:
    """Return what comes at a steady rate, every message ``lag_s`` after its stamp."""
    count = round(rate_hz * seconds)
    arrivals = tuple(START_NS + round(k * 1e9 / rate_hz) for k in range(count))
    stamps = tuple(arrival - round(lag_s * 1e9) for arrival in arrivals)
    values = {"arrivals_ns": arrivals, "stamps_ns": stamps, "sequence": tuple(range(1, count + 1)),
              "frames": (frame,), "size": 300, **changes}
    return Heard(**values)


def resting(reading: np.ndarray = HOVER, count: int = 1000) -> np.ndarray:
    """Return readings at rest."""
    return reading + _NOISE.normal(0.0, 0.01, (count, 6))


def well(settings: ControllerSettings | None = None,
         adapter: VehicleAdapterSettings | None = None) -> Snapshot:
    """Return a robot in which everything is as it should be, its controller disengaged."""
    settings = settings or ControllerSettings()
    adapter = adapter or VehicleAdapterSettings()
    names = Names(told={"vehicle/cmd_vel": "/vehicle/cmd_vel"})
    controller, bridge = "/controller", "/autopilot"
    reads = inputs(settings, adapter, False, lambda name: f"/{name.lstrip('/')}")
    source = {"/image": "/camera", "/camera_info": "/camera", "/imu": "/imu_driver",
              "/vehicle_state": bridge}
    topics = {wanted.topic: Topic((Endpoint(source[wanted.topic], wanted.kind, BEST),),
                                  (Endpoint(controller, wanted.kind, wanted.asks),))
              for wanted in reads if wanted.topic in source}
    topics["/cmd_vel"] = Topic((Endpoint(controller, STAMPED, offered(1 / 30)),),
                               (Endpoint("/vehicle_adapter", STAMPED, RELIABLE),))
    topics["/vehicle/cmd_vel"] = Topic((Endpoint("/vehicle_adapter", STAMPED, RELIABLE),),
                                       (Endpoint(bridge, STAMPED, RELIABLE),))
    return Snapshot(
        system=System("jazzy", "rmw_fastrtps_cpp", "7", "", "2.1.0", "", 40_000_000_000_000),
        policy=Policy("fly_to_target", "be3b47c1", VIRTUAL), settings=settings, adapter=adapter,
        ended_ns=START_NS + 5_000_000_000, inputs=reads, names=names, topics=topics,
        heard={
            "image": heard(20.0, first=picture(), last=picture(seed=1)),
            "camera_info": heard(20.0, last=calibration()),
            "imu": heard(200.0, frame="imu_link", readings=resting()),
            "cmd_vel": heard(30.0, frame="base_link"),
            "vehicle_state": heard(5.0, stamps_ns=(), frames=(), last=said(
                airborne="false", velocity_mode="true")),
            "controller/status": heard(1.0, stamps_ns=(), last=said(
                0, "disengaged: not yet engaged", mode="disengaged", troubles="", active="true")),
            "vehicle_adapter/status": heard(1.0, stamps_ns=(), last=said(
                0, "passing: commands come", state="passing")),
        },
        nodes=frozenset({controller, bridge, "/vehicle_adapter", "/camera", "/imu_driver"}),
        lifecycle={controller: "active"})


def hearing(seen: Snapshot, name: str, **changes: Any) -> Snapshot:
    """Return a snapshot in which something else came on one of our names."""
    return dataclasses.replace(seen, heard={
        **seen.heard, name: dataclasses.replace(seen.listened(name), **changes)})


def having(seen: Snapshot, name: str, publishers: tuple[Endpoint, ...] | None = None,
           readers: tuple[Endpoint, ...] | None = None) -> Snapshot:
    """Return a snapshot with other publishers or readers of a topic."""
    known = seen.topic(name)
    topic = Topic(known.publishers if publishers is None else publishers,
                  known.readers if readers is None else readers)
    return dataclasses.replace(seen, topics={**seen.topics, name: topic})


def without(seen: Snapshot, *nodes: str) -> Snapshot:
    """Return a snapshot in which nodes do not run."""
    def left(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        return tuple(e for e in endpoints if e.node not in nodes)

    topics = {name: Topic(left(t.publishers), left(t.readers)) for name, t in seen.topics.items()}
    mute = {f"{node.strip('/')}/status" for node in nodes}
    return dataclasses.replace(
        seen, topics=topics, nodes=seen.nodes - set(nodes),
        heard={name: what for name, what in seen.heard.items() if name not in mute},
        lifecycle={node: state for node, state in seen.lifecycle.items() if node not in nodes})


def clock(times_s: Iterable[float]) -> tuple[tuple[int, int], ...]:
    """Return /clock messages that come 50 ms apart."""
    return tuple((START_NS + k * 50_000_000, round(t * 1e9)) for k, t in enumerate(times_s))


def simulated(seen: Snapshot, clock: tuple[tuple[int, int], ...]) -> Snapshot:
    """Return a snapshot whose controller reads /clock."""
    seen = having(seen, "/clock", (Endpoint("/simulator", "rosgraph_msgs/msg/Clock"),))
    return dataclasses.replace(
        seen, simulated=True, clock=clock, inputs=inputs(
            seen.settings, seen.adapter, True, lambda name: f"/{name.lstrip('/')}"))


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
