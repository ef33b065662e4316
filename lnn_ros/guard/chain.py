"""The guard: from what the network wishes to what may be sent.

finite -> fresh -> like training -> the mode chooses the target -> fence and obstacles lower it ->
the limiter, last.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.guard.decision import ALL_BRAKING, NO_BRAKING, REST, Decision
from lnn_ros.guard.limiter import Limiter
from lnn_ros.guard.limits import Command, Limits
from lnn_ros.guard.modes import STOPPED, Event, Mode, Modes, Refusal
from lnn_ros.guard.novelty import Novelty
from lnn_ros.guard.parameters import OFFLINE, GuardParameters
from lnn_ros.guard.readiness import Ages, Deadman, Vehicle, stale
from lnn_ros.guard.sensor import Three
from lnn_ros.guard.stopping import Stopping
from lnn_ros.guard.surroundings import Surroundings

PERIOD = 1.0 / 30.0
_NS = 1e-9
_ZERO: Sequence[float] = [0.0] * 4
_UNASKED = "no command has been asked for yet"


class Guard:
    """Make commands of wishes; every intervention is counted.

    Two clocks: instants and stamps (ns) are the node's time; ``now`` (s) is a steady clock, by
    which arrivals, the vehicle, the deadman and a takeover are judged. Where it is left out, the
    instant of the command stands in for it.

    Parameters
    ----------
    limits : Limits
        The policy's own ceilings, and how old a stream may be; parameters only narrow them.
    parameters : GuardParameters
        By default those of flights without a person or a vehicle: nothing but ``limits`` counts,
        and the guard is engaged from the start. With any other it begins disengaged.
    period : float
        Usual time between commands, s.

    Attributes
    ----------
    limiter : Limiter
        The last stage: velocity, acceleration and bounds as they are; to be looked at only.
    decision : Decision
        Of the last command.
    stops : int
        How often the limiter was put to rest at once.
    counts : Counter of str
        guard.stale_<stream>, guard.not_finite, guard.no_answer, guard.clamped, guard.fence,
        guard.fence_blind, guard.obstacle, guard.uncovered, guard.<sensor>_dropped,
        guard.<sensor>_blind, guard.odometry_dropped, guard.takeover_not_finite, guard.novelty_*.
    """

    def __init__(
        self, limits: Limits, parameters: GuardParameters = OFFLINE, period: float = PERIOD
    ) -> None:
        self._policy = limits
        self.parameters = parameters
        self._counts: Counter[str] = Counter()
        self._modes = Modes()
        self._vehicle, self._deadman = Vehicle(), Deadman()
        self._last_ns: int | None = None
        self._began_ns: int | None = None
        self._stale_streams: list[str] = []
        self._answers, self._unlike = _UNASKED, ""
        self._taken = _ZERO
        self._taken_at = self._held_at = -math.inf
        self._may_resume = False
        self._wanted = ""
        self.decision, self.stops = REST, 0
        self._around = Surroundings(parameters)
        self._novelty = Novelty(parameters.novelty)
        self.limiter = Limiter(limits)
        self.set(parameters, period)
        if parameters is OFFLINE:
            self._modes.handle(Event.ENGAGE, "engaged from the start")

    # Parameters

    @property
    def limits(self) -> Limits:
        """Ceilings and freshness that count."""
        return self._limits

    def set(
        self, parameters: GuardParameters, period: float = PERIOD, policy: Limits | None = None
    ) -> None:
        """Change all parameters at once; the command does not jump.

        Sensors that are changed cover nothing until they measure again.

        Parameters
        ----------
        parameters : GuardParameters
        period : float
            Usual time between commands, s.
        policy : Limits, optional
            The ceilings of another policy.
        """
        if not 0.0 < period < math.inf:
            raise LnnError(f"the guard's period is {period}: expected seconds > 0")
        self._policy = policy or self._policy
        limits = self._policy.within(parameters.limits.limits())
        normal, braking = parameters.normal.slew(), parameters.braking.slew()
        stopping = Stopping.of(
            parameters.stopping.deceleration, parameters.stopping.reaction, normal, braking, period
        )
        self._around.set(parameters, limits, stopping)
        self._novelty.parameters = parameters.novelty
        self.limiter.set(limits, normal, braking, period)
        self.parameters, self._limits = parameters, limits

    # Modes

    @property
    def mode(self) -> Mode:
        """Who decides."""
        return self._modes.mode

    @property
    def reason(self) -> str:
        """Why, of the last transition."""
        return self._modes.reason

    @property
    def cause(self) -> Event | None:
        """Event of the last transition."""
        return self._modes.cause

    @property
    def transitions(self) -> Mapping[str, int]:
        """How often each mode was entered."""
        return self._modes.transitions

    def handle(self, event: Event, reason: str, now: float | None = None) -> bool:
        """Let something happen; return whether the mode is another one now.

        Parameters
        ----------
        event : Event
            ENGAGE, DISENGAGE, RELEASE, FAIL, RESET, STALL or SHUTDOWN; others come from within.
        reason : str
            Who or what it was.
        now : float, optional
            Steady time, s.

        Raises
        ------
        Refusal
            When it is not for this mode, or engaging is not possible as things stand.
        """
        now = self._now(now)
        if event in (Event.ENGAGE, Event.RESUME) and self.mode in (Mode.DISENGAGED, Mode.HOLD):
            troubles = self.troubles(now)
            if troubles:
                raise Refusal(f"{event.value} refused: {'; '.join(troubles)}")
        changed = self._modes.handle(event, reason)
        if self.mode in STOPPED or event is Event.STALL:
            self.limiter.stop()
            self.stops += 1
        self._wanted = self._wanted if event is Event.STALL else ""
        if changed and self.mode is Mode.HOLD:
            self._held_at = now
            self._may_resume = event in (Event.STALE, Event.STALL) or (
                event is Event.RELEASE and self.parameters.takeover.auto_resume
            )
        return changed

    def engage_when_ready(self, reason: str) -> None:
        """Engage with the first command that nothing stands against, unless something happens."""
        self._wanted = reason

    def troubles(self, now: float | None = None, streams: bool = True) -> list[str]:
        """Say why the policy cannot fly as things stand; empty when it can.

        Parameters
        ----------
        now : float, optional
            Steady time, s.
        streams : bool
            Whether to name the streams that are stale: a caller may know more about them.
        """
        now = self._now(now)
        modes = self.parameters.modes
        vehicle, _ = self._vehicle.judge(modes, now)
        found = self._missing(vehicle, self._deadman.trouble(modes, now))
        return found if streams else found[len(self._stale_streams) :]

    def remarks(self) -> list[str]:
        """Say what is less than it should be, but no reason not to fly."""
        return self._around.remarks(self._last_ns or 0)

    # What comes in beside the wish

    def take_over(self, command: Sequence[float], now: float | None = None) -> bool:
        """Take a person's command; false, and counted, when it is not finite.

        Raises
        ------
        Refusal
            In a mode that knows no takeover.
        """
        if len(command) != 4 or not all(map(math.isfinite, command)):
            self._counts["guard.takeover_not_finite"] += 1
            return False
        now = self._now(now)
        self.handle(Event.TAKE_OVER, "a person commands", now)
        self._taken, self._taken_at = [float(v) for v in command], now
        return True

    def vehicle(
        self, airborne: bool | None, velocity_mode: bool | None, now: float | None = None
    ) -> None:
        """Take what the vehicle says of itself; None is unknown."""
        self._vehicle.say(airborne, velocity_mode, self._now(now))

    def novelty(self, score: float | None) -> None:
        """Take how unlike training the input is that the next wish is made of; None: unknown."""
        self._novelty.say(score)

    def deadman(self, held: bool, now: float | None = None) -> None:
        """Take whether the deadman is held."""
        self._deadman.say(held, self._now(now))

    def begin(self, at_ns: int) -> None:
        """Tell the time before the first command since time began, or jumped."""
        if self._last_ns is None and self._began_ns is None:
            self._began_ns = at_ns
            self._around.move(at_ns, self.limiter.velocity)

    def see(
        self,
        sensor: str,
        stamp_ns: int,
        points: NDArray[np.float64],
        share: float = 1.0,
        tilt: tuple[float, float] = (0.0, 0.0),
    ) -> bool:
        """Take what a sensor of distances has measured: ``ObstacleStop.see``, ``points``.

        Nothing counts before time is known, from ``begin`` or the first command: it could be of a
        time that is still to come, and then it would keep out what is measured until then.
        """
        return self._around.obstacles.see(sensor, stamp_ns, points, share, tilt)

    def locate(self, stamp_ns: int, position: Three, yaw: float) -> bool:
        """Take where the vehicle is, by odometry: ``Fence.locate``; not before time is known."""
        now_ns = self._began_ns if self._last_ns is None else self._last_ns
        if now_ns is None:
            self._counts["guard.odometry_dropped"] += 1
            return False
        return self._around.fence.locate(position, yaw, stamp_ns * _NS, now_ns * _NS)

    # Commands

    @property
    def counts(self) -> Counter[str]:
        """Interventions so far."""
        return self._counts + self._around.counts + self._novelty.counts

    def reset(self) -> None:
        """Forget the last instant, points and place (the clock has jumped); the rest stays.

        The velocity stays what it was, so that no jump of the clock buys one of the command.
        """
        self._last_ns = self._began_ns = None
        self._stale_streams, self._answers, self._unlike = [], _UNASKED, ""
        self._around.reset()
        self._novelty.reset()

    def __call__(
        self,
        at_ns: int,
        wish: Command | None,
        ages: Ages,
        silences: Ages | None = None,
        now: float | None = None,
    ) -> Command:
        """Make a command of the network's wish.

        Parameters
        ----------
        at_ns : int
            Instant of the command; must not go back.
        wish : ndarray, shape (4,), or None
            What the network wants; None: it has no answer.
        ages : mapping of str to float or None
            Age by its stamp, s, of the newest sample of every stream that is required; None if
            there is none. The network's own answer may be one of them.
        silences : mapping of str to float or None, optional
            Seconds since such a sample arrived, by steady time.
        now : float, optional
            Steady time, s.

        Returns
        -------
        ndarray of float64, shape (4,)
            Zero in ``STOPPED`` modes, on its way to zero in hold.

        Raises
        ------
        LnnError
            When ``at_ns`` is earlier than before.
        """
        last_ns = self._last_ns
        if last_ns is not None and at_ns < last_ns:
            raise LnnError(f"command at {at_ns} ns asked for, expected {last_ns} ns or later")
        self._last_ns = at_ns
        now = at_ns * _NS if now is None else now
        self._around.move(at_ns, self.limiter.velocity)
        answer = self._finite(wish)
        self._stale_streams = self._stale(ages, silences)
        self._answers = "the policy has no finite answer" if answer is None else ""
        self._unlike = self._novelty.trouble()
        self._look(now)
        mode = self.mode
        if mode in STOPPED:  # ``handle`` has stopped the limiter
            self.decision = REST
            return np.zeros(4)
        chosen = target = _ZERO
        if mode is Mode.ENGAGED and answer is not None:
            chosen = self._clamped(answer)
            target = self._novelty.lower(chosen, self._limits)
        elif mode is Mode.TAKEOVER:
            chosen = target = self._clamped(self._taken)
        braking = NO_BRAKING
        if self.parameters.takeover.obstacle_stop or mode is not Mode.TAKEOVER:
            target, braking = self._around.lower(at_ns, target, self.limiter.velocity)
        if mode is Mode.HOLD:
            braking = ALL_BRAKING
        dt = 0.0 if last_ns is None else (at_ns - last_ns) * _NS
        lowered = target is not chosen and target != chosen
        self.decision = Decision(tuple(target), braking, lowered, dt)  # type: ignore[arg-type]
        return np.array(self.limiter.step(target, dt, braking))

    # Stages

    def _finite(self, wish: Command | None) -> list[float] | None:
        if wish is None:
            self._counts["guard.no_answer"] += 1
            return None
        answer: list[float] = wish.tolist() if wish.shape == (4,) else [math.nan]
        if not all(map(math.isfinite, answer)):
            self._counts["guard.not_finite"] += 1
            return None
        return answer

    def _stale(self, ages: Ages, silences: Ages | None) -> list[str]:
        limit = self._limits.max_age
        names = stale(ages, limit)
        if silences:
            late = stale(silences, limit, ahead=False)
            names += [name for name in late if name not in names]
        if not names:
            return names
        for name in names:
            self._counts[f"guard.stale_{name}"] += 1
        return [f"{name} is stale: nothing newer than {limit:g} s" for name in names]

    def _look(self, now: float) -> None:
        """Let happen what the mode must answer."""
        modes, mode = self.parameters.modes, self.mode
        if mode in STOPPED:
            if self._wanted and mode is Mode.DISENGAGED and not self.troubles(now):
                self.handle(Event.ENGAGE, self._wanted, now)
            return
        vehicle, certain = self._vehicle.judge(modes, now)
        if vehicle and certain:
            self.handle(Event.LEFT, vehicle, now)
            return
        deadman = self._deadman.trouble(modes, now)
        missing = "; ".join(self._missing(vehicle))
        if mode is Mode.ENGAGED:
            if deadman:
                self.handle(Event.DEADMAN, deadman, now)
            elif missing:
                self.handle(Event.STALE, missing, now)
        elif mode is Mode.TAKEOVER:
            timeout = self.parameters.takeover.timeout
            if abs(now - self._taken_at) > timeout:
                self.handle(Event.RELEASE, f"no takeover command for {timeout:g} s", now)
        elif self._may_resume:
            released = self._modes.cause is Event.RELEASE
            late = not released and now - self._held_at > modes.resume_within
            if deadman or late:
                self._may_resume = False
            elif not missing:
                self.handle(Event.RESUME, f"resumed: no longer in hold for: {self.reason}", now)

    def _missing(self, vehicle: str, deadman: str = "") -> list[str]:
        fence = self._around.trouble(self._last_ns or 0)
        found = (*self._stale_streams, self._answers, self._unlike, vehicle, deadman, fence)
        return [trouble for trouble in found if trouble]

    def _clamped(self, wish: Sequence[float]) -> Sequence[float]:
        inside = self._limits.clamp(wish)
        if inside is not wish:
            self._counts["guard.clamped"] += 1
        return inside

    def _now(self, now: float | None) -> float:
        return (self._last_ns or 0) * _NS if now is None else now
