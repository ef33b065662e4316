"""The controller's /diagnostics: rates, ages, clocks, counts and the time that a step takes."""

from __future__ import annotations

from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticArray

from lnn_ros import messages
from lnn_ros.nodes.diagnostics import Complaints, status
from lnn_ros.nodes.streams import Streams
from lnn_ros.pilot import Pilot


class Report:
    """What is told once a second.

    Parameters
    ----------
    name : str
        Of the node.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._steps, self._step_s, self._slowest_s = 0, 0.0, 0.0

    def stepped(self, seconds: float) -> None:
        """Note how long a step of the control loop has taken."""
        self._steps += 1
        self._step_s += seconds
        self._slowest_s = max(self._slowest_s, seconds)

    def message(self, now_ns: int, level: bytes, text: str, head: Mapping[str, object],
                pilot: Pilot, streams: Streams, complaints: Complaints) -> DiagnosticArray:
        """Return the message.

        Parameters
        ----------
        now_ns : int
            The node's time.
        level, text
            What the controller says of itself.
        head : mapping of str to object
            Goes before the rest.
        pilot, streams, complaints
            What is reported on.
        """
        values = dict(head)
        ages = pilot.age(now_ns)
        for stream in streams.seen:
            values[f"{stream}.rate_hz"] = round(streams.rates.get(stream, 0.0), 1)
            values[f"{stream}.age_s"] = ages.get(stream)
            values[f"{stream}.silent_s"] = streams.silent_s(stream)
            values[f"{stream}.estimated_offset_s"] = streams.offsets[stream].seconds
        values["novelty"] = pilot.unlike
        values.update(pilot.counts())
        values.update(complaints.counts)
        values["ticks"] = self._steps
        values["step_mean_ms"] = 1e3 * self._step_s / max(self._steps, 1)
        values["step_max_ms"] = 1e3 * self._slowest_s
        found = DiagnosticArray(status=[status(f"{self._name}: control", level, text, values)])
        messages.set_time(found.header.stamp, now_ns)
        return found
