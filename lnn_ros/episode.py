"""What a recording is about: who flew, what happened, and how it ended.

It is told to by whoever records, message by message, and written into the recording's notes
(``custom_data`` of ``metadata.yaml``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lnn_ros.guard.modes import Mode

NOTES = {
    "policy": "digest of the weights of each policy that flew, in order, with spaces between",
    "parameters": "of the controller, JSON",
    "robot": "which robot it was, as the companion was told",
    "outcome": "how it ended: the simulator's word, or the controller's last mode and its reason",
    "takeovers": "when a person commanded, JSON: controller, from and to by log time (ns)",
    "events": "what happened that is worth keeping, JSON: log time (ns) and a sentence",
    "marked": "true: a quota never removes it",
}
"""What ``custom_data`` says of a recording of the companion."""
_WORTH = {Mode.TAKEOVER.value, Mode.FAULT.value}


@dataclass
class _Controller:
    """What has been heard of one."""

    mode: str = ""
    reason: str = ""
    since_ns: int = 0


@dataclass
class Episode:
    """One recording, from what has been heard so far.

    Attributes
    ----------
    robot : str
        Which robot it is; empty: unknown.
    """

    robot: str = ""
    _policies: list[str] = field(default_factory=list)
    _controllers: dict[str, _Controller] = field(default_factory=dict)
    _takeovers: list[dict[str, Any]] = field(default_factory=list)
    _events: list[dict[str, Any]] = field(default_factory=list)
    _parameters: str = ""
    _simulated: str = ""

    def status(self, node: str, log_ns: int, values: Mapping[str, str]) -> str:
        """Take what a controller or a simulator says of itself.

        Parameters
        ----------
        node : str
            Full name.
        log_ns : int
            When it came.
        values : mapping of str to str
            Key-values of its ``~/status``.

        Returns
        -------
        str
            What has happened just now that is worth keeping; empty: nothing has.
        """
        self._simulated = values.get("outcome", "") or self._simulated
        mode = values.get("mode")
        if mode is None:
            return ""
        if values.get("policy") and values["policy"] not in self._policies[-1:]:
            self._policies.append(values["policy"])
        known = self._controllers.setdefault(node, _Controller())
        before, known.reason = known.mode, values.get("reason", "")
        if mode == before:
            return ""
        if before == Mode.TAKEOVER.value:
            self._takeovers.append({"controller": node, "from_ns": known.since_ns, "to_ns": log_ns})
        known.mode, known.since_ns = mode, log_ns
        return f"{mode}: {known.reason}" if mode in _WORTH else ""

    def settings(self, text: str) -> None:
        """Take all parameters of a controller, JSON, as its ``~/trace`` tells them."""
        self._parameters = text

    def event(self, log_ns: int, why: str) -> None:
        """Note that something worth keeping has happened."""
        self._events.append({"at_ns": log_ns, "why": why})

    @property
    def takeovers(self) -> int:
        """How many are over."""
        return len(self._takeovers)

    @property
    def marked(self) -> bool:
        """Whether something has happened for whose sake it must not be removed."""
        return bool(self._events)

    def notes(self) -> dict[str, str]:
        """Return what there is to be said: see ``NOTES``."""
        open_ = [{"controller": node, "from_ns": known.since_ns, "to_ns": None}
                 for node, known in self._controllers.items() if known.mode == Mode.TAKEOVER.value]
        last = "; ".join(f"{known.mode}: {known.reason}" for known in self._controllers.values())
        found = {
            "policy": " ".join(self._policies), "parameters": self._parameters,
            "robot": self.robot, "outcome": self._simulated or last,
            "takeovers": json.dumps([*self._takeovers, *open_]),
            "events": json.dumps(self._events), "marked": "true" if self.marked else ""}
        return {key: text for key, text in found.items() if text and text != "[]"}

    def next(self) -> Episode:
        """Return the one after it: who flies in which mode goes on, what happened does not."""
        same = {node: _Controller(**asdict(known)) for node, known in self._controllers.items()}
        return Episode(self.robot, self._policies[-1:], same, _parameters=self._parameters)
