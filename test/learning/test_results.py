"""A JSON file of runs: what it holds, and who may write to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lnn_ros.errors import LnnError
from lnn_ros.learning.results import locked, stored, write

HOLD = """
import sys
from pathlib import Path
from lnn_ros.learning.results import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "made" / "runs.json"


def test_what_is_written_is_stored_and_nothing_else_lies_about(file: Path) -> None:
    assert stored(None, {}, "runs") == stored(file, {}, "runs") == {}
    for runs in ({"a/1": 1}, {"a/1": 1, "b/1": [2.5]}):
        with locked(file):
            write(file, {"settings": {"seeds": [0, 2]}, "runs": runs})
        assert stored(file, {"seeds": [0, 2]}, "runs") == runs
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(LnnError, match=r"made with seeds \[0, 2\], expected \[0, 3\]: give the"):
        stored(file, {"seeds": [0, 3]}, "runs")
    with pytest.raises(LnnError, match=r"made with task None, expected 'lane'"):
        stored(file, {"seeds": [0, 2], "task": "lane"}, "runs")
    for text in ("{", "[]", '{"runs": {}}', '{"runs": 3, "settings": {}}'):
        file.write_text(text)
        with pytest.raises(LnnError, match="found, expected flights of a suite"):
            stored(file, {}, "flights of a suite")


def test_who_comes_second_is_told_who_is_there(file: Path) -> None:
    said = rf"runs\.json: process {os.getpid()} writes its runs there, expected nobody: wait for"
    with locked(file):
        with pytest.raises(LnnError, match=said), locked(file):
            raise AssertionError("both are in")
        with locked(file.with_name("other.json")), locked(None):
            pass
    with locked(file):  # the one who was refused took nothing away, and left nothing behind
        pass
    with pytest.raises(KeyError), locked(file):
        raise KeyError
    assert not list(file.parent.iterdir())


def test_a_killed_process_locks_nothing(file: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert held.stdout and held.stdin
    try:
        assert held.stdout.readline() == "held\n"
        with pytest.raises(LnnError, match=f"process {held.pid} writes"), locked(file):
            pass
    finally:
        held.kill()
        held.wait()
        held.stdin.close()
        held.stdout.close()
    with locked(file):
        pass
    assert not list(file.parent.iterdir())


def test_who_waits_loses_nothing(file: Path) -> None:
    def add(name: int) -> None:
        for k in range(20):
            with locked(file, wait=True):
                runs = stored(file, {}, "runs")
                runs[f"{name}/{k}"] = 1
                write(file, {"settings": {}, "runs": runs})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(6)))
    assert len(json.loads(file.read_text())["runs"]) == 6 * 20
    assert list(file.parent.iterdir()) == [file]
