"""One policy after another in flight: prepared beside the control loop, flown dry, on trial.

A newcomer is loaded and given the samples of the history by another thread, so that no command
waits for it. Then it is flown dry over what has just been seen, and nothing of it reaches the
vehicle: it must answer with finite numbers wherever the policy that flies does, inside the same
ceilings, and want about the same at the present instant, so that the vehicle does not jerk; how far
the two differ before that is told, and decides nothing. Between two commands it takes over. For a
while it is on trial: the policy before it is given everything, too, and flies on in its place, from
a state of its own, should the guard have to hold the vehicle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import Limits
from lnn_ros.guard.modes import Mode, Refusal
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.timeline.intervals import NS
from lnn_ros.timeline.samples import Verdict

STEP_NS = 33_333_333
"""Between two instants of the history at which both are asked."""
TRIPPED = frozenset({Mode.HOLD, Mode.FAULT})
"""Modes in which the guard flies because it had to, or nobody does."""


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
             tolerance: float | None) -> Rehearsal:
    """Fly a newcomer dry over the history of the pilot that flies.

    Parameters
    ----------
    newcomer : Pilot
        It has inherited from ``flying``, and been given what came since.
    flying : Pilot
    at_ns : int
        The present instant, ns, in the history of both.
    limits : Limits
        Ceilings of the policy that flies.
    tolerance : float or None
        How far the newcomer's wish may be from the present one, as a share of each output's range;
        None: however far.

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
    if tolerance is not None and (np.abs(now) > tolerance * ranges).any():
        raise Refused(f"it wants {_numbers(newcomer.read(at_ns))} now, where the policy that flies "
                      f"wants {_numbers(flying.read(at_ns))}: expected at most "
                      f"{_numbers(tolerance * ranges)} between the two")
    square = np.sqrt(np.mean(np.square(apart), axis=0))
    return Rehearsal(len(instants), tuple(square.tolist()), tuple(now.tolist()))


class Stage(str, Enum):
    """Where a succession stands."""

    SETTLED = "settled"  # one policy flies, and no other is asked for
    LOADING = "loading"  # a newcomer is read and built by another thread
    CATCHING_UP = "catching up"  # it goes through the history, in another thread
    TRIAL = "trial"  # it flies, and the one before it stands ready


_DOES = {Stage.LOADING: "loading", Stage.CATCHING_UP: "catching up", Stage.TRIAL: "on trial"}


@dataclass(frozen=True)
class Candidate:
    """A policy that may fly.

    Attributes
    ----------
    checkpoint : Checkpoint
    file : Path
        Where it was read, links followed: what that is called may come to mean another one.
    pilot : Pilot
    """

    checkpoint: Checkpoint
    file: Path
    pilot: Pilot

    @staticmethod
    def read(file: Path, build: Callable[[Checkpoint], Pilot]) -> Candidate:
        """Read a policy file.

        Raises
        ------
        LnnError
            When it is missing, damaged or no policy.
        """
        file = file.resolve()
        checkpoint = load(file)
        return Candidate(checkpoint, file, build(checkpoint))

    @property
    def digest(self) -> str:
        """What names it, whatever its file is called."""
        return str(self.pilot.card["weights_sha256"])[:16]

    @property
    def ceilings(self) -> Limits:
        """What it was trained to stay inside."""
        return ceilings(self.checkpoint)


