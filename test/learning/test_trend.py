"""Whether learning helps, from traces whose numbers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flights_for_tests import arrays, write
from synthetic_run import BagWriter

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.dataset import SCALE
from lnn_ros.learning.trend import by_policy, legs
from lnn_ros.timeline.samples import STREAMS

MS = 1_000_000


def words(*numbers: float) -> str:
    return " ".join(float(number).hex() for number in numbers)


def record(bag: Path, begin_s: float, flown: list[tuple[int, str, str, float, float]]) -> Path:
    """Write traces every 100 ms: how many, mode, policy, novelty, how many errors off vx."""
    writer = BagWriter(bag)
    at_ns = round(begin_s * 1e9)
    for count, mode, policy, novelty, off in flown:
        for _ in range(count):
            at_ns += 100 * MS
            said = {"mode": mode, "policy": policy, "reset": "0", "novelty": str(novelty),
                    "wish": words(1.0 + off * SCALE[0], 0, 0, 0), "target": words(1, 0, 0, 0),
                    "braking": "0000", "lowered": "false", "dt": 0.1.hex(), "stops": "0",
                    "acceleration": words(0, 0, 0, 0), "command": words(1, 0, 0, 0)}
            for stream in STREAMS:
                said |= {f"{stream}.taken": "0", f"{stream}.new": "", f"{stream}.digest": "0"}
            message = writer.make("diagnostic_msgs/DiagnosticArray", writer.header(at_ns),
                                  [writer.status("controller: trace", said)])
            writer.write("/controller/trace", at_ns, message)
    writer.writer.close()
    return bag


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    record(tmp_path / "b", 1000.0, [(101, "engaged", "old", 2.0, 0.0)])
    record(tmp_path / "a", 2000.0, [
        (201, "engaged", "old", 4.0, 0.0), (50, "takeover", "old", 9.0, 2.0),
        (50, "hold", "old", 9.0, 9.0), (30, "takeover", "old", 9.0, 2.0),
        (100, "engaged", "new", 1.0, 0.0), (20, "takeover", "new", 9.0, 0.5)])
    return tmp_path


def test_what_each_policy_did_is_counted(folder):
    old, new = legs(folder / "a")
    assert (old.policy, new.policy) == ("old", "new")
    assert old.engaged_s == pytest.approx(20.0) and old.helped_s == pytest.approx(8.0)
    assert old.takeovers == 2 and new.takeovers == 1
    assert old.takeovers_per_minute == pytest.approx(2 / (28 / 60))
    assert (old.novelty, new.novelty) == (4.0, 1.0), "while it flew"
    # One output of four is off by so many typical errors.
    assert (old.error, new.error) == (pytest.approx(1.0), pytest.approx(0.25))
    (calm,) = legs(folder / "b")
    assert calm.error is None and calm.takeovers_per_minute == 0.0


def test_sums_by_policy_go_over_recordings(folder):
    old, new = by_policy([*legs(folder / "a"), *legs(folder / "b")])
    assert old.engaged_s == pytest.approx(30.0) and old.takeovers == 2
    assert old.novelty == pytest.approx((101 * 2.0 + 201 * 4.0) / 302) and new.policy == "new"


def test_time_without_commands_is_no_flight(tmp_path):
    bag = record(tmp_path / "x", 10.0, [(11, "engaged", "p", 1.0, 0.0)])
    assert legs(bag)[0].engaged_s == pytest.approx(1.0)
    empty = record(tmp_path / "y", 10.0, [(1, "disengaged", "p", 1.0, 0.0)])
    assert legs(empty)[0].takeovers_per_minute is None and legs(empty)[0].novelty is None


def test_the_command_tells_it_in_the_order_of_time(folder, capsys):
    write(folder / "demonstration", arrays(seconds=1.0))
    file, figure = folder / "trend.json", folder / "trend.png"
    assert main(["data", "trend", str(folder), "--json", str(file), "--figure", str(figure)]) == 0
    said = capsys.readouterr()
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[:2] for row in rows[1:4]] == [["b", "old"], ["a", "old"], ["a", "new"]]
    assert rows[3] == ["a", "new", "10", "s", "2", "s", "1", "5.00", "1.00", "0.25"]
    assert [row[:2] for row in rows[6:]] == [["all", "old"], ["all", "new"]]
    assert "left out: bag" in said.err and "has no trace of a controller" in said.err
    found = json.loads(file.read_text())
    assert [one["recording"] for one in found] == ["b", "a", "a"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LnnError, match="has no trace of a controller"):
        legs(folder / "demonstration")
