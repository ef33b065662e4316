"""``~/trace``, written and read back: what each live command was made of.

With every command the controller says which samples the pilot had, what the network wanted, and
how the guard made a command of it. That is enough to compute the command again from a recording:
the wish from the samples, the command from the wish.

The digest of a stream is the sum, modulo 2^64, of ``timeline.samples.digest`` over all samples that
were taken since the pilot's last reset: it does not depend on their order, and the difference of
two traces is that of the samples between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.decision import Decision
from lnn_ros.guard.limits import Four
from lnn_ros.guard.modes import STOPPED, Mode
from lnn_ros.messages import stamp_ns
from lnn_ros.timeline.samples import STREAMS

KIND = "diagnostic_msgs/msg/DiagnosticArray"
MODULUS = 2**64

_MOST_SETTINGS = 100_000  # characters; a hostile trace must not cost memory


@dataclass
class Seen:
    """What has been taken from one stream since the pilot began anew.

    Attributes
    ----------
    taken : int
        Samples that the pilot took.
    stamp_ns : int
        Stamp of the newest of them, its offset added; 0 before the first.
    digest : int
        Sum over them of ``timeline.samples.digest``, modulo 2^64: two pilots with equal digests
        were given the same samples, in whatever order.
    new : list of int
        Stamps of those taken since the last trace, in the order in which they were taken.
    arrived_ns : int or None
        When the last of them came, by the receiver's clock for arrivals.
    """

    taken: int = 0
    stamp_ns: int = 0
    digest: int = 0
    new: list[int] = field(default_factory=list)
    arrived_ns: int | None = None


def values(at_ns: int, head: Mapping[str, object], seen: Mapping[str, Seen],
           wish: NDArray[np.float64] | None, guard: Guard,
           command: Iterable[float]) -> dict[str, object]:
    """Return the key-values of a trace; the stamps in ``seen`` then count as told.

    Stamps are those that the pilot saw, which are the messages' own plus the parameter
    ``<stream>.offset_s``.

    Parameters
    ----------
    at_ns : int
        The command's instant.
    head : mapping of str to object
        policy, reset; now and then settings.
    seen : mapping of str to Seen
        What was taken from each stream.
    wish : ndarray or None
        What the network wanted.
    guard : Guard
        What made a command of it just now.
    command : iterable of float
        What was published: vx, vy, vz (m/s), yaw rate (rad/s).
    """
    found = {"mode": guard.mode.value, **head}
    for stream, taken in seen.items():
        found[f"{stream}.taken"] = taken.taken
        found[f"{stream}.stamp_ns"] = taken.stamp_ns
        found[f"{stream}.age_s"] = (at_ns - taken.stamp_ns) / 1e9 if taken.taken else None
        found[f"{stream}.new"] = " ".join(map(str, taken.new))
        found[f"{stream}.digest"] = f"{taken.digest:016x}"
        taken.new.clear()
    decision = guard.decision
    found["wish"] = "" if wish is None else _words(wish)
    found["target"] = _words(decision.target)
    found["braking"] = "".join("01"[axis] for axis in decision.braking)
    found["lowered"] = str(decision.lowered).lower()
    found["dt"] = decision.dt.hex()
    found["stops"] = guard.stops
    found["acceleration"] = _words(guard.limiter.acceleration)
    found["command"] = _words(command)
    return found


@dataclass(frozen=True)
class Taken:
    """What the pilot had taken from one stream.

    Attributes
    ----------
    count : int
        Samples since the pilot's last reset.
    new_ns : tuple of int
        Stamps of those since the trace before, in the order in which they were taken.
    digest : int
        Sum over all since the reset.
    """

    count: int
    new_ns: tuple[int, ...]
    digest: int


@dataclass(frozen=True)
class Trace:
    """What the controller said of one command.

    Attributes
    ----------
    at_ns : int
        The command's instant.
    log_ns : int
        Log time of the message.
    mode : Mode
        Who decided.
    policy : str
        The first 16 hexadecimal digits of the digest of the policy's weights.
    reset : int
        Resets of the pilot so far.
    stops : int
        How often the limiter was put to rest at once so far.
    streams : mapping of str to Taken
    wish : tuple of 4 float, or None
        What the network wanted; None: it had no answer.
    decision : Decision
        Of the guard.
    acceleration : tuple of 4 float
        Of the command, as the limiter knows it.
    command : tuple of 4 float
        As published: vx, vy, vz (m/s), yaw rate (rad/s).
    settings : str
        The controller's parameters as JSON; empty in most traces.
    novelty : float or None
        How unlike its training the policy's input was; None where it does not say.
    """

    at_ns: int
    log_ns: int
    mode: Mode
    policy: str
    reset: int
    stops: int
    streams: Mapping[str, Taken]
    wish: Four | None
    decision: Decision
    acceleration: Four
    command: Four
    settings: str
    novelty: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether the controller gave zeros of itself."""
        return self.mode in STOPPED

    def continues(self, before: Trace) -> bool:
        """Whether an earlier trace can be of the same life of the pilot: no reset in between."""
        return (before.reset == self.reset and before.at_ns <= self.at_ns
                and all(taken.count >= before.streams[name].count
                        for name, taken in self.streams.items()))

    def unlisted(self, before: Trace | None) -> str:
        """Return a stream of which samples were taken that neither trace lists; empty if none.

        The earlier trace, if there is one, is of the same life.
        """
        for name, taken in self.streams.items():
            earlier = 0 if before is None else before.streams[name].count
            if taken.count != earlier + len(taken.new_ns):
                return name
        return ""

    def digests_since(self, before: Trace | None) -> dict[str, int]:
        """Sum of the digests of the samples that this trace lists, by stream."""
        base = {} if before is None else {n: taken.digest for n, taken in before.streams.items()}
        return {name: (taken.digest - base.get(name, 0)) % MODULUS
                for name, taken in self.streams.items()}


