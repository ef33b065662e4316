"""The controller's ``~/trace`` read back: what each live command was made of.

The digest of a stream is the sum, modulo 2^64, of ``timeline.samples.digest`` over all samples that
were taken since the pilot's last reset: it does not depend on their order, and the difference of
two traces is that of the samples between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.messages import stamp_ns
from lnn_ros.timeline.samples import STREAMS

KIND = "diagnostic_msgs/msg/DiagnosticArray"
ENGAGED = "engaged"
"""The mode in which the policy commands; in any other the controller commands zeros."""
MODULUS = 2**64


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
    mode, policy : str
        Who decided; the first 16 hexadecimal digits of the digest of the policy's weights.
    withheld : str
        Why the controller gave zeros although engaged; empty if it did not.
    reset : int
        Resets of the pilot so far.
    streams : mapping of str to Taken
    command : tuple of 4 float
        As published: vx, vy, vz (m/s), yaw rate (rad/s).
    """

    at_ns: int
    log_ns: int
    mode: str
    policy: str
    withheld: str
    reset: int
    streams: Mapping[str, Taken]
    command: tuple[float, ...]

    @property
    def commands(self) -> bool:
        """Whether the policy commanded; else the controller gave zeros of itself."""
        return self.mode == ENGAGED and not self.withheld

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
        streams = {name: _taken(said, name) for name in STREAMS}
        command = tuple(float.fromhex(word) for word in said["command"].split())
        trace = Trace(at_ns, log_ns, said["mode"], said["policy"], said["withheld"],
                      int(said["reset"]), streams, command)
    except KeyError as error:
        raise LnnError(f"trace at {at_ns} ns has no {error}: expected what this version's "
                       f"controller writes") from error
    except (ValueError, OverflowError) as error:
        raise LnnError(f"trace at {at_ns} ns cannot be read ({str(error)[:200]}): expected what "
                       f"this version's controller writes") from error
    if len(command) != 4:
        raise LnnError(f"trace at {at_ns} ns has a command of {len(command)} numbers: expected 4")
    return trace


def _taken(said: Mapping[str, str], name: str) -> Taken:
    new_ns = tuple(int(word) for word in said[f"{name}.new"].split())
    return Taken(int(said[f"{name}.taken"]), new_ns, int(said[f"{name}.digest"], 16) % MODULUS)
