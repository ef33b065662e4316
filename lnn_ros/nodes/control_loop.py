"""The control loop: what has arrived, through pilot and guard, to one command at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from rclpy.node import Node

from lnn_ros import policies
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
        checkpoint = self._load()
        self.guard = Guard(ceilings(checkpoint), settings.guard, self.period)
        self._pilot = self._fly(checkpoint)
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
        return str(self._pilot.card["weights_sha256"])[:16]

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
            return
        self._apply()
        self.streams.feed(self._pilot, arrivals, now_ns, jumped=jump_ns != 0)
        if self.clocks.source is Source.SIMULATED:
            # Simulated time is told by messages: a sample may have overtaken that of its stamp.
            now_ns = max(now_ns, self.streams.newest_ns())
        at_ns = self.at_ns = max(now_ns, self.at_ns)
        # Not by the guard's own time, which is that of the command before: it may have jumped.
        now = self._steady
        self._beside.feed(self.guard, now_ns, at_ns / 1e9 if now is None else now,
                          jump_ns != 0)
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
        checkpoint = self._load()
        self.guard.set(self._settings.guard, self.period, ceilings(checkpoint))
        pilot = self._fly(checkpoint)
        self.streams.aim(VirtualCamera.from_card(pilot.card))
        self._pilot = pilot
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all samples."""
        self._pilot.reset()
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

    def _load(self) -> Checkpoint:
        """Read the policy that the settings name."""
        return load(policies.find(self._settings.policy))

    def _fly(self, checkpoint: Checkpoint) -> Pilot:
        return Pilot(checkpoint, horizon_s=self._settings.horizon_s, guard=self.guard)

    def _no_time(self) -> str:
        return f"time stands still: no new /clock for {self.streams.max_age:g} s"

    @property
    def _steady(self) -> float | None:
        """Steady time for the guard; none where simulated time stands in for it."""
        return time.monotonic() if self.clocks.source is Source.SYSTEM else None
