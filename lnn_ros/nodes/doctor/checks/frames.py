"""Frames: whether frame_id is set, and fits the parameters that say how sensors are mounted."""

from __future__ import annotations

from collections.abc import Iterator

from lnn_ros.nodes.doctor.findings import Finding, ok, warn
from lnn_ros.nodes.doctor.snapshot import SENSED, Snapshot

OPTICAL = ("optical_frame", "optical")
"""How names of frames end whose z axis looks out of the camera (REP-103)."""


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge the frames of each stream."""
    for stream, name in SENSED.items():
        heard = seen.listened(name)
        if heard.stamps_ns:
            yield _frame(seen, stream, name, heard.frames)


def _frame(seen: Snapshot, stream: str, name: str, frames: tuple[str, ...]) -> Finding:
    what, base = f"{name} frame", seen.settings.base_frame
    mounting = getattr(seen.settings, stream)
    angles = {axis: getattr(mounting, axis) for axis in ("roll", "pitch", "yaw")}
    turned = any(angles.values())
    said = ", ".join(f"{stream}.{axis} {angle:g}" for axis, angle in angles.items())
    if "" in frames or not frames:
        return warn(what, "frame_id is empty", "set frame_id in the driver, so that recordings "
                    "and viewers know where it sits")
    if len(frames) > 1:
        return warn(what, f"frame_id changes: {', '.join(frames[:3])}",
                    "let one publisher have the topic")
    if frames[0] == base and turned:
        return warn(what, f"samples are in {base}, and the parameters turn them ({said})",
                    f"set these three to 0, or let the driver name the frame of the {stream}")
    if frames[0] == base and stream == "imu":
        return ok(what, f"{base}, which is not turned")
    optical = (" (the optical frame; the parameters are of the camera's body: x where it looks)"
               if frames[0].endswith(OPTICAL) else "")
    return ok(what, f"{frames[0]}{optical}, in {base} turned by {said}")
