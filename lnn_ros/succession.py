"""Whether a policy may take over in flight: it is flown dry over what has just been seen.

Nothing of it reaches the vehicle. It must answer with finite numbers wherever the policy that flies
does, inside the same ceilings, and want about the same at the present instant, so that the vehicle
does not jerk; how far the two differ before that is told, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import Limits
from lnn_ros.pilot import Pilot

TOLERANCE = 0.25
"""How far the newcomer's wish may be from the present one, as a share of each output's range."""
STEP_NS = 33_333_333
"""Between two instants of the history at which both are asked."""


class Refused(LnnError):
    """The policy must not take over as things stand."""


@dataclass(frozen=True)
class Rehearsal:
    """How a newcomer flew dry.

    Attributes
    ----------
    instants : int
        At so many both were asked.
    apart : tuple of float
        Root mean square of the difference over them, for each output: m/s, rad/s.
    now : tuple of float
        Difference at the present instant.
    """

    instants: int
    apart: tuple[float, ...]
    now: tuple[float, ...]


def rehearse(newcomer: Pilot, flying: Pilot, at_ns: int, limits: Limits,
             tolerance: float = TOLERANCE) -> Rehearsal:
    """Fly a newcomer dry over the history of the pilot that flies.

    Parameters
    ----------
    newcomer : Pilot
        Of ``flying.heir``; it has been given what came since.
    flying : Pilot
    at_ns : int
        The present instant, ns, in the history of both.
    limits : Limits
        Ceilings of the policy that flies.
    tolerance : float
        See ``TOLERANCE``.

    Raises
    ------
    Refused
        When the newcomer must not take over; the sentence says why.
    """
    spans = newcomer.span(), flying.span()
    if spans[0] is None or spans[1] is None or not spans[1][0] <= at_ns <= spans[1][1]:
        raise Refused("nothing has been seen to rehearse on: expected frames")
    instants = [*range(spans[1][0], at_ns, STEP_NS), at_ns]
    ranges = np.array(limits.high) - limits.low
    apart = []
    for instant in instants:
        wish = newcomer.read(instant)
        if not np.isfinite(wish).all():
            raise Refused(f"it wants {_numbers(wish)} at {instant} ns: expected finite numbers")
        if (wish < limits.low).any() or (wish > limits.high).any():
            raise Refused(f"it wants {_numbers(wish)} at {instant} ns: expected at least "
                          f"{_numbers(limits.low)} and at most {_numbers(limits.high)}")
        apart.append(wish - flying.read(instant))
    now = apart[-1]
    if (np.abs(now) > tolerance * ranges).any():
        raise Refused(f"it wants {_numbers(newcomer.read(at_ns))} now, where the policy that flies "
                      f"wants {_numbers(flying.read(at_ns))}: expected at most "
                      f"{_numbers(tolerance * ranges)} between the two")
    square = np.sqrt(np.mean(np.square(apart), axis=0))
    return Rehearsal(len(instants), tuple(square.tolist()), tuple(now.tolist()))


def _numbers(values: NDArray[np.float64] | Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"
