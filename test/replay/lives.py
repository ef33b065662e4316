"""A controller's life through disturbed deliveries, and the command that replays it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from bags import FOV_DEG, MS, START_NS, Live, flight, write_bag
from rosbags.rosbag2 import StoragePlugin

from lnn_ros import messages
from lnn_ros.cli import main

TRACE = "/controller/trace"


def decode(topic, message):
    """What the controller makes of a message whose image is as the policy's camera sees."""
    stamp = messages.stamp_ns(message)
    if topic == "/image":
        return "camera", stamp, messages.image_array(message)
    return "imu", stamp, messages.imu_vector(message)


def disturbed(seed: int, seconds: float = 1.5, late_ms: int = 120, start_ns: int = START_NS):
    """Deliveries (arrival, topic, message): late, doubled, dropped and out of order."""
    rng = np.random.default_rng(seed)
    found = []
    for log_ns, topic, message in flight(seed, seconds, start_ns):
        for _ in range(rng.choice([0, 1, 2], p=[0.05, 0.85, 0.1])):
            found.append((log_ns + int(rng.integers(0, late_ms * MS)), topic, message))
    return sorted(found, key=lambda entry: entry[0])


def fly(live: Live, deliveries, seed: int = 0, happens=lambda n, guard: None):
    """Let a controller live through deliveries; return all that a recorder hears, by log time.

    Before the command number n, ``happens(n, guard)``.
    """
    rng = np.random.default_rng(seed)
    logged = [(arrival + int(rng.integers(0, 40 * MS)), topic, message)
              for arrival, topic, message in deliveries]
    waiting = list(deliveries)
    now = deliveries[0][0]
    number = 0
    while waiting or number % 5:
        arrived = [d for d in waiting if d[0] <= now]
        waiting = waiting[len(arrived):]
        for _, topic, message in sorted(arrived, key=lambda d: d[1] == "/image"):
            live.receive(topic, message, now)
        at = now + int(rng.integers(0, 2 * MS))
        happens(number, live.guard)
        logged.append((at + int(rng.integers(0, 5 * MS)), TRACE, live.command(at)))
        now += 33 * MS
        number += 1
    return sorted(logged, key=lambda entry: entry[0])


class Replay:
    """Runs the command."""

    def __init__(self, policy: Path, folder: Path) -> None:
        self.policy, self.folder = policy, folder
        self._number = 0

    def __call__(self, logged, *options, plugin=StoragePlugin.MCAP):
        """Return the exit status and what it says of the trace."""
        self._number += 1
        bag = write_bag(self.folder / f"bag{self._number}", logged, plugin)
        result = self.folder / f"result{self._number}.json"
        status = main(["replay", str(bag), "--policy", str(self.policy), "--fov", str(FOV_DEG),
                       "--json", str(result), *options])
        found = json.loads(result.read_text()) if result.exists() else {"trace": None}
        return status, found["trace"]


def traces(logged) -> list[int]:
    """Return where the traces are."""
    return [i for i, (_, topic, _) in enumerate(logged) if topic == TRACE]


def listed(message, stream: str) -> list[int]:
    """Return the stamps that a trace lists."""
    said = {p.key: p.value for p in message.status[0].values}
    return [int(word) for word in said[f"{stream}.new"].split()]


def everything(found, logged) -> bool:
    """Tell whether every command was reproduced."""
    return (found["commands"] == found["reproduced"] == len(traces(logged))
            and not found["unknown"] and not found["different"])
