"""Give a pilot exactly what the live one was given, and compare its commands to the last bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lnn_ros.errors import LnnError
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.driving import Driver
from lnn_ros.replay.matching import Fault, Supply
from lnn_ros.replay.samples import Decoder, Key
from lnn_ros.replay.trace import ENGAGED, Trace, parse


@dataclass(frozen=True)
class Difference:
    """A command that should have been reproduced, and was not.

    Attributes
    ----------
    at_ns : int
    traced, replayed : tuple of 4 float
        vx, vy, vz (m/s), yaw rate (rad/s).
    """

    at_ns: int
    traced: tuple[float, ...]
    replayed: tuple[float, ...]


@dataclass
class Unknown:
    """Commands that cannot be reproduced from this bag: from a fault to the pilot's next reset.

    Attributes
    ----------
    fault : Fault
        What is missing or different.
    at_ns : list of int
        Instants of the commands.
    """

    fault: Fault
    at_ns: list[int] = field(default_factory=list)


@dataclass
class Comparison:
    """What became of every traced command.

    Attributes
    ----------
    reproduced : int
        Bit for bit; also the zeros that the controller gave of itself: not engaged, or a stream
        silent.
    zeros : int
        How many of them those are.
    different : list of Difference
    unknown : list of Unknown
    not_taken : Counter of str
        Messages of each stream in the bag that no trace lists.
    """

    reproduced: int = 0
    zeros: int = 0
    different: list[Difference] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    not_taken: Counter[str] = field(default_factory=Counter)

    @property
    def commands(self) -> int:
        """All traced commands."""
        return (self.reproduced + len(self.different)
                + sum(len(unknown.at_ns) for unknown in self.unknown))


def follow(bag: Bag, driver: Driver, topic: Topic, policy: str) -> Comparison:
    """Replay what a trace says, command by command.

    Parameters
    ----------
    bag : Bag
    driver : Driver
        Of a pilot that has seen nothing yet.
    topic : Topic
        The trace.
    policy : str
        The pilot's own, named as in the trace.

    Raises
    ------
    LnnError
        When the bag or a trace is damaged.
    """
    decoder = driver.decoder
    traces, listed, present = _scan(bag, decoder, topic)
    result = Comparison()
    for (stream, stamp), count in present.items():
        result.not_taken[stream] += max(0, count - listed[stream, stamp])
    supply = Supply(listed, present)
    messages = bag.messages(decoder.topics)
    before: Trace | None = None
    broken: Unknown | None = None

    def read_on() -> None:
        message = next(messages, None)
        if message is None:
            raise LnnError(f"bag {bag.path} has changed while it was read")
        log_ns, source, payload = message
        key = decoder.key(source, payload)
        sample = None
        if key is None or supply.wants(key):
            sample = driver.decode(log_ns, source, payload)
        if key is not None:
            supply.offer(key, sample)

    for trace in traces:
        if before is not None and not trace.continues(before):
            driver.reset()
            before = None
        if before is None:
            broken = None
        if broken is None and (unlisted := trace.unlisted(before)):
            broken = _break(result, Fault("no trace in the bag lists all that was taken", unlisted))
        if broken is None and trace.policy != policy:
            broken = _break(result, Fault(f"policy {trace.policy[:16]!r} flew", ""))
        sums = None if broken else trace.digests_since(before)
        while (found := supply.take(trace, sums)) is None:
            read_on()
        samples, fault = found
        if fault and broken is None:
            broken = _break(result, fault)
        for sample in samples:
            driver.observe(sample)
        wish = driver.command(trace.log_ns, trace.at_ns, trace.mode == ENGAGED, trace.withheld)
        command = tuple(wish.tolist())
        if trace.commands and broken is not None:
            broken.at_ns.append(trace.at_ns)
        elif _bits(command) == _bits(trace.command):
            result.reproduced += 1
            result.zeros += not trace.commands
        else:
            result.different.append(Difference(trace.at_ns, trace.command, command))
        before = trace
    result.unknown = [unknown for unknown in result.unknown if unknown.at_ns]
    return result


def _scan(bag: Bag, decoder: Decoder,
          topic: Topic) -> tuple[list[Trace], Counter[Key], Counter[Key]]:
    """Return all traces, the samples that they list and those that the bag has."""
    traces: list[Trace] = []
    listed: Counter[Key] = Counter()
    present: Counter[Key] = Counter()
    for log_ns, source, payload in bag.messages([*decoder.topics, topic]):
        if source == topic:
            try:
                traces.append(parse(bag.decode(topic, payload), log_ns))
            except LnnError as error:
                raise LnnError(f"topic {topic.name!r}: {error}; --rate replays the bag without "
                               f"its trace") from error
        elif (key := decoder.key(source, payload)) is not None:
            present[key] += 1
    for trace in traces:
        listed.update((name, stamp_ns) for name, taken in trace.streams.items()
                      for stamp_ns in taken.new_ns)
    return traces, listed, present


def _break(result: Comparison, fault: Fault) -> Unknown:
    result.unknown.append(Unknown(fault))
    return result.unknown[-1]


def _bits(command: tuple[float, ...]) -> list[str]:
    """Numbers as text that differs where a bit does."""
    return [value.hex() for value in command]
