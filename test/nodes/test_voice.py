"""What the controller says when another of its threads has had to speak for it."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TwistStamped
from ros import is_zero, vector

from lnn_ros import messages
from lnn_ros.nodes.settings import ControllerSettings
from lnn_ros.nodes.voice import Voice

MOTION = np.array([1.0, 0.1, -0.1, 0.5])


def test_command_that_a_stall_has_overtaken_is_not_said(bench):
    """A loop that hangs in the middle of a tick publishes, when it goes on, what it began with."""
    commands = bench.collect(TwistStamped, "cmd_vel")
    voice = Voice(bench.node, ControllerSettings())
    bench.until(lambda: bench.node.count_subscribers("cmd_vel") and bench.node.count_publishers(
        "cmd_vel"), "discovery")

    def said(number):
        bench.until(lambda: len(commands) >= number, f"command {number}")
        return commands[number - 1]

    assert voice.command(1_000, MOTION)
    assert vector(said(1)) == tuple(MOTION)
    voice.hush(2_000)
    assert is_zero(said(2))
    assert voice.hushed
    assert not voice.command(3_000, MOTION)
    assert is_zero(said(3))
    assert messages.stamp_ns(said(3)) == 3_000
    assert voice.zero(2_500) == 3_000  # stamps never go back
    assert is_zero(said(4))
    voice.hushed = False
    assert voice.command(4_000, MOTION)
    assert vector(said(5)) == tuple(MOTION)
    voice.close()
