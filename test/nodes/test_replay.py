"""A flight that was recorded over DDS is reproduced from its bag: every command, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from random_policy import random_policy
from ros import Bench, pairs, vector
from rosbags.highlevel import AnyReader

from lnn_ros import messages
from lnn_ros.cli import main
from lnn_ros.simulation.simulator import START_NS

RECORDED = ("image", "imu", "camera_info", "cmd_vel", "controller/trace", "clock")
SECONDS = 3


def recorded(bench: Bench) -> None:
    """Await that the companion hears everything."""
    def heard(topic: str) -> bool:
        return any(info.node_name == "companion"
                   for info in bench.node.get_subscriptions_info_by_topic(topic))

    bench.until(lambda: all(map(heard, RECORDED)), "the companion to listen")


def replay(folder: Path, policy: Path, bag: Path) -> tuple[dict, Path]:
    """Return what the command says of the trace, and the bag that it wrote."""
    out, result = folder / f"{bag.name}_out", folder / f"{bag.name}.json"
    words = ["replay", str(bag), "--policy", str(policy), "--json", str(result), "--out", str(out)]
    assert main(words) == 0
    return json.loads(result.read_text())["trace"], out


def commands(bag: Path, topic: str) -> list[tuple[int, tuple[float, ...]]]:
    """Return stamp and value of a bag's commands, in the order in which they were recorded."""
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        found = [reader.deserialize(p, c.msgtype) for c, _, p in reader.messages(chosen)]
    return [(messages.stamp_ns(command), vector(command)) for command in found]


def test_flight_in_lockstep_is_reproduced_command_by_command(bench, tmp_path, capsys):
    policy = random_policy(tmp_path / "policy.safetensors")
    trace = bench.collect(DiagnosticArray, "controller/trace")
    bench.start("companion", folder=tmp_path / "recordings", record=True, use_sim_time=True)
    bench.start("controller", lockstep=True, engage=True, policy=policy, use_sim_time=True)
    bench.start("simulator", lockstep=True, real_time_factor=1e-4)

    recorded(bench)  # meanwhile hardly any simulated time passes
    for node in ("companion", "controller", "simulator"):
        bench.introduce(node)
    assert bench.set_parameters("simulator", real_time_factor=0.0).successful
    bench.until(lambda: trace, "a command")
    for second in range(1, SECONDS + 1):
        end_ns = START_NS + second * 1_000_000_000
        bench.until(lambda end_ns=end_ns: messages.stamp_ns(trace[-1]) >= end_ns,
                    f"{second} s of flight")
    # The same stamps once more, in another life of the pilot; the companion begins another bag.
    assert bench.trigger("simulator/reset").success
    bench.until(lambda: pairs(trace[-1].status[0])["reset"] == "1"
                and messages.stamp_ns(trace[-1]) >= START_NS + 1e9, "a second of the next flight")
    assert bench.set_parameters("simulator", real_time_factor=1e-4).successful
    assert bench.set_bool("companion/record", False).success

    bags = sorted(path.parent for path in (tmp_path / "recordings").glob("*/metadata.yaml"))
    assert len(bags) == 2
    before: list[tuple[int, tuple[float, ...]]] = []
    for bag, seconds in zip(bags, (SECONDS, 1), strict=True):
        found, out = replay(tmp_path, policy, bag)
        said = capsys.readouterr().out
        assert found["commands"] >= seconds * 30 - 1
        assert found["reproduced"] == found["commands"]
        assert found["unknown"] == found["different"] == []
        assert f"reproduced {found['commands']} of {found['commands']} live commands" in said
        live, again = commands(bag, "/cmd_vel"), dict(commands(out, "/replay/cmd_vel"))
        # Between topics there is no order: what is commanded at the reset itself may have been
        # recorded before the bag that its trace begins, as the last thing of the other.
        assert again.items() <= {*before[-1:], *live}
        before = live
        assert len(again) == found["commands"]
        assert sum(any(command) for command in again.values()) > len(again) / 2


def test_live_flight_is_reproduced_as_far_as_its_samples_were_recorded(bench, tmp_path):
    """Best effort, by timers, with samples that are late, lost and overtake each other."""
    policy = random_policy(tmp_path / "policy.safetensors")
    trace = bench.collect(DiagnosticArray, "controller/trace")
    bench.start("companion", folder=tmp_path / "recordings", record=True, use_sim_time=True)
    bench.start("controller", engage=True, policy=policy, use_sim_time=True)
    bench.start("simulator", camera__latency_jitter_s=0.15, camera__reorder=True, camera__drop=0.1,
                imu__latency_jitter_s=0.1, imu__reorder=True, imu__drop=0.1)
    recorded(bench)
    first = len(trace)
    bench.until(lambda: len(trace) >= first + 100, "100 commands")
    assert bench.set_bool("companion/record", False).success
    (bag,) = (path.parent for path in (tmp_path / "recordings").glob("*/metadata.yaml"))
    found, _ = replay(tmp_path, policy, bag)
    assert found["commands"] >= 90
    assert found["different"] == []
    assert found["commands"] == found["reproduced"] + sum(u["commands"] for u in found["unknown"])
    assert {u["reason"] for u in found["unknown"]} <= {
        "sample not in the bag", "no trace in the bag lists all that was taken"}
