"""Find the samples in a bag that a trace lists: by stream and stamp and, in doubt, by digest.

A bag may hold several messages of one stamp (a driver that repeats itself, two flights in one
simulated time); the controller may have taken one of them, or each in its turn. The sum that the
trace gives tells which. Messages may also lie in the bag later than the trace that lists them,
because a recorder writes topic by topic.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations, product

from lnn_ros.replay.samples import Key, Sample
from lnn_ros.timeline.samples import STREAMS
from lnn_ros.trace import MODULUS, Trace

MAX_CHOICES = 10_000
"""Ways to choose among messages of the same stamps that are tried before giving up."""


@dataclass(frozen=True)
class Fault:
    """Why the samples are not exactly those that the controller took.

    Attributes
    ----------
    reason, stream : str
    stamp_ns : int
        Of the sample that is missing; 0 where no single one is to blame.
    """

    reason: str
    stream: str
    stamp_ns: int = 0


class Supply:
    """Samples of a bag that are still to be listed by a trace.

    Parameters
    ----------
    listed : Counter of Key
        How often each sample is listed by all traces.
    present : Counter of Key
        How many messages of it are in the bag.
    """

    def __init__(self, listed: Counter[Key], present: Counter[Key]) -> None:
        self._listed = Counter(listed)
        self._coming = Counter({key: present[key] for key in listed})
        self._held: dict[Key, dict[int, Sample]] = {}

    def wants(self, key: Key) -> bool:
        """Whether a sample is still to be listed."""
        return self._listed[key] > 0

    def offer(self, key: Key, sample: Sample | None) -> None:
        """Take the bag's next message; None: it cannot be used."""
        self._coming[key] -= 1
        if sample is not None and self.wants(key):
            # Exact duplicates are one: the pilot takes them once.
            self._held.setdefault(key, {})[sample.digest] = sample

    def take(self, trace: Trace,
             sums: dict[str, int] | None) -> tuple[list[Sample], Fault | None] | None:
        """Return the samples of a trace, in an order in which the pilot takes all of them.

        Parameters
        ----------
        trace : Trace
        sums : dict of str to int, optional
            The sum of the digests of each stream's samples. None: nothing can be compared any
            more, so that it does not matter which they are.

        Returns
        -------
        tuple or None
            Samples by stamp, IMU first on a tie: what came in time live is not late in this order.
            With them what is wrong, if anything. None while messages that are still to be read may
            decide.
        """
        wanted = Counter((name, stamp) for name, taken in trace.streams.items()
                         for stamp in taken.new_ns)
        samples: list[Sample] = []
        faults: list[Fault] = []
        for name in STREAMS:
            mine = {key: count for key, count in wanted.items() if key[0] == name}
            chosen, fault = self._choose(name, mine, None if sums is None else sums[name])
            if fault and any(self._coming[key] > 0 for key in mine):
                return None
            samples += chosen
            faults += [fault] if fault else []
        for sample in samples:
            del self._held[sample.key][sample.digest]
        for key, count in wanted.items():
            self._listed[key] -= count
            if not self.wants(key):
                self._held.pop(key, None)
        samples.sort(key=lambda s: (s.stamp_ns, STREAMS.index(s.stream)))
        return samples, faults[0] if faults else None

    def _choose(self, stream: str, wanted: dict[Key, int],
                total: int | None) -> tuple[list[Sample], Fault | None]:
        """Choose one stream's samples; say what is wrong with the choice, if anything is."""
        held = {key: list(self._held.get(key, {}).values()) for key in wanted}
        first = [sample for key, count in wanted.items() for sample in held[key][:count]]
        for key, count in wanted.items():
            if len(held[key]) < count:
                return first, Fault("sample not in the bag", *key)
        if total is None or _sum(first) == total:
            return first, None
        ways = math.prod(math.comb(len(held[key]), count) for key, count in wanted.items())
        if ways > MAX_CHOICES:
            return first, Fault("too many messages of the same stamps", stream)
        for parts in product(*(combinations(held[key], n) for key, n in wanted.items())):
            choice = [sample for part in parts for sample in part]
            if _sum(choice) == total:
                return choice, None
        return first, Fault("digest differs", stream)


def _sum(samples: list[Sample]) -> int:
    return sum(sample.digest for sample in samples) % MODULUS
