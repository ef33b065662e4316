"""Frames: whether frame_id is set, and fits the parameters that say how sensors are mounted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.geometry import Mounting
from lnn_ros.nodes.doctor.findings import Finding, ok, warn
from lnn_ros.nodes.doctor.snapshot import SENSED, Quaternion, Snapshot

OPTICAL = ("optical_frame", "optical")
"""How names of frames end whose z axis looks out of the camera (REP-103)."""
_OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_CLOSE = math.radians(5.0)
_DEEPEST = 100  # frames from a sensor to the base: more is a circle

Matrix = NDArray[np.float64]


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the frames of each stream."""
    for stream, name in SENSED.items():
        heard = seen.listened(name)
        if heard.stamps_ns:
            yield _frame(seen, stream, name, heard.frames)


def transforms(messages: Iterable[Any]) -> dict[str, tuple[str, Quaternion]]:
    """Return what messages of type TFMessage say: of each frame its parent and how it is turned."""
    found = {}
    for message in messages:
        for stamped in message.transforms:
            q = stamped.transform.rotation
            found[_bare(stamped.child_frame_id)] = (
                _bare(stamped.header.frame_id), (float(q.w), float(q.x), float(q.y), float(q.z)))
    return found


def turned(tree: Mapping[str, tuple[str, Quaternion]], base: str, frame: str) -> Matrix | None:
    """Return base_from_frame (3, 3); None where no transforms lead from one to the other."""
    rotation: Matrix = np.eye(3)
    frame = _bare(frame)
    for _ in range(_DEEPEST):
        if frame == base:
            return rotation
        if frame not in tree:
            return None
        frame, quaternion = tree[frame]
        rotation = _matrix(quaternion) @ rotation
    return None


def angles(rotation: Matrix) -> tuple[float, float, float]:
    """Return roll, pitch and yaw, rad, of a rotation, as ``Mounting`` has them."""
    pitch = math.asin(min(max(-float(rotation[2, 0]), -1.0), 1.0))
    roll = math.atan2(float(rotation[2, 1]), float(rotation[2, 2]))
    return roll, pitch, math.atan2(float(rotation[1, 0]), float(rotation[0, 0]))


def _frame(seen: Snapshot, stream: str, name: str, frames: tuple[str, ...]) -> Finding:
    what, base = f"{name} frame", seen.settings.base_frame
    settings = getattr(seen.settings, stream)
    mounting = Mounting(settings.roll, settings.pitch, settings.yaw)
    said = _said(stream, mounting.roll, mounting.pitch, mounting.yaw)
    if "" in frames or not frames:
        return warn(what, "frame_id is empty", "set frame_id in the driver, so that recordings "
                    "and viewers know where it sits")
    if len(frames) > 1:
        return warn(what, f"frame_id changes: {', '.join(frames[:3])}",
                    "let one publisher have the topic")
    frame = frames[0]
    if frame == base and mounting != Mounting():
        return warn(what, f"samples are in {base}, and the parameters turn them ({said})",
                    f"set these three to 0, or let the driver name the frame of the {stream}")
    if frame == base and stream == "imu":
        return ok(what, f"{base}, which is not turned")
    optical = stream == "camera" and frame.endswith(OPTICAL)
    by_tf = turned(seen.transforms, base, frame)
    if by_tf is None:
        kind = " (optical; the parameters are of the camera's body)" if optical else ""
        return ok(what, f"{frame}{kind}, in {base} turned by {said}; no transforms to compare with")
    bodies = [by_tf @ _OPTICAL_FROM_BODY] if optical else [by_tf]
    if stream == "camera" and not optical:
        bodies.append(by_tf @ _OPTICAL_FROM_BODY)  # not every driver names an optical frame so
    if min(_apart(body, mounting.rotation) for body in bodies) <= _CLOSE:
        return ok(what, f"{frame}, in {base} turned by {said}, as /tf_static has it")
    off = math.degrees(_apart(bodies[0], mounting.rotation))
    return warn(what, f"{frame} is {off:.0f} degrees from {said} by /tf_static",
                f"set {_said(stream, *angles(bodies[0]))}, or mend the transforms")


def _said(stream: str, roll: float, pitch: float, yaw: float) -> str:
    values = {"roll": roll, "pitch": pitch, "yaw": yaw}
    return ", ".join(f"{stream}.{axis} {round(value, 4) + 0.0:g}"
                     for axis, value in values.items())


def _apart(one: Matrix, other: Matrix) -> float:
    """Angle between two rotations, rad."""
    cosine = (float(np.trace(one.T @ other)) - 1.0) / 2.0
    return math.acos(min(max(cosine, -1.0), 1.0))


def _matrix(quaternion: Quaternion) -> Matrix:
    w, x, y, z = np.array(quaternion) / max(float(np.linalg.norm(quaternion)), 1e-9)
    return np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                     [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                     [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])


def _bare(frame: str) -> str:
    """Return a frame's name without the slash that ROS 1 put before it."""
    return frame.lstrip("/")
