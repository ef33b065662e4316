"""Who does many jobs: processes of this machine, or Ray's workers on many machines.

A job is a picklable call of a function of a module. Results come in the order of the jobs, and do
not depend on who does them. Jobs that read or write files name them by path: on many machines these
must be in a folder that all of them share.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from lnn_ros.errors import LnnError

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2
"""Jobs that are given to Ray for every worker, so that none of them waits for the next."""


def _call(function: Callable[[Job], Result], job: Job) -> Result:
    """Do a job; Ray takes functions of Python only, this one does any callable."""
    return function(job)


class Executor(Protocol):
    """Does jobs."""

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order.

        Raises
        ------
        Exception
            What a job raised, where its result would have come.
        """


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine; one means this process itself."""

    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise LnnError(f"workers is {self.workers}, expected at least 1")

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order."""
        if self.workers == 1 or len(jobs) < 2:
            yield from map(function, jobs)
            return
        # spawn: a forked copy of a process that has run torch or numba threads may hang.
        context = multiprocessing.get_context("spawn")
        saved = os.environ.get("OPENBLAS_NUM_THREADS")
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            with context.Pool(min(self.workers, len(jobs)), _one_thread) as pool:
                yield from pool.imap(function, jobs)
        finally:
            if saved is None:
                del os.environ["OPENBLAS_NUM_THREADS"]
            else:
                os.environ["OPENBLAS_NUM_THREADS"] = saved


@dataclass(frozen=True)
class Ray:
    """Ray's workers, one CPU for each job.

    Attributes
    ----------
    address : str
        Of a running cluster, as of ``ray.init``: ``auto`` for the one that this machine is part of,
        or HOST:PORT; ``local`` starts one on this machine, which ends with this process.
    workers : int
        Of a local one.
    """

    address: str
    workers: int = 1

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order.

        Raises
        ------
        LnnError
            When there is no cluster at the address.
        """
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        remote: Any = ray.remote(num_cpus=1)(_call)
        most = max(2, _AHEAD * int(ray.cluster_resources().get("CPU", 1)))
        flying: deque[Any] = deque()
        left = iter(jobs)
        try:
            while True:
                while len(flying) < most and (job := next(left, _NONE)) is not _NONE:
                    flying.append(remote.remote(function, job))
                if not flying:
                    return
                try:
                    yield ray.get(flying.popleft())
                except ray.exceptions.RayTaskError as error:
                    # The job's own error, as from a process of this machine.
                    raise error.cause from error
        finally:
            for job in flying:
                ray.cancel(job, force=True)

    def _connect(self, ray: Any) -> None:
        local = self.address == "local"
        more = {"num_cpus": self.workers, "include_dashboard": False} if local else {}
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="ERROR",
                     runtime_env={"env_vars": {"OPENBLAS_NUM_THREADS": "1",
                                               "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}, **more)
        except (ConnectionError, ValueError) as error:
            raise LnnError(f"--ray {self.address}: no Ray cluster found there, expected local, "
                           f"auto, or HOST:PORT of one that runs ({error})") from error


_NONE = object()


def add_arguments(add: Callable[..., Any]) -> None:
    """Declare who is to do the jobs of a command, by its parser's ``add_argument``."""
    add("--workers", type=int, default=1, help="processes that fly")
    add(
        "--ray", metavar="ADDRESS",
        help="fly on Ray's workers: of a cluster (auto, or HOST:PORT), whose machines share the "
        "folders that are named; or local: --workers of them, on this machine",
    )  # fmt: skip


def of(args: argparse.Namespace) -> Executor:
    """Return who a command's arguments name."""
    return Ray(args.ray, args.workers) if args.ray else Processes(args.workers)
