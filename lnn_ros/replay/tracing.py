"""Give a pilot exactly what the live one was given, and compare its commands to the last bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import Four
from lnn_ros.guard.modes import Mode
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.driving import Command, Driver
from lnn_ros.replay.limiting import Twin
from lnn_ros.replay.matching import Fault, Supply
from lnn_ros.replay.parameters import from_trace
from lnn_ros.replay.samples import Decoder, Key
from lnn_ros.trace import Trace, parse

NO_BEFORE = "no trace in the bag tells the command before it"


@dataclass(frozen=True)
class Difference:
    """A command that should have been reproduced, and was not.

    Attributes
    ----------
    at_ns : int
    traced, replayed : tuple of 4 float, or None
        vx, vy, vz (m/s), yaw rate (rad/s); None: the network had no answer.
    what : {"wish", "command"}
        What the network wanted, or what the guard made of it.
    """

    at_ns: int
    traced: Four | None
    replayed: Four | None
    what: str


@dataclass
class Unknown:
    """Commands that cannot be reproduced from this bag: from a fault to the pilot's next reset.

    Where only the command before is not known, it is one command.

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
        Bit for bit: what the network wanted, and the command that the guard made of it.
    without_policy : int
        How many of them the policy did not decide: disengaged, in hold, or a person's.
    different : list of Difference
    unknown : list of Unknown
    not_taken : Counter of str
        Messages of each stream in the bag that no trace lists.
    """

    reproduced: int = 0
    without_policy: int = 0
    different: list[Difference] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    not_taken: Counter[str] = field(default_factory=Counter)

    @property
    def commands(self) -> int:
        """All traced commands."""
        return (self.reproduced + len(self.different)
                + sum(len(unknown.at_ns) for unknown in self.unknown))


def follow(bag: Bag, driver: Driver, topic: Topic, policy: str, twin: Twin) -> Comparison:
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
    twin : Twin
        Of the live limiter.

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
    told = ""

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
        if trace.settings not in ("", told):
            told = trace.settings
            twin.set(from_trace(told))
        driver.command(trace.at_ns)
        wish = None if broken else _four(driver.wish)
        command = twin.command(trace, wish)
        driver.say(trace.log_ns, trace.at_ns, np.array(command or trace.command))
        if broken is not None and trace.mode is Mode.ENGAGED:
            broken.at_ns.append(trace.at_ns)
        elif broken is None and _bits(wish) != _bits(trace.wish):
            result.different.append(Difference(trace.at_ns, trace.wish, wish, "wish"))
        elif command is None:
            _break(result, Fault(NO_BEFORE, "")).at_ns.append(trace.at_ns)
        elif _bits(command) != _bits(trace.command):
            result.different.append(Difference(trace.at_ns, trace.command, command, "command"))
        else:
            result.reproduced += 1
            result.without_policy += trace.mode is not Mode.ENGAGED
        before = trace
    result.unknown = [unknown for unknown in result.unknown if unknown.at_ns]
    return result


def told_settings(bag: Bag, topic: Topic) -> ControllerSettings | None:
    """Return the first settings that a trace tells, if one does.

    Raises
    ------
    LnnError
        When the bag or a trace is damaged.
    """
    for log_ns, _, payload in bag.messages([topic]):
        trace = _parsed(bag, topic, log_ns, payload)
        if trace.settings:
            return from_trace(trace.settings)
    return None


def _scan(bag: Bag, decoder: Decoder,
          topic: Topic) -> tuple[list[Trace], Counter[Key], Counter[Key]]:
    """Return all traces, the samples that they list and those that the bag has."""
    traces: list[Trace] = []
    listed: Counter[Key] = Counter()
    present: Counter[Key] = Counter()
    for log_ns, source, payload in bag.messages([*decoder.topics, topic]):
        if source == topic:
            traces.append(_parsed(bag, topic, log_ns, payload))
        elif (key := decoder.key(source, payload)) is not None:
            present[key] += 1
    for trace in traces:
        listed.update((name, stamp_ns) for name, taken in trace.streams.items()
                      for stamp_ns in taken.new_ns)
    return traces, listed, present


def _parsed(bag: Bag, topic: Topic, log_ns: int, payload: bytes) -> Trace:
    try:
        return parse(bag.decode(topic, payload), log_ns)
    except LnnError as error:
        raise LnnError(f"topic {topic.name!r}: {error}; --rate replays the bag without its "
                       f"trace") from error


def _break(result: Comparison, fault: Fault) -> Unknown:
    result.unknown.append(Unknown(fault))
    return result.unknown[-1]


def _bits(command: Four | None) -> list[str]:
    """Numbers as text that differs where a bit does."""
    return [] if command is None else [value.hex() for value in command]


def _four(command: Command | None) -> Four | None:
    if command is None:
        return None
    a, b, c, d = command.tolist()
    return a, b, c, d
