"""What nodes say about themselves: diagnostic messages, and warnings that are given once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

_CALM = 1.0  # s without trouble after which trouble counts as over

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def status(name: str, level: bytes, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    """Return a DiagnosticStatus; floats are written with all their digits.

    Parameters
    ----------
    name : str
        Who speaks about what, ``node: subject``.
    level : bytes
        OK, WARN or ERROR.
    message : str
        One sentence.
    values : mapping of str to object
        Written as text; None as an empty one.
    """
    pairs = [KeyValue(key=key, value="" if value is None else str(value))
             for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def vehicle_state(name: str, airborne: bool | None, velocity_mode: bool | None) -> DiagnosticStatus:
    """Return what a vehicle says of itself, for the topic ``vehicle_state``.

    Parameters
    ----------
    name : str
        Of the node that speaks for it.
    airborne, velocity_mode : bool or None
        Whether it flies (may drive), and whether it obeys velocities; None: unknown, empty.
    """
    said = {"airborne": airborne, "velocity_mode": velocity_mode}
    values = {key: None if value is None else str(value).lower() for key, value in said.items()}
    text = ", ".join(f"{key} {value or 'unknown'}" for key, value in values.items())
    return status(f"{name}: vehicle", OK, text, values)


class Complaints:
    """Trouble that is counted every time, but logged only when it begins and when it is over.

    Each reason by itself, so that a lasting trouble hides no other.

    Parameters
    ----------
    logger
        Of the node.

    Attributes
    ----------
    counts : Counter of str
        How often each reason was given, ``subject.reason``.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self.counts: Counter[str] = Counter()
        self._since: dict[str, dict[str, float]] = {}
        self._begun: Counter[str] = Counter()

    def report(self, subject: str, reason: str, sentence: str) -> None:
        """Count trouble with a subject; say it if it is new.

        Parameters
        ----------
        subject : str
            What has the trouble, for example a stream.
        reason : str
            The kind of trouble, a short word for the count.
        sentence : str
            What was found and what was expected.
        """
        self.counts[f"{subject}.{reason}"] += 1
        self._begun[f"{subject}.{reason}"] += 1
        since = self._since.setdefault(subject, {})
        if reason not in since:
            self._logger.warning(f"{subject}: {sentence} (said once until it is over)")
        since[reason] = time.monotonic()

    def fine(self, subject: str) -> None:
        """Note that a subject is well; say of each trouble when it has been over for a second."""
        since = self._since.get(subject)
        if not since:
            return
        now = time.monotonic()
        for reason in [reason for reason, last in since.items() if now - last > _CALM]:
            del since[reason]
            self._logger.info(f"{subject}: well again: no {reason} for {_CALM:g} s, after "
                              f"{self._begun.pop(f'{subject}.{reason}')} times")
