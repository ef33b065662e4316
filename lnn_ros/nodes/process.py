"""Run one node as a process: signals, the executor's loop, and an orderly end.

With rclpy's own signal handling the context is gone before a last message can be published, so the
handlers here only note the signal; the loop then stops the node, which says its last word and waits
until it is acknowledged, and only then shuts ROS down.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Protocol

import rclpy
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions

_LONGEST_WAIT = 0.1  # s; a signal is noticed after at most this long


class Runnable(Protocol):
    """What a node must offer to be run."""

    def start(self) -> None:
        """Begin: called once, before the loop."""

    def work(self) -> float:
        """Do what is due; return for how many seconds at most to wait for callbacks."""

    def fail(self, error: Exception) -> None:
        """Answer an exception that a callback let through: become safe, live on."""

    def stop(self) -> None:
        """End: say the last word and let go; called once, after the loop."""


class _Stop:
    """Whether SIGINT, SIGTERM or SIGHUP (the terminal is gone, and a robot's with it) has come."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup has asked to live on
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def run(make_node: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or, unless that is ignored (nohup), SIGHUP.

    Parameters
    ----------
    make_node : callable
        Makes the node, which must be :class:`Runnable`; called once ROS is up.
    args : sequence of str, optional
        Command line without the program's name; that of the process by default.

    Returns
    -------
    int
        Exit status: 0 after a signal, 2 for a command line that cannot be used.
    """
    stop = _Stop()
    arguments = None if args is None else [sys.argv[0], *args]
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
    except (LnnError, RuntimeError, ValueError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        rclpy.try_shutdown()
        return 2
    assert isinstance(node, Node)
    runnable: Runnable = node  # type: ignore[assignment]
    executor: Executor = distributions.executor()
    executor.add_node(node)
    try:
        _guarded(node, runnable.start)
        while not stop.requested:
            try:
                executor.spin_once(timeout_sec=min(_LONGEST_WAIT, runnable.work()))
            except ExternalShutdownException:
                break
            except Exception as error:
                _report(node, error)
                _guarded(node, partial(runnable.fail, error))
    finally:
        _guarded(node, runnable.stop)
        executor.shutdown()  # first: it holds what the node is made of
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _guarded(node: Node, action: Callable[[], None]) -> None:
    """Do something that must not end the process."""
    try:
        action()
    except Exception as error:
        _report(node, error)


def _report(node: Node, error: Exception) -> None:
    """Log an exception: one sentence if a person can correct it, else with its traceback."""
    if isinstance(error, LnnError):
        node.get_logger().error(str(error))
    else:
        node.get_logger().error("".join(traceback.format_exception(error)).rstrip())
