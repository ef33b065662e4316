"""Who decides what the controller commands."""

from __future__ import annotations

from enum import Enum

from lnn_ros.errors import LnnError


class Refusal(LnnError):
    """A request that cannot be granted as things stand, which is no fault."""


class Mode(str, Enum):
    """Who decides what is commanded."""

    DISENGAGED = "disengaged"  # zeros
    ENGAGED = "engaged"  # the policy, through the guard
    FAULT = "fault"  # zeros, until a person resets