class Succession:
    """The policy that flies, and the one that is to come after it.

    ``step`` and all else is for the thread of the control loop alone.

    Parameters
    ----------
    first : Candidate
        It flies from the start, and is not on trial.
    build : callable
        Makes a pilot of a checkpoint.

    Attributes
    ----------
    flying : Candidate
    stage : Stage
    news : list of str
        What has become of newcomers, to be told and taken away.
    last : str
        The latest of the news.
    """

    def __init__(self, first: Candidate, build: Callable[[Checkpoint], Pilot]) -> None:
        self.flying, self._build = first, build
        self._tolerance: float | None = None
        self._trial_s = 0.0
        self._thread = ThreadPoolExecutor(1, "succession")
        self._before: Candidate | None = None  # to which one can go back
        self._newcomer: Candidate | None = None
        self._work: Future[Candidate] | None = None
        self._missed: list[tuple[str, int, object, int | None]] = []
        self._flown_ns = 0  # of the trial; 0: it has not decided anything yet
        self._last_ns: int | None = None
        self.stage = Stage.SETTLED
        self.news: list[str] = []
        self.last = "none so far"

    def close(self) -> None:
        """Let go of the thread; what it does comes to nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    # What is asked of it

    def propose(self, file: Path, tolerance: float, trial_s: float) -> None:
        """Prepare a policy file to take over, unless it is refused.

        Parameters
        ----------
        file : Path
        tolerance : float
            As of ``rehearse``.
        trial_s : float
            For so long it is on trial, s; only time counts in which it decides.

        Raises
        ------
        Refusal
            While another newcomer is being prepared, or is on trial.
        """
        self._free("swap")
        self._tolerance, self._trial_s = tolerance, trial_s
        self._begin(Stage.LOADING, lambda: Candidate.read(file, self._build))

    def back(self) -> None:
        """Go back to the policy that flew before: at once while on trial, else as a newcomer.

        It flew before, so it may want something else than the present one.

        Raises
        ------
        Refusal
            When there is none, or another one is being prepared.
        """
        before = self._before
        if before is None:
            raise Refusal("rollback refused: no policy flew before this one")
        if self.stage is Stage.TRIAL:
            self._return("asked to")
            return
        self._free("rollback")
        self._tolerance = None
        self._begin(Stage.LOADING, lambda: Candidate(before.checkpoint, before.file,
                                                     self._build(before.checkpoint)))

    def observe(self, stream: str, stamp_ns: int, value: object,
                now_ns: int | None = None) -> Verdict:
        """Give a sample to everybody who has to know of it: as ``Pilot.observe``.

        What is returned is what the policy that flies made of it.
        """
        if self.stage is Stage.CATCHING_UP:
            self._missed.append((stream, stamp_ns, value, now_ns))
        elif self.stage is Stage.TRIAL and self._before is not None:
            self._before.pilot.observe(stream, stamp_ns, value, now_ns)
        return self.flying.pilot.observe(stream, stamp_ns, value, now_ns)

    def reset(self) -> None:
        """Forget all samples; who has not caught up yet has nothing left to catch up with."""
        self.flying.pilot.reset()
        if self.stage is Stage.CATCHING_UP:
            self._refuse("time began anew while it was prepared")
        elif self.stage is Stage.TRIAL and self._before is not None:
            self._before.pilot.reset()
        self._last_ns = None

    def step(self, at_ns: int, mode: Mode) -> bool:
        """Go on, between two commands, after the samples; return whether another policy flies now.

        Parameters
        ----------
        at_ns : int
            Instant of the next command.
        mode : Mode
            Of the guard, after the command before.
        """
        since_ns = 0 if self._last_ns is None else at_ns - self._last_ns
        self._last_ns = at_ns
        if self.stage is Stage.TRIAL:
            return self._try(mode, since_ns)
        if self._work is None or not self._work.done():
            return False
        work, self._work = self._work, None
        try:
            self._newcomer = work.result()
            if self.stage is Stage.LOADING:
                self._let_inherit(self._newcomer)
                return False
            return self._take_over(self._newcomer, at_ns, mode)
        except LnnError as error:
            self._refuse(str(error))
        except Exception as error:  # of a policy that passed every check, and still cannot be run
            self._refuse(f"{type(error).__name__}: {error}")
        return False

    # Parts

    def _free(self, what: str) -> None:
        if self.stage is not Stage.SETTLED:
            raise Refusal(f"{what} refused: another policy is {_DOES[self.stage]}: ask again when "
                          f"that is over")

    def _begin(self, stage: Stage, work: Callable[[], Candidate]) -> None:
        self.stage, self._work = stage, self._thread.submit(work)

    def _let_inherit(self, newcomer: Candidate) -> None:
        """Hand over the history, and let the newcomer go through it."""
        newcomer.pilot.inherit(self.flying.pilot)
        self._missed = []

        def catch_up() -> Candidate:
            newcomer.pilot.span()
            return newcomer

        self._begin(Stage.CATCHING_UP, catch_up)

    def _take_over(self, newcomer: Candidate, at_ns: int, mode: Mode) -> bool:
        """Rehearse, and let the newcomer fly."""
        for sample in self._missed:
            newcomer.pilot.observe(*sample)
        self._missed = []
        old = self.flying
        found = rehearse(newcomer.pilot, old.pilot, at_ns, old.ceilings, self._tolerance)
        self.flying, self._before, self._newcomer = newcomer, old, None
        apart = (f"over {found.instants} instants the two were {_numbers(found.apart)} apart, "
                 f"{_numbers(found.now)} at the last")
        if self._tolerance is None:  # it flew before: no trial, and no way back to what failed
            self._before = None
            self.stage = Stage.SETTLED
            self._tell(f"back from policy {old.digest} to {newcomer.digest} of {newcomer.file}: "
                       f"{apart}")
            return True
        # From the first command on: that one may be what trips the guard.
        self.stage, self._flown_ns = Stage.TRIAL, int(mode is Mode.ENGAGED)
        self._tell(f"policy {newcomer.digest} of {newcomer.file} flies in place of {old.digest}, "
                   f"on trial for {self._trial_s:g} s: {apart}")
        return True

    def _try(self, mode: Mode, since_ns: int) -> bool:
        """Watch a newcomer that flies."""
        assert self._before is not None
        if mode in TRIPPED and self._flown_ns:
            self._return(f"the guard went to {mode.value}")
            return True
        self._before.pilot.span()  # a little with every command, instead of all when it is needed
        if mode is Mode.ENGAGED:
            self._flown_ns += max(since_ns, 1)
            if self._flown_ns * NS >= self._trial_s:
                self.stage = Stage.SETTLED
                self._tell(f"policy {self.flying.digest} has stood its trial of "
                           f"{self._trial_s:g} s")
        return False

    def _return(self, why: str) -> None:
        """Let the policy before fly on."""
        assert self._before is not None
        failed, self.flying, self._before = self.flying, self._before, None
        self.stage = Stage.SETTLED
        self._tell(f"back from policy {failed.digest} to {self.flying.digest} of "
                   f"{self.flying.file}: {why}")

    def _refuse(self, why: str) -> None:
        self.stage, self._work, self._newcomer = Stage.SETTLED, None, None
        self._missed = []
        self._tell(f"the newcomer must not take over: {why}")

    def _tell(self, sentence: str) -> None:
        self.last = sentence
        self.news.append(sentence)


def _numbers(values: NDArray[np.float64] | Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"
