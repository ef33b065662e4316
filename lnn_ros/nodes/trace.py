"""What the controller says with every command: enough to compute it again from a recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from diagnostic_msgs.msg import DiagnosticArray

from lnn_ros import messages
from lnn_ros.nodes.diagnostics import OK, status
from lnn_ros.nodes.streams import Seen


def trace(name: str, at_ns: int, head: Mapping[str, object], seen: Mapping[str, Seen],
          command: Iterable[float]) -> DiagnosticArray:
    """Return the message of ``~/trace``; the stamps in it then count as told.

    Stamps are those that the pilot saw, which are the messages' own plus the parameter
    ``<stream>.offset_s``.

    Parameters
    ----------
    name : str
        Of the node.
    at_ns : int
        The command's instant.
    head : mapping of str to object
        mode, policy, reset, withheld.
    seen : mapping of str to Seen
        What was taken from each stream.
    command : iterable of float
        What was published: vx, vy, vz (m/s), yaw rate (rad/s).
    """
    values = dict(head)
    for stream, taken in seen.items():
        values[f"{stream}.taken"] = taken.taken
        values[f"{stream}.stamp_ns"] = taken.stamp_ns
        values[f"{stream}.age_s"] = (at_ns - taken.stamp_ns) / 1e9 if taken.taken else None
        values[f"{stream}.new"] = " ".join(map(str, taken.new))
        values[f"{stream}.digest"] = f"{taken.digest:016x}"
        taken.new.clear()
    values["command"] = hex_command(command)
    message = DiagnosticArray(status=[status(f"{name}: trace", OK, "", values)])
    messages.set_time(message.header.stamp, at_ns)
    return message


def hex_command(command: Iterable[float]) -> str:
    """Write a command to the last bit."""
    return " ".join(float(value).hex() for value in command)
