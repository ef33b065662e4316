"""Drive a pilot from a bag, and keep account of what it took, what it said and how long it took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.messages import NS_PER_S
from lnn_ros.pilot import Pilot
from lnn_ros.replay.bag import Bag, Topic
from lnn_ros.replay.samples import Decoder, Sample

GAP_NS = 10 * NS_PER_S
"""A hole in the log, after which commands are asked for anew from its end: by then everything is
stale, and log times of two clocks would ask for billions."""
BACK_NS = NS_PER_S // 2
"""Log time that goes back by more is another episode, and the pilot begins anew, as it does live;
by less, it is the seam of two files."""

Command = NDArray[np.float64]
Sink = Callable[[int, int, Command, dict[str, float]], None]
"""Takes the log time (ns), the instant (ns), a command and the neurons."""


class Driver:
    """A pilot, and what it costs.

    Parameters
    ----------
    pilot : Pilot
    decoder : Decoder
    sink : Sink, optional
        Where the commands go.

    Attributes
    ----------
    decoder : Decoder
    commands : int
        Commands given.
    episodes, gaps : int
        How often the pilot began; holes in the log.
    times_ns : dict of str to list of int
        What each call took, by ``stream.decode``, ``stream.observe`` and ``command``.
    lags_ns : dict of str to list of int
        Log time minus stamp of each sample, by stream.
    """

    def __init__(self, pilot: Pilot, decoder: Decoder, sink: Sink | None) -> None:
        self._pilot, self.decoder, self._sink = pilot, decoder, sink
        self.commands, self.episodes, self.gaps = 0, 1, 0
        self.times_ns: dict[str, list[int]] = defaultdict(list)
        self.lags_ns: dict[str, list[int]] = defaultdict(list)

    @property
    def counts(self) -> Counter[str]:
        """Samples by stream and verdict, unusable messages, and the pilot's other counts."""
        return Counter(self._pilot.counts()) + self.decoder.counts

    def reset(self) -> None:
        """Let the pilot begin anew."""
        self._pilot.reset()
        self.episodes += 1

    def decode(self, log_ns: int, topic: Topic, payload: bytes) -> Sample | None:
        """Make a sample of a message; None if it cannot be used."""
        began = perf_counter_ns()
        sample = self.decoder(topic, payload)
        if sample is not None:
            self.times_ns[f"{sample.stream}.decode"].append(perf_counter_ns() - began)
            self.lags_ns[sample.stream].append(log_ns - sample.stamp_ns)
        return sample

    def observe(self, sample: Sample, now_ns: int | None = None) -> None:
        """Give the pilot a sample, as of a time of the receiver's clock (ns)."""
        began = perf_counter_ns()
        self._pilot.observe(sample.stream, sample.stamp_ns, sample.value, now_ns)
        self.times_ns[f"{sample.stream}.observe"].append(perf_counter_ns() - began)

    def command(self, at_ns: int) -> Command:
        """Ask the pilot for a command."""
        began = perf_counter_ns()
        command = self._pilot.command(at_ns)
        self.times_ns["command"].append(perf_counter_ns() - began)
        return command

    @property
    def wish(self) -> Command | None:
        """What the network wanted for the last command."""
        return self._pilot.wish

    def say(self, log_ns: int, at_ns: int, command: Command) -> None:
        """Write a command down."""
        self.commands += 1
        if self._sink is not None:
            self._sink(log_ns, at_ns, command, self._pilot.neurons())


def drive(bag: Bag, driver: Driver, rate_hz: float) -> None:
    """Give a pilot everything in the order of log time, and ask for commands at a rate.

    The clock is the log's: a command knows what had been received when it was asked for.

    Raises
    ------
    LnnError
        When the bag is damaged.
    """
    begin_ns = last_ns = at_ns = number = 0
    first = True

    def answer(until_ns: int) -> None:
        nonlocal at_ns, number
        while at_ns < until_ns:
            driver.say(at_ns, at_ns, driver.command(at_ns))
            number += 1
            at_ns = begin_ns + round(number * NS_PER_S / rate_hz)

    for log_ns, topic, payload in bag.messages(driver.decoder.topics):
        back, gap = log_ns < last_ns - BACK_NS, log_ns > last_ns + GAP_NS
        if first or back or gap:
            if not first:
                answer(last_ns + 1)
                driver.gaps += gap
                if back:
                    driver.reset()
            first, number = False, 0
            begin_ns = at_ns = last_ns = log_ns
        last_ns = max(last_ns, log_ns)
        answer(last_ns)
        sample = driver.decode(log_ns, topic, payload)
        if sample is not None:
            driver.observe(sample, last_ns)
    if not first:
        answer(last_ns + 1)


def percentiles(values: list[int]) -> dict[str, Any]:
    """Return how many there are, the median and the 99th percentile, in seconds."""
    if not values:
        return {"n": 0, "p50_s": None, "p99_s": None}
    p50, p99 = np.percentile(np.array(values, np.float64), (50, 99)) / NS_PER_S
    return {"n": len(values), "p50_s": float(p50), "p99_s": float(p99)}
