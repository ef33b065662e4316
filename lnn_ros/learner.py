"""Fine-tuning on board: a process of its own, bounded, which can be stopped at any time.

It is ``lnn_ros finetune`` with a policy store. What it was told to stop in, or was killed in, it
goes on with when it is started again. Nothing here waits for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lnn_ros.errors import LnnError
from lnn_ros.learning.store import Store

CANDIDATE, LOG = "candidate.safetensors", "finetune.log"
REFUSED = 1
"""Exit status of a fine-tuning whose candidate must not fly."""


@dataclass(frozen=True)
class Plan:
    """What is learned from, and with how much of the computer.

    Attributes
    ----------
    recordings, rehearsal, store : Path
        Folders: of the help, of old flights, and of policies.
    policy : str
        To begin with while the store has none that flies.
    cpu : float
        Share of one core.
    memory_mb : float
        The most memory, MB.
    idle : bool
        Whether it runs only while no other process wants to.
    worlds : int
        To fly in before a candidate is accepted.
    """

    recordings: Path
    rehearsal: Path
    store: Path
    policy: str
    cpu: float
    memory_mb: float
    idle: bool
    worlds: int

    def command(self) -> list[str]:
        """Return the command line.

        Raises
        ------
        LnnError
            When the store cannot be used.
        """
        store = Store(self.store)
        live = store.live
        policy = self.policy if live is None else str(store.path(live))
        return [sys.executable, "-m", "lnn_ros.cli", "finetune", str(self.recordings),
                "--policy", policy, "--rehearsal", str(self.rehearsal),
                "--out", str(self.store / CANDIDATE), "--store", str(self.store),
                "--cpu", f"{self.cpu:g}", "--memory-mb", f"{self.memory_mb:g}",
                "--worlds", str(self.worlds), "--progress",
                *(["--idle"] if self.idle else [])]


class Learner:
    """At most one fine-tuning at a time.

    Parameters
    ----------
    plan : Plan

    Attributes
    ----------
    progress : dict
        What it said last: ``stage``, and ``done`` of how many (``of``), ``loss``, ``said``.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._half = b""
        self._last: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {"stage": "idle"}

    @property
    def running(self) -> bool:
        """Whether a process learns."""
        return self._process is not None

    def start(self) -> None:
        """Begin, or go on with what was stopped.

        Raises
        ------
        LnnError
            When one learns already, or it cannot begin.
        """
        if self._process is not None:
            raise LnnError("a fine-tuning is under way: expected its end, or false to stop it")
        if not self._plan.rehearsal.is_dir():
            raise LnnError(f"parameter finetune.rehearsal is {str(self._plan.rehearsal)!r}: "
                           f"expected a folder of flights of what the policy can (lnn_ros "
                           f"demonstrate makes some), so that it is not forgotten")
        command = self._plan.command()
        with (self._plan.store / LOG).open("wb") as log:
            # It stays in the group of this process: what ends all nodes ends it, too.
            self._process = subprocess.Popen(  # nosec B603  # our own program
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._half, self._last = b"", []
        self.progress = {"stage": "begun"}

    def poll(self) -> list[dict[str, Any]]:
        """Return what it has said since the last call; the last of it is how it ended."""
        process = self._process
        if process is None:
            return []
        assert process.stdout is not None
        status = process.poll()  # first: what it wrote before its end is there after it
        found = [*self._last, *self._lines(process.stdout)]
        self._last = []
        if status is None and found and found[-1].get("stage") == "done":
            self._last = [found.pop()]  # until it has really ended, no other can begin
        if status is not None:
            self._process = None
            process.stdout.close()
            if status not in (0, REFUSED) or not found or found[-1].get("stage") != "done":
                found.append({"stage": "failed", "said": self._why(status)})
        if found:
            self.progress = found[-1]
        return found

    def stop(self) -> None:
        """End it; what is done is kept, and the next start goes on with it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdout is not None
        process.kill()  # it writes nothing that a kill could leave half
        process.wait()
        process.stdout.close()
        self.progress = {"stage": "stopped", "said": "stopped: the next start goes on"}

    def _lines(self, stream: IO[bytes]) -> list[dict[str, Any]]:
        """Return the whole lines that have come."""
        self._half += stream.read() or b""
        *lines, self._half = self._half.split(b"\n")
        found = []
        for line in lines:
            try:
                found.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                continue  # of a library that talks
        return found

    def _why(self, status: int) -> str:
        """Return the last sentence of the log."""
        try:
            text = (self._plan.store / LOG).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            text = ""
        last = text.splitlines()[-1].removeprefix("lnn_ros: ") if text else "without a word"
        return f"fine-tuning ended with status {status}: {last}"
