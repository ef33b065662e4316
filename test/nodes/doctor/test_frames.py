"""Frames: what /tf_static says against the parameters of mounting."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from seen_robots import hearing, well
from verdicts import only

from lnn_ros import messages
from lnn_ros.geometry import Mounting
from lnn_ros.nodes.doctor.checks import frames
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.settings import CameraSettings, ControllerSettings, ImuSettings


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
