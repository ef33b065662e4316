"""Who does many jobs: processes of this machine, or Ray's workers on many machines.

A job is a picklable call of a function of a module. Results come in the order of the jobs, or each
with its job's number as soon as it is there, and do not depend on who does them. Jobs that read or
write files name them by path: on many machines these must be in a folder that all of them share.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lnn_ros.errors import LnnError

if TYPE_CHECKING:
    from multiprocessing.pool import Pool

Job = TypeVar("Job")
Result = TypeVar("Result")

_AHEAD = 2
"""Jobs that are given to Ray for every worker, so that none of them waits for the next."""


def _call(function: Callable[[Job], Result], job: Job) -> Result:
    """Do a job; Ray takes functions of Python only, this one does any callable."""
    return function(job)


def _numbered(call: tuple[int, Callable[[Job], Result], Job]) -> tuple[int, Result]:
    """Do a job, and say which one it was."""
    number, function, job = call
    return number, function(job)


class Executor(Protocol):
    """Does jobs."""

    @property
    def width(self) -> int:
        """How many jobs it does at once."""

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order.

        Raises
        ------
        Exception
            What a job raised, where its result would have come.
        """

    def as_done(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[int, Result]]:
        """Yield the number of each job and ``function(job)``, those first that are done first.

        A long job then keeps no result of the others back from who writes them down.

        Raises
        ------
        Exception
            What a job raised; those that are left are dropped.
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

    @property
    def width(self) -> int:
        """How many jobs it does at once."""
        return self.workers

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order."""
        if self.workers == 1 or len(jobs) < 2:
            yield from map(function, jobs)
            return
        with self._pool(len(jobs)) as pool:
            yield from pool.imap(function, jobs)

    def as_done(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[int, Result]]:
        """Yield the number of each job and ``function(job)``, those first that are done first."""
        if self.workers == 1 or len(jobs) < 2:
            yield from enumerate(map(function, jobs))
            return
        with self._pool(len(jobs)) as pool:
            calls = [(number, function, job) for number, job in enumerate(jobs)]
            yield from pool.imap_unordered(_numbered, calls)

    @contextmanager
    def _pool(self, jobs: int) -> Iterator[Pool]:
        """Start processes of one thread each, and end them."""
        # spawn: a forked copy of a process that has run torch or numba threads may hang.
        context = multiprocessing.get_context("spawn")
        saved = os.environ.get("OPENBLAS_NUM_THREADS")
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            with context.Pool(min(self.workers, jobs), _one_thread) as pool:
                yield pool
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

    @property
    def width(self) -> int:
        """How many jobs it does at once: the cluster's CPUs."""
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def run(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield ``function(job)`` for all jobs, in their order.

        Raises
        ------
        LnnError
            When there is no cluster at the address.
        """
        return (result for _, result in self._results(function, jobs, in_order=True))

    def as_done(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[int, Result]]:
        """Yield the number of each job and ``function(job)``, those first that are done first.

        Raises
        ------
        LnnError
            When there is no cluster at the address.
        """
        return self._results(function, jobs, in_order=False)

    def _results(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], in_order: bool
    ) -> Iterator[tuple[int, Result]]:
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        remote: Any = ray.remote(num_cpus=1)(_call)
        most = _AHEAD * self.width
        flying: dict[Any, int] = {}
        left = iter(enumerate(jobs))
        try:
            while True:
                while len(flying) < most and (numbered := next(left, None)) is not None:
                    flying[remote.remote(function, numbered[1])] = numbered[0]
                if not flying:
                    return
                # A dict keeps the order in which it was filled.
                done = next(iter(flying)) if in_order else ray.wait(list(flying))[0][0]
                number = flying.pop(done)
                try:
                    yield number, ray.get(done)
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
