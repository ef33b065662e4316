"""Who does the jobs: processes of this machine, or a local Ray of two workers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from flyers import small_policy, small_task

from lnn_ros.cli import main
from lnn_ros.errors import LnnError
from lnn_ros.learning.executors import Executor, Processes, Ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    """A Ray of two workers on this machine, for all tests of this file."""
    executor = Ray("local", 2)
    assert list(executor.run(math.sqrt, [4.0])) == [2.0]
    yield executor
    ray.shutdown()


@pytest.mark.parametrize("name", ["one", "two", "ray"])
def test_results_come_in_the_order_of_the_jobs_and_errors_as_they_are(
    name: str, cluster: Ray
) -> None:
    executor: Executor = {"one": Processes(), "two": Processes(2), "ray": cluster}[name]
    jobs = [float(k * k) for k in range(12)]
    assert list(executor.run(math.sqrt, jobs)) == list(range(12))
    assert list(executor.run(math.sqrt, [])) == []
    # Every process reads there who it is.
    workers = set(executor.run(os.path.realpath, ["/proc/self"] * 12))
    here = f"/proc/{os.getpid()}"
    assert workers == {here} if name == "one" else here not in workers and len(workers) <= 2
    results = executor.run(math.sqrt, [4.0, 9.0, -1.0, 16.0])
    assert [next(results), next(results)] == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"domain|nonnegative"):
        next(results)
    assert list(executor.run(math.sqrt, jobs[:3])) == [0.0, 1.0, 2.0], "it goes on after that"


@pytest.mark.parametrize("name", ["one", "two", "ray"])
def test_a_result_that_is_there_does_not_wait_for_those_before_it(
    name: str, cluster: Ray, tmp_path: Path
) -> None:
    """The first job waits for what the last one writes: only out of their order can both end."""
    executor: Executor = {"one": Processes(), "two": Processes(2), "ray": cluster}[name]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    jobs = [f"cat {pipe}", "exit 1", "exit 2", "exit 3", f"echo now > {pipe}"]
    if name == "one":
        jobs = jobs[1:-1]
    done = list(executor.as_done(os.system, jobs))
    expected = [int(job[5:]) << 8 if job.startswith("exit") else 0 for job in jobs]
    assert sorted(done) == list(enumerate(expected))
    assert [k for k, _ in done] == [0, 1, 2] if name == "one" else done[0][0] != 0
    with pytest.raises(ValueError, match=r"domain|nonnegative"):
        list(executor.as_done(math.sqrt, [4.0, -1.0]))
    assert list(executor.as_done(math.sqrt, [])) == []


def test_a_command_flies_on_ray_as_it_flies_here(tmp_path: Path, cluster: Ray) -> None:
    policy, task = small_policy(tmp_path), small_task(tmp_path, 1.5)
    rows = []
    for name, words in (("here", ["--workers", "1"]), ("ray", ["--ray", "local"])):
        file = tmp_path / f"{name}.json"
        assert main(["evaluate", "--policy", str(policy), "--task", task, "--seeds",
                     "300030:300033", "--json", str(file), *words]) == 0  # fmt: skip
        rows.append(json.loads(file.read_text())["rows"])
    assert rows[0] == rows[1]


def test_nobody_there_and_nobody_to_do_it() -> None:
    with pytest.raises(LnnError, match="workers is 0, expected at least 1"):
        Processes(0)