def parse(message: Any, log_ns: int) -> Trace:
    """Read a trace.

    Parameters
    ----------
    message : diagnostic_msgs/DiagnosticArray
        Of one status.
    log_ns : int
        When it was recorded.

    Raises
    ------
    LnnError
        When something is missing, or is not what the controller writes.
    """
    at_ns = stamp_ns(message)
    try:
        (status,) = message.status
        said = {pair.key: pair.value for pair in status.values}
        decision = Decision(_four(said["target"]), _bits(said["braking"]),
                            {"true": True, "false": False}[said["lowered"]],
                            float.fromhex(said["dt"]))
        return Trace(
            at_ns, log_ns, Mode(said["mode"]), said["policy"], int(said["reset"]),
            int(said["stops"]), {name: _taken(said, name) for name in STREAMS},
            _four(said["wish"]) if said["wish"] else None, decision, _four(said["acceleration"]),
            _four(said["command"]), said.get("settings", ""),
            float(said["novelty"]) if said.get("novelty") else None)
    except KeyError as error:
        raise LnnError(f"trace at {at_ns} ns has no {error}: expected what this version's "
                       f"controller writes") from error
    except (ValueError, OverflowError) as error:
        raise LnnError(f"trace at {at_ns} ns cannot be read ({str(error)[:200]}): expected what "
                       f"this version's controller writes") from error


def read_settings(text: str) -> dict[str, object]:
    """Return the parameters that a trace tells, by full name.

    Raises
    ------
    LnnError
        When it is no such text.
    """
    try:
        found = json.loads(text) if len(text) <= _MOST_SETTINGS else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise LnnError(f"a trace tells the settings {text[:60]!r}: expected parameters as JSON")
    return found


def _words(command: Iterable[float]) -> str:
    """Write numbers to the last bit."""
    return " ".join(map(float.hex, map(float, command)))


def _four(text: str) -> Four:
    words = text.split()
    if len(words) != 4:
        raise ValueError(f"{len(words)} numbers where 4 were expected")
    a, b, c, d = (float.fromhex(word) for word in words)
    return a, b, c, d


def _bits(text: str) -> tuple[bool, bool, bool, bool]:
    if len(text) != 4 or not set(text) <= {"0", "1"}:
        raise ValueError(f"{text[:20]!r} where four of 0 and 1 were expected")
    a, b, c, d = (letter == "1" for letter in text)
    return a, b, c, d


def _taken(said: Mapping[str, str], name: str) -> Taken:
    new_ns = tuple(int(word) for word in said[f"{name}.new"].split())
    return Taken(int(said[f"{name}.taken"]), new_ns, int(said[f"{name}.digest"], 16) % MODULUS)
