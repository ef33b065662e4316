"""How the end of a flight is said: in words of the task's goal."""

from __future__ import annotations

from lnn_ros.simulation.task import FollowGoal, Goal

_WORDS = {"arrived": "arrived", "contact": "touched something", "timeout": "ran out of time",
          "off_road": "left the road", "flying": "was cut short"}
_FOLLOW = {"arrived": "stayed with the target", "timeout": "lost the target for too long"}
_SHORT = {"arrived": "ARRIVED", "contact": "CONTACT", "timeout": "OUT OF TIME",
          "off_road": "OFF THE ROAD"}
_FOLLOW_SHORT = {"arrived": "FOLLOWED", "timeout": "LOST"}


def said(goal: Goal, outcome: str) -> str:
    """What the vehicle did, as the end of a sentence that begins with it."""
    own = _FOLLOW if isinstance(goal, FollowGoal) else {}
    return own.get(outcome, _WORDS.get(outcome, outcome))


def stamped(goal: Goal, outcome: str) -> str:
    """Word for a picture; empty while it flies."""
    own = _FOLLOW_SHORT if isinstance(goal, FollowGoal) else {}
    return own.get(outcome, _SHORT.get(outcome, ""))
