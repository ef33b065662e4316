"""The network: numpy to run, torch to train. Knows no robot, and importing it imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnn_ros.liquid.rnn import LiquidRNN

__all__ = ["LiquidRNN"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name == "LiquidRNN":
        from lnn_ros.liquid.rnn import LiquidRNN

        return LiquidRNN
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
