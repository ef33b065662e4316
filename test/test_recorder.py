"""When what is recorded: the past, pauses, files, quotas, and a disk that fills up."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import Reader

from lnn_ros.episode import NOTES, Episode
from lnn_ros.errors import LnnError
from lnn_ros.recorder import Recorder, Rules, Topic

ALWAYS, LATCHED = "/always", "/latched"
RULES = Rules(preroll_s=1.0, after_s=2.0, split_mb=0, split_s=0, reserve_mb=0)


def payload(number: int, size: int = 12) -> bytes:
    """Return a message that says its number, and that no compression makes smaller."""
    return b"\x00\x01\x00\x00" + number.to_bytes(8, "little") + os.urandom(max(0, size - 12))


class Bench:
    """A recorder to which numbers come, 100 a second."""

    def __init__(self, folder: Path, rules: Rules = RULES, size: int = 12) -> None:
        self.folder, self.size = folder, size
        self.said: list[str] = []
        self.recorder = Recorder(folder, rules, self.said.append, "a robot")
        for name in (ALWAYS, LATCHED):
            self.recorder.announce(Topic(name, "std_msgs/msg/Int64", [], name == LATCHED))
        self.number = 0

    @property
    def now(self) -> float:
        return 50.0 + 0.01 * self.number

    @property
    def log_ns(self) -> int:
        return 10**9 + 10_000_000 * self.number

    def go_on(self, messages: int = 1) -> None:
        for _ in range(messages):
            self.number += 1
            self.recorder.write(ALWAYS, self.log_ns, payload(self.number, self.size), self.now)
            self.recorder.tick(self.now)

    def latch(self, number: int) -> None:
        self.recorder.write(LATCHED, self.log_ns, payload(number), self.now)

    def bags(self) -> list[Path]:
        return sorted(self.folder.iterdir(), key=lambda bag: bag.stat().st_mtime_ns)


def read(bag: Path, topic: str = ALWAYS) -> list[int]:
    with Reader(bag) as reader:
        return [int.from_bytes(bytes(p)[4:12], "little") for c, _, p in reader.messages()
                if c.topic == topic]


def notes(bag: Path) -> dict[str, str]:
    said = yaml.safe_load((bag / "metadata.yaml").read_text())
    return said["rosbag2_bagfile_information"]["custom_data"]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "recordings")


def test_an_event_begins_with_the_past_and_ends_after_a_while(bench):
    bench.latch(7)
    bench.go_on(500)
    assert not bench.folder.exists()
    bench.recorder.mark("a bump", bench.log_ns, bench.now)
    bench.go_on(300)
    assert bench.recorder.recording is None
    (bag,) = bench.bags()
    found = read(bag)
    assert found == list(range(found[0], found[-1] + 1))
    assert 500 - found[0] == pytest.approx(100, abs=2), "a second before"
    assert found[-1] - 500 == pytest.approx(200, abs=2), "two seconds after"
    assert read(bag, LATCHED) == [7]
    assert json.loads(notes(bag)["events"]) == [{"at_ns": 6 * 10**9, "why": "a bump"}]
    with Reader(bag) as reader:  # the latched one counts as of the beginning
        assert reader.duration < 3.1e9


def test_another_event_prolongs_it_and_a_person_who_asks_for_it_ends_that(bench):
    bench.go_on(10)
    bench.recorder.mark("one", bench.log_ns, bench.now)
    bench.go_on(150)
    bench.recorder.mark("two", bench.log_ns, bench.now)
    bench.go_on(150)
    assert bench.recorder.recording is not None
    bench.recorder.begin(bench.log_ns, bench.now)
    bench.go_on(500)
    assert bench.recorder.recording is not None, "until told to end"
    bench.recorder.end()
    assert len(bench.bags()) == 1 and len(read(bench.bags()[0])) == 810


def test_who_asks_gets_nothing_from_before_but_what_is_latched(bench):
    bench.latch(7)
    bench.latch(8)
    bench.go_on(50)
    bench.recorder.begin(bench.log_ns, bench.now)
    bench.go_on(50)
    bench.recorder.end()
    (bag,) = bench.bags()
    assert read(bag) == list(range(51, 101)) and read(bag, LATCHED) == [8]


@settings(max_examples=30)
@given(mb=st.floats(0.001, 0.01), size=st.integers(12, 900))
def test_memory_for_the_past_is_bounded(tmp_path_factory, mb, size):
    rules = replace(RULES, preroll_s=1e6, preroll_mb=mb)
    bench = Bench(tmp_path_factory.mktemp("bounded"), rules, size)
    bench.go_on(1000)
    bench.recorder.mark("now", bench.log_ns, bench.now)
    bench.recorder.end()
    found = read(bench.bags()[0])
    assert found == list(range(1001 - len(found), 1001))
    assert len(found) * size <= mb * 1e6 < (len(found) + 1) * size or len(found) == 1000


def test_files_are_split_by_size_and_by_time(tmp_path):
    for rules, files in ((replace(RULES, split_mb=0.1), 6), (replace(RULES, split_s=1.0), 5)):
        bench = Bench(tmp_path / str(files), rules, size=1000)
        bench.recorder.begin(bench.log_ns, bench.now)
        bench.go_on(500)
        assert bench.recorder.recording.files == pytest.approx(files, abs=1)
        bench.recorder.end()
        assert read(bench.bags()[0]) == list(range(1, 501))


def recorded(bench: Bench, messages: int, marked: bool = False) -> Path:
    recording = bench.recorder.begin(bench.log_ns, bench.now)
    if marked:
        bench.recorder.mark("worth it", bench.log_ns, bench.now)
    bench.go_on(messages)
    bench.recorder.end()
    return recording.path


def test_above_the_quota_the_oldest_goes_that_nobody_has_marked(tmp_path):
    bench = Bench(tmp_path / "recordings", replace(RULES, preroll_s=0.0), size=1000)
    for k in range(4):
        recorded(bench, 300, marked=k == 0)
    tight = Bench(bench.folder, replace(RULES, quota_mb=1.0, preroll_s=0.0), size=1000)
    tight.number = 5000
    recorded(tight, 250)
    # Of 1.2 MB one goes before it begins, and one more later.
    assert [read(bag)[0] for bag in tight.bags()] == [1, 901, 5001]
    assert any("above the quota of 1 MB" in said for said in tight.said)


def test_recording_ends_where_all_that_is_left_is_marked(tmp_path):
    bench = Bench(tmp_path / "recordings", replace(RULES, preroll_s=0.0), size=1000)
    kept = [recorded(bench, 300, True) for _ in range(3)]
    full = Bench(bench.folder, replace(RULES, quota_mb=1.0, preroll_s=0.0), size=1000)
    full.recorder.begin(full.log_ns, full.now)
    with pytest.raises(LnnError, match=r"recording ended: .* none is left that is not marked"):
        full.go_on(2000)
    assert full.recorder.recording is None and all(bag.exists() for bag in kept)
    assert len(read(full.bags()[-1])) > 50, "what was recorded until then is complete"


def test_recording_ends_before_the_disk_is_full(tmp_path, monkeypatch):
    bench = Bench(tmp_path / "recordings", replace(RULES, reserve_mb=1e9))
    with pytest.raises(LnnError, match=r"record refused: .* MB are free on the disk of"):
        bench.recorder.begin(bench.log_ns, bench.now)
    assert not bench.folder.exists()
    bench.go_on(10)
    with pytest.raises(LnnError, match="expected at least reserve_mb"):
        bench.recorder.mark("anything", bench.log_ns, bench.now)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1e18))
    bench.recorder.mark("again", bench.log_ns, bench.now)  # what was refused is still in memory
    bench.recorder.end()
    assert read(bench.bags()[0]) == list(range(1, 11))


def test_half_a_removal_is_completed(tmp_path):
    bench = Bench(tmp_path / "recordings")
    path = recorded(bench, 10)
    path.rename(path.with_name(f".removed-{path.name}"))
    bench.recorder.mend()
    assert list(bench.folder.iterdir()) == []


def test_time_that_went_back_begins_another(bench):
    bench.recorder.begin(bench.log_ns, bench.now)
    bench.latch(7)
    bench.go_on(10)
    bench.recorder.begin_anew(1, bench.now)
    bench.go_on(10)
    bench.recorder.end()
    first, second = bench.bags()
    assert read(first) == list(range(1, 11)) and read(second) == list(range(11, 21))
    assert read(second, LATCHED) == [7]


def test_an_episode_says_who_flew_and_what_happened():
    episode = Episode("a robot")
    assert episode.status("/c", 1, {"mode": "disengaged", "reason": "r", "policy": "a"}) == ""
    assert episode.status("/c", 2, {"mode": "engaged", "reason": "r", "policy": "a"}) == ""
    assert episode.status("/c", 3, {"mode": "takeover", "reason": "p", "policy": "b"}) == (
        "takeover: p")
    assert episode.status("/c", 4, {"mode": "takeover", "reason": "q"}) == "", "said once"
    assert json.loads(episode.notes()["takeovers"])[0]["to_ns"] is None
    assert episode.status("/c", 5, {"mode": "fault", "reason": "broken"}) == "fault: broken"
    episode.event(5, "fault: broken")
    found = episode.notes()
    assert found.keys() <= NOTES.keys() and found["policy"] == "a b"
    assert found["outcome"] == "fault: broken" and found["robot"] == "a robot"
    assert json.loads(found["takeovers"]) == [{"controller": "/c", "from_ns": 3, "to_ns": 5}]
    episode.status("/simulator", 6, {"outcome": "arrived"})
    assert episode.notes()["outcome"] == "arrived"
    after = episode.next().notes()
    assert after["policy"] == "b" and not {"events", "takeovers", "marked"} & after.keys()


def test_no_other_file_can_be_begun(bench):
    bench.recorder.begin(bench.log_ns, bench.now)
    bench.go_on(50)
    bag = bench.recorder.recording.path
    bench.go_on(50)
    (bag / f"{bag.name}_0.mcap").mkdir()  # in the way
    with pytest.raises(LnnError, match=r"recording ended: .* lnn_ros recover completes it"):
        bench.recorder.split(bench.now)
    assert bench.recorder.recording is None
    (bag / f"{bag.name}_0.mcap").rmdir()
    bench.recorder.mend()
    assert read(bag) == list(range(1, 101))
