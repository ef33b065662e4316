"""Who decides what is commanded: modes, what may happen in each, and where it leads."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from types import MappingProxyType

from lnn_ros.errors import LnnError


class Refusal(LnnError):
    """A request that cannot be granted as things stand, which is no fault."""


class Mode(str, Enum):
    """Who decides what is commanded."""

    DISENGAGED = "disengaged"  # zeros, at once
    ENGAGED = "engaged"  # the policy, through the guard
    TAKEOVER = "takeover"  # a person, through the guard
    HOLD = "hold"  # brake, then hover or stand
    FAULT = "fault"  # zeros at once, until a person resets


class Event(str, Enum):
    """What can happen."""

    ENGAGE = "engage"  # a person asks for the policy
    DISENGAGE = "disengage"  # a person asks for zeros
    TAKE_OVER = "take_over"  # a person's command has come
    RELEASE = "release"  # the takeover is over: said, or no command for too long
    STALE = "stale"  # something that flying needs has stopped coming
    STALL = "stall"  # time or the control loop stood still, and zero was commanded at once
    RESUME = "resume"  # what was missing is back, and nobody has to be asked
    DEADMAN = "deadman"  # the deadman is not held
    LEFT = "left"  # the vehicle is not airborne (driving), or not in its velocity mode
    FAIL = "fail"  # an error
    RESET = "reset"  # a person has looked after it
    SHUTDOWN = "shutdown"  # the process ends or is deactivated


STOPPED = frozenset({Mode.DISENGAGED, Mode.FAULT})
"""Modes in which zero is commanded at once."""

_ALWAYS = {Event.FAIL: Mode.FAULT, Event.RESET: Mode.DISENGAGED}
_RUNNING = {
    Event.DISENGAGE: Mode.DISENGAGED,
    Event.LEFT: Mode.DISENGAGED,
    Event.SHUTDOWN: Mode.DISENGAGED,
    **_ALWAYS,
}
_FREE = "nobody has taken over"
_FLIES = "the policy flies already"

TABLE: MappingProxyType[Mode, MappingProxyType[Event, Mode | str]] = MappingProxyType(
    {
        mode: MappingProxyType(row)
        for mode, row in {
            Mode.DISENGAGED: {
                **_RUNNING,
                Event.ENGAGE: Mode.ENGAGED,
                Event.TAKE_OVER: "disengaged, where nothing moves the vehicle: engage first",
                Event.RELEASE: _FREE,
                Event.STALE: Mode.DISENGAGED,
                Event.STALL: Mode.DISENGAGED,
                Event.RESUME: "disengaged: only a person engages",
                Event.DEADMAN: Mode.DISENGAGED,
            },
            Mode.ENGAGED: {
                **_RUNNING,
                Event.ENGAGE: Mode.ENGAGED,
                Event.TAKE_OVER: Mode.TAKEOVER,
                Event.RELEASE: _FREE,
                Event.STALE: Mode.HOLD,
                Event.STALL: Mode.HOLD,
                Event.RESUME: _FLIES,
                Event.DEADMAN: Mode.HOLD,
            },
            Mode.TAKEOVER: {
                **_RUNNING,
                Event.ENGAGE: "a person has taken over: release first",
                Event.TAKE_OVER: Mode.TAKEOVER,
                Event.RELEASE: Mode.HOLD,
                Event.STALE: Mode.TAKEOVER,
                Event.STALL: Mode.HOLD,
                Event.RESUME: "a person has taken over: release first",
                Event.DEADMAN: Mode.TAKEOVER,
            },
            Mode.HOLD: {
                **_RUNNING,
                Event.ENGAGE: Mode.ENGAGED,
                Event.TAKE_OVER: Mode.TAKEOVER,
                Event.RELEASE: _FREE,
                Event.STALE: Mode.HOLD,
                Event.STALL: Mode.HOLD,
                Event.RESUME: Mode.ENGAGED,
                Event.DEADMAN: Mode.HOLD,
            },
            Mode.FAULT: {
                **_ALWAYS,
                Event.ENGAGE: "in fault: reset first",
                Event.DISENGAGE: "in fault, which commands zeros: reset first",
                Event.TAKE_OVER: "in fault: reset first",
                Event.RELEASE: _FREE,
                Event.STALE: Mode.FAULT,
                Event.STALL: Mode.FAULT,
                Event.RESUME: "in fault: only a person resets",
                Event.DEADMAN: Mode.FAULT,
                Event.LEFT: Mode.FAULT,
                Event.SHUTDOWN: Mode.FAULT,
            },
        }.items()
    }
)
"""Where every event leads in every mode; a sentence where it is refused."""


class Modes:
    """Which mode it is, and why.

    Parameters
    ----------
    mode : Mode
        To begin with.
    reason : str
        Why.

    Attributes
    ----------
    mode : Mode
        Now.
    reason : str
        Of the last transition; an event that changes nothing leaves it as it is.
    cause : Event or None
        Which event it was.
    transitions : Counter of str
        How often each mode was entered.
    """

    def __init__(self, mode: Mode = Mode.DISENGAGED, reason: str = "not yet engaged") -> None:
        self.mode, self.reason = mode, reason
        self.cause: Event | None = None
        self.transitions: Counter[str] = Counter()

    def handle(self, event: Event, reason: str) -> bool:
        """Go where an event leads; return whether that is another mode.

        A second error in fault, and a second request to engage, change nothing: the reason that
        stays is the first one.

        Raises
        ------
        Refusal
            With a sentence, when the event is not for this mode; nothing has changed then.
        """
        after = TABLE[self.mode][event]
        if not isinstance(after, Mode):
            raise Refusal(
                f"{event.value} refused: {after}"
                + (f" ({self.reason})" if self.mode is Mode.FAULT else "")
            )
        if after is self.mode:
            return False
        self.mode, self.reason, self.cause = after, reason, event
        self.transitions[after.value] += 1
        return True


def mermaid() -> str:
    """Return the table as a mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {Mode.DISENGAGED.value}"]
    for mode, row in TABLE.items():
        for target in Mode:
            events = [event.value for event in Event if row[event] is target]
            if events and target is not mode:
                lines.append(f"    {mode.value} --> {target.value}: {', '.join(events)}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the table in Markdown, for the documentation."""
    head = "| | " + " | ".join(f"in {mode.value}" for mode in Mode) + " |"
    lines = [head, "|---|" + "---|" * len(Mode)]
    for event in Event:
        cells = []
        for mode in Mode:
            after = TABLE[mode][event]
            if not isinstance(after, Mode):
                cells.append(f"refused: {after}")
            else:
                cells.append("-" if after is mode else after.value)
        lines.append(f"| {event.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
