"""Start the table's processes without launch, keep their logs, and leave none of them behind."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import lnn_ros
from lnn_ros.errors import LnnError
from lnn_ros.nodes.table import NodeSpec

_LAST_DOMAIN = 101  # the ports of higher ones lie among those that Linux gives to any program
_PARTICIPANTS = 10
_PATIENCE_S = ((signal.SIGINT, 8.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
_PR_SET_PDEATHSIG = 1


def free_domain() -> int:
    """Return a ROS_DOMAIN_ID that nobody on this machine uses.

    Raises
    ------
    LnnError
        When there is none.
    """
    domains = list(range(1, _LAST_DOMAIN + 1))
    random.SystemRandom().shuffle(domains)  # so that two demos at once do not pick the same
    for domain in domains:
        # The participants of a domain listen to unicast at these ports, two each (RTPS 2.5, 9.6.2);
        # the first of them may have ended and left the others.
        ports = [7400 + 250 * domain + offset for offset in range(10, 10 + 2 * _PARTICIPANTS)]
        if all(_free(port) for port in ports):
            return domain
    raise LnnError(f"every ROS_DOMAIN_ID from 1 to {_LAST_DOMAIN} is in use on this machine: "
                   f"set ROS_DOMAIN_ID to choose one")


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def environment(domain: int) -> dict[str, str]:
    """Return the environment of the processes: their domain, unbuffered logs, this package."""
    package = str(Path(lnn_ros.__file__).resolve().parent.parent)
    paths = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    return {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "PYTHONUNBUFFERED": "1",
        "RCUTILS_COLORIZED_OUTPUT": "0",
        # From whatever folder the demo was started, its children run this very package.
        "PYTHONPATH": os.pathsep.join(paths if package in paths else [*paths, package]),
    }


class Processes:
    """A group of processes; leaving the ``with`` block ends them all.

    Parameters
    ----------
    logs : Path
        Folder for one log per process, made here.
    environ : mapping of str to str
        Environment of every process.
    """

    def __init__(self, logs: Path, environ: Mapping[str, str]) -> None:
        self._logs = logs
        self._environ = dict(environ)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def start(self, spec: NodeSpec) -> None:
        """Start a process of the table, with its log in ``<logs>/<name>.log``."""
        log = self._logs.joinpath(f"{spec.name}.log").open("ab")
        self._files.append(log)
        # Its own session, so that Ctrl-C in a terminal reaches the demo alone, which then stops
        # the processes in order.
        self._running[spec.name] = subprocess.Popen(  # nosec B603  # a list of words, no shell
            [*spec.command(sys.executable), "--disable-external-lib-logs"], env=self._environ,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=_end_with_parent)

    def ended(self) -> tuple[str, int] | None:
        """Name and exit status of a process that has ended, if there is one."""
        for name, process in self._running.items():
            status = process.poll()
            if status is not None:
                return name, status
        return None

    def alive(self, name: str) -> bool:
        """Whether a process that was started runs, be it stopped."""
        return self._running[name].poll() is None

    def pid(self, name: str) -> int:
        """Process id."""
        return self._running[name].pid

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        self._running[name].send_signal(number)

    def log_tail(self, name: str, lines: int = 12) -> list[str]:
        """Last lines of a process's log."""
        text = self._logs.joinpath(f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-lines:]

    def stop(self, order: Sequence[str] = ()) -> list[str]:
        """End the processes, one after the other, with rising force.

        Parameters
        ----------
        order : sequence of str
            Names in the order in which they are to end; the others follow.

        Returns
        -------
        list of str
            Names of those that had to be forced.
        """
        forced = []
        for name in [*order, *(n for n in self._running if n not in order)]:
            process = self._running.pop(name, None)
            if process is not None and not _end(process):
                forced.append(name)
        for file in self._files:
            file.close()
        self._files.clear()
        return forced


def _end(process: subprocess.Popen[bytes]) -> bool:
    """End a process; say whether it did so when asked politely."""
    for number, patience in _PATIENCE_S:
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.wait(patience)
            return number is signal.SIGINT
        except subprocess.TimeoutExpired:
            continue
    return False


def _end_with_parent() -> None:
    """Ask Linux to end this process should the demo be killed without a chance to do it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
