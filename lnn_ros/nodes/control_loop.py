"""The control loop: what has arrived, through pilot and guard, to one command at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from rclpy.node import Node
from rclpy.parameter import Parameter

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.geometry import VirtualCamera
from lnn_ros.guard.chain import Guard
from lnn_ros.guard.modes import Event, Mode, Refusal
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.nodes.clocks import Clocks, Source
from lnn_ros.nodes.diagnostics import ERROR, OK, WARN, Complaints
from lnn_ros.nodes.guard_topics import GuardTopics
from lnn_ros.nodes.parameters import Parameters
from lnn_ros.nodes.report import Report
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.nodes.streams import Arrival, Streams
from lnn_ros.nodes.voice import Voice
from lnn_ros.pilot import Pilot, ceilings
from lnn_ros.succession import Candidate, Stage, Succession


class ControlLoop:
    """What a controller is made of while it is configured.

    Parameters
    ----------
    node : Node
        Whose topics they are.
    parameters : Parameters
        Its parameters: what is set counts from the next command on.
    source : Source
        Where time comes from.
    complaints : Complaints
        Where unusable messages are counted and said.
    wake : callable, optional
        Called when an image has come.

    Attributes
    ----------
    guard : Guard
    clocks : Clocks
    streams : Streams
    at_ns : int
        Instant of the last command; 0 before the first since time jumped.

    Raises
    ------
    LnnError
        When the policy cannot be loaded, or does not fit the settings.
    """

    def __init__(self, node: Node, parameters: Parameters[ControllerSettings], source: Source,
                 complaints: Complaints, wake: Callable[[], None] | None) -> None:
        self._node, self._parameters, self._complaints = node, parameters, complaints
        settings = self._settings = parameters.settings()
        self._closing: list[Callable[[], None]] = []
        file = policies.find(settings.policy).resolve()
        checkpoint = load(file)
        self.guard = Guard(ceilings(checkpoint), settings.guard, self.period)
        first = Candidate(checkpoint, file, self._build(checkpoint))
        self._succession = Succession(first, self._build)
        self._closing.append(lambda: self._succession.close())
        try:
            self._voice = Voice(node, settings)
            self._closing.append(self._voice.close)
            self.clocks = Clocks(node, source, complaints)
            self._closing.append(self.clocks.close)
            self.streams = Streams(node, settings, VirtualCamera.from_card(self._pilot.card),
                                   self.clocks, complaints, wake)
            self._closing.append(self.streams.close)
            self._beside = GuardTopics(node, settings, complaints)
            self._closing.append(self._beside.close)
        except Exception:
            self.close()
            raise
        self._report = Report(node.get_name())
        self.at_ns = self._resets = 0
        self._standing, self._applied = False, -1

    def close(self) -> None:
        """Let go of every topic."""
        while self._closing:
            self._closing.pop()()

    @property
    def period(self) -> float:
        """Usual time between two commands, s."""
        return self._settings.period

    @property
    def digest(self) -> str:
        """What names the policy that flies, whatever its file is called."""
        return self._succession.flying.digest

    @property
    def policy_file(self) -> Path:
        """Where the policy that flies was read, links followed."""
        return self._succession.flying.file

    # What happens to it

    def tick(self, now_ns: int, arrivals: list[Arrival]) -> None:
        """Answer what has arrived with one command.

        Parameters
        ----------
        now_ns : int
            The node's time.
        arrivals : list
            What ``streams.take`` returned before the clock was read.
        """
        began = time.monotonic()
        self._standing = False
        jump_ns = self.clocks.jump()
        if jump_ns:
            # A clock that shakes jumps at every tick: said once, and counted.
            self._complaints.report(
                "clock", "jumped", f"time went {'back' if jump_ns < 0 else 'forward'} by "
                f"{abs(jump_ns) / 1e9:.3f} s: the pilot begins anew")
            self.begin_anew()
            if jump_ns < 0 and self.guard.cause is Event.LEFT:  # a simulator's next episode
                self.engage_by_itself()
            # What had been sent before time jumped is here by now: let none of it wait for the next
            # tick, which could not tell it from new samples.
            arrivals = arrivals + self.streams.take()
        else:
            self._complaints.fine("clock")
        if self.guard.mode is Mode.FAULT:  # nothing of a pilot that failed is asked again
            self.at_ns = self._voice.zero(max(now_ns, self.at_ns))
            self._go_on()
            return
        self._apply()
        self.streams.feed(self._succession, arrivals, now_ns, jumped=jump_ns != 0)
        if self.clocks.source is Source.SIMULATED:
            # Simulated time is told by messages: a sample may have overtaken that of its stamp.
            now_ns = max(now_ns, self.streams.newest_ns())
        at_ns = self.at_ns = max(now_ns, self.at_ns)
        # Not by the guard's own time, which is that of the command before: it may have jumped.
        now = self._steady
        self._beside.feed(self.guard, now_ns, at_ns / 1e9 if now is None else now,
                          jump_ns != 0)
        self._go_on()
        command = self._pilot.command(at_ns, self.streams.silences(), self._steady)
        if not self._voice.command(at_ns, command):
            return  # it came too late: zero is commanded since, which the next tick answers
        head = {"policy": self.digest, "reset": self._resets, "novelty": self._pilot.unlike}
        self._voice.explain(at_ns, head, self.streams.seen, self._pilot.wish, self.guard, command)
        self._voice.neurons(at_ns, self._pilot)
        self._report.stepped(time.monotonic() - began)

    def repeat(self) -> None:
        """Publish the last command once more."""
        self._voice.repeat()

    def zero(self) -> None:
        """Command zero now, outside of a tick."""
        self.at_ns = max(self.clocks.look(), self.at_ns)
        self._voice.zero(self.at_ns)

    def zero_from_another_thread(self) -> None:
        """Command zero while the loop's own thread hangs."""
        system = self.clocks.source is Source.SYSTEM
        self._voice.hush(int(self._node.get_clock().now().nanoseconds) if system else 0)

    @property
    def hushed(self) -> bool:
        """Whether zero has been commanded from another thread, and nobody has answered that yet."""
        return self._voice.hushed

    def stalled(self, seconds: float) -> None:
        """Answer it that the loop stood still, and that zero was commanded meanwhile."""
        self._voice.hushed = False
        self.handle(Event.STALL, f"the control loop stood still for {seconds:.1f} s")
        # Where the whole process stood still no thread has said it; what follows begins at rest.
        self._voice.zero(0)

    def look_at_time(self) -> None:
        """Stop the vehicle when simulated time stands still, and with it all that judges ages."""
        limit = self.streams.max_age
        if (self.clocks.source is Source.SIMULATED and self.at_ns and not self._standing
                and self.clocks.standing_s() > limit):
            self._standing = True
            self.handle(Event.STALL, self._no_time())
            self._voice.zero(self.at_ns)

    def heard(self) -> bool:
        """Await that every reader of commands has the last one."""
        return self._voice.heard()

    # Modes

    def handle(self, event: Event, reason: str) -> bool:
        """Let something happen to the guard: see there."""
        return self.guard.handle(event, reason, self._steady)

    def engage(self) -> None:
        """Let the policy fly.

        Raises
        ------
        Refusal
            When it cannot as things stand.
        """
        if self.guard.mode in (Mode.DISENGAGED, Mode.HOLD):  # else the table has better reasons
            troubles = self.troubles()
            if troubles:
                raise Refusal(f"engage refused: {'; '.join(troubles)}")
        self.handle(Event.ENGAGE, "engaged by service")

    def engage_by_itself(self) -> None:
        """Let the policy fly as soon as nothing stands against it, if the parameters say so."""
        if self._parameters.settings().engage:
            self.guard.engage_when_ready("engaged by the parameter engage")

    def reset(self) -> None:
        """Begin anew with the policy as it is on disk: nothing of the old pilot is trusted."""
        policy = Candidate.read(policies.find(self._parameters.settings().policy), self._build)
        self.guard.set(self._settings.guard, self.period, policy.ceilings)
        self.streams.aim(VirtualCamera.from_card(policy.pilot.card))
        self._succession.close()
        self._succession = Succession(policy, self._build)
        self.begin_anew()

    def swap(self) -> str:
        """Prepare the policy that the parameters name to take over in flight; return a sentence.

        Raises
        ------
        Refusal
            When it is no policy's name, or another one is being prepared, or is on trial.
        """
        settings = self._parameters.settings()
        try:
            file = policies.newcomer(settings.policy)
        except LnnError as error:  # no reason to stop flying
            raise Refusal(f"swap refused: {error}") from error
        self._succession.propose(file, settings.swap.tolerance, settings.swap.trial_s)
        return f"preparing {file}: ~/status says what becomes of it"

    def rollback(self) -> str:
        """Let the policy fly that flew before this one; return a sentence.

        Raises
        ------
        Refusal
            When there is none, or another one is being prepared.
        """
        flying = self._succession.flying
        self._succession.back()
        if self._succession.flying is flying:
            return "preparing the policy before this one: ~/status says what becomes of it"
        self._taken_over()
        return f"policy {self.digest} of {self.policy_file} flies again"

    @property
    def has_news(self) -> bool:
        """Whether ``news`` has something to take."""
        return bool(self._succession.news)

    def news(self) -> list[str]:
        """Take what has become of policies that were to take over."""
        found, self._succession.news = self._succession.news, []
        return found

    @property
    def succession(self) -> str:
        """Where the change of policies stands, and what became of the last one, in words."""
        return f"{self._succession.stage.value}; {self._succession.last}"

    def begin_anew(self) -> None:
        """Forget all samples."""
        self._succession.reset()
        self.streams.forget()
        self._voice.begin_anew()
        self._resets += 1
        self.at_ns = 0

    def troubles(self) -> list[str]:
        """Say why the policy cannot be flown as things stand, if it cannot."""
        now = self.clocks.look()
        if now == 0:
            return ["nothing arrives on /clock"]
        if (self.clocks.source is Source.SIMULATED
                and self.clocks.standing_s() > self.streams.max_age):
            return [self._no_time()]
        # The streams' sentences say more than the guard's, which knows no topic.
        return [*self.streams.troubles(now), *self.guard.troubles(self._steady, streams=False)]

    def diagnose(self) -> None:
        """Publish /diagnostics; to be called once a second."""
        self.streams.discover()
        guard, troubles = self.guard, self.troubles()
        level, text = OK, guard.mode.value
        if guard.mode is Mode.FAULT:
            level, text = ERROR, f"fault: {guard.reason}"
        elif troubles:
            level, text = WARN, f"{guard.mode.value}; {'; '.join(troubles)}"
        head = {"mode": guard.mode.value, "reason": guard.reason,
                "remarks": "; ".join(guard.remarks()), "policy": self.digest,
                "resets": self._resets,
                **{f"entered.{mode}": count for mode, count in guard.transitions.items()}}
        self._voice.diagnose(self._report.message(self.clocks.look(), level, text, head,
                                                  self._pilot, self.streams, self._complaints))

    # Parts

    def _apply(self) -> None:
        """Let parameters count that were set since the last command, all at once."""
        changes = self._parameters.changes
        if changes != self._applied:
            self._settings = self._parameters.settings()
            self.guard.set(self._settings.guard, self.period)
            self.streams.max_age = self._settings.limits.max_age
            self._beside.set(self._settings)
            self._voice.settle(self._parameters.values())
            self._applied = changes

    def _go_on(self) -> None:
        """Let a newcomer come nearer to flying, or go."""
        succession = self._succession
        told, trial = len(succession.news), succession.stage is Stage.TRIAL
        if succession.step(self.at_ns, self.guard.mode):
            self._taken_over()
        elif len(succession.news) > told and succession.stage is Stage.SETTLED and not trial:
            self._name_policy()  # one that has stood its trial is what was asked for by that name

    def _taken_over(self) -> None:
        """Let it count everywhere that another policy flies."""
        self.guard.set(self._settings.guard, self.period, self._succession.flying.ceilings)
        if self._succession.stage is Stage.SETTLED:
            self._name_policy()

    def _name_policy(self) -> None:
        """Let the parameter name the policy that flies: by that a reset begins anew."""
        named = self._parameters.settings().policy
        try:
            right = policies.find(named).resolve() == self.policy_file
        except LnnError:
            right = False
        if not right:
            self._node.set_parameters([Parameter("policy", value=str(self.policy_file))])

    @property
    def _pilot(self) -> Pilot:
        """Of the policy that flies."""
        return self._succession.flying.pilot

    def _build(self, checkpoint: Checkpoint) -> Pilot:
        return Pilot(checkpoint, horizon_s=self._settings.horizon_s, guard=self.guard)

    def _no_time(self) -> str:
        return f"time stands still: no new /clock for {self.streams.max_age:g} s"

    @property
    def _steady(self) -> float | None:
        """Steady time for the guard; none where simulated time stands in for it."""
        return time.monotonic() if self.clocks.source is Source.SYSTEM else None
