"""The policy store: every policy that a robot has had, which of them flies, and why.

A folder. ``policies/DIGEST.safetensors`` are the policies, named by the SHA-256 of their bytes, so
that a name never means two things and a damaged file is found out; beside each, ``DIGEST.json``
says where it comes from. ``history.jsonl`` has a line for every change of the policy that flies,
and is the truth about it; ``decisions.jsonl`` has one for every verdict on a candidate, and for
every trial in flight that one failed; ``live.safetensors`` is a link to that policy, for who wants
just a path, such as the parameter ``policy`` of the controller. Everything is written whole or not
at all: a kill at any instant leaves the state before or the state after.

What was learned flies for good only after its trial: a candidate that the judge accepts waits, is
lent the link while a controller reads it, and is promoted once it has stood.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from lnn_ros.errors import LnnError
from lnn_ros.learning.results import locked, write
from lnn_ros.liquid.checkpoint import Checkpoint, load

_T = TypeVar("_T")
LIVE = "live.safetensors"
_SHORTEST = 8
"""Digits from which the beginning of a digest may stand for it."""


@dataclass(frozen=True)
class Change:
    """One line of the history.

    Attributes
    ----------
    time : str
        When, UTC, ISO 8601.
    policy : str
        Digest of the policy that flies from now on.
    before : str or None
        Of that which flew until then; None: there was none.
    rollback : bool
        Whether this goes back to an earlier one.
    why : str
        One sentence.
    numbers : dict
        What the decision was made by.
    """

    time: str
    policy: str
    before: str | None
    rollback: bool
    why: str
    numbers: dict[str, Any]


class Store:
    """A folder of policies.

    Parameters
    ----------
    folder : Path
        Made if need be.

    Raises
    ------
    LnnError
        When the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = folder / "policies"
        self._log = folder / "history.jsonl"
        self._decided = folder / "decisions.jsonl"
        try:
            self._files.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LnnError(f"{folder}: {error.strerror}: expected a folder for policies that can "
                           f"be written to") from error

    # What is there

    def digests(self) -> list[str]:
        """Return all policies, the oldest first."""
        files = sorted(self._files.glob("[0-9a-f]*.safetensors"),
                       key=lambda file: (file.stat().st_mtime_ns, file.name))
        return [file.stem for file in files]

    def find(self, beginning: str) -> str:
        """Return the digest that begins so.

        Raises
        ------
        LnnError
            When there is none, or several, or too little is given of it.
        """
        found = [digest for digest in self.digests() if digest.startswith(beginning)]
        if len(beginning) < _SHORTEST or len(found) != 1:
            raise LnnError(f"{self.folder}: {len(found)} policies begin with {beginning!r}, "
                           f"expected one, by {_SHORTEST} digits or more of its digest")
        return found[0]

    def path(self, digest: str) -> Path:
        """Return the file of a policy, whose bytes are what its name says.

        Raises
        ------
        LnnError
            When it is not there, or damaged.
        """
        file = self._file(digest)
        try:
            found = _digest(file)
        except OSError as error:
            raise LnnError(f"{file}: {error.strerror}: expected a policy of the store") from error
        if found != digest:
            raise LnnError(f"{file}: bytes of the digest {found[:16]} found, expected those of "
                           f"{digest[:16]}: the file is damaged")
        return file

    def papers(self, digest: str) -> dict[str, Any]:
        """Return where a policy comes from: ``parent``, ``added``, and what was said of it."""
        try:
            return dict(json.loads(self._papers(digest).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise LnnError(f"{self._papers(digest)}: {error}: expected the papers of a policy"
                           ) from error

    def lineage(self, digest: str) -> list[str]:
        """Return a policy, what it was made from, and so on to the first one."""
        line: list[str] = []
        at: str | None = digest
        while at is not None and at not in line:
            line.append(at)
            at = self.papers(at).get("parent")
        return line

    def history(self) -> list[Change]:
        """Return every change of the policy that flies, in order.

        Raises
        ------
        LnnError
            When a line other than the last is damaged; half a last line was never written.
        """
        return _read(self._log, lambda line: Change(**line), "a change of policy")

    @property
    def live(self) -> str | None:
        """Digest of the policy that flies; None before the first."""
        history = self.history()
        return history[-1].policy if history else None

    def decisions(self) -> list[dict[str, Any]]:
        """Return every verdict on a candidate, and every failed trial, in order.

        Raises
        ------
        LnnError
            As ``history``.
        """
        return _read(self._decided, lambda line: dict(**line), "a decision")

    def waiting(self) -> str | None:
        """Digest of the accepted candidate whose trial in flight is next; None: there is none.

        It is the last that was made from the policy that flies, and has not flown yet. After one
        has failed, or been gone back from, none is next until a person promotes one.
        """
        history = self.history()
        if not history or history[-1].rollback:
            return None
        flown, found = {change.policy for change in history}, None
        for decision in self.decisions():
            candidate = decision["candidate"]
            if decision.get("trial"):
                if decision["changes"] == len(history):
                    return None
                flown.add(candidate)
            elif decision["accepted"] and candidate and (
                    self.papers(candidate)["parent"] == history[-1].policy):
                found = candidate
        return None if found in flown else found

    # What changes it

    def decide(self, verdict: Mapping[str, Any], candidate: str | None) -> None:
        """Note a verdict, plain data, on a candidate; None: it did not come to one."""
        with self._alone():
            _append(self._decided, {"time": _now(), "candidate": candidate, **verdict})

    def lend(self, digest: str) -> None:
        """Let the link point to a candidate, for a controller to read it; ``mend`` ends that.

        Raises
        ------
        LnnError
            When it is not there, or damaged.
        """
        self.path(digest)
        with self._alone():
            self._point(digest)

    def fail(self, digest: str, why: str) -> None:
        """Note that a candidate has failed its trial in flight, and let the link be right."""
        with self._alone():
            _append(self._decided, {"time": _now(), "candidate": digest, "trial": "failed",
                                    "said": why, "changes": len(self.history())})
        self.mend()

    def add(self, file: Path, parent: str | None = None,
            about: Mapping[str, Any] | None = None) -> str:
        """Take a copy of a policy file; return its digest. One that is there already stays.

        Parameters
        ----------
        file : Path
            A policy.
        parent : str, optional
            Digest of that which it was made from.
        about : mapping, optional
            What else its papers are to say: of its data, and what judged it. Plain data.

        Raises
        ------
        LnnError
            When the file is no policy, or its parent is not in the store.
        """
        if parent is not None and not self._file(parent).is_file():
            raise LnnError(f"{self.folder}: no policy {parent[:16]} found, expected the parent of "
                           f"{file}")
        part = self._files / f".{os.getpid()}.part"
        try:
            try:
                shutil.copyfile(file, part)
            except OSError as error:
                raise LnnError(f"{file}: {error.strerror}: expected a policy") from error
            _sync(part)
            self._check(part, file)
            digest = _digest(part)
            with self._alone():
                if not self._papers(digest).exists():
                    papers = {"parent": parent, "added": _now(), **(about or {})}
                    write(self._papers(digest), papers)
                if not self._file(digest).exists():
                    part.replace(self._file(digest))
        finally:
            part.unlink(missing_ok=True)
        return digest

    def promote(self, digest: str, why: str, numbers: Mapping[str, Any] | None = None) -> Change:
        """Let a policy be the one that flies.

        Parameters
        ----------
        digest : str
            Of a policy in the store.
        why : str
            One sentence.
        numbers : mapping, optional
            What the decision was made by; plain data.

        Raises
        ------
        LnnError
            When it is not there, or damaged.
        """
        self.path(digest)
        with self._alone():
            return self._change(digest, False, why, numbers)

    def rollback(self, why: str, numbers: Mapping[str, Any] | None = None) -> Change:
        """Go back to the policy that flew before the present one was promoted.

        Again and again, it goes on to the first one: what was rolled back is not come back to.

        Raises
        ------
        LnnError
            When there is nothing to go back to, or it is damaged.
        """
        with self._alone():
            stack = self._stack()
            if len(stack) < 2:
                raise LnnError(f"{self.folder}: {len(stack)} policies have been promoted and not "
                               f"rolled back, expected two or more to go back")
            self.path(stack[-2])
            return self._change(stack[-2], True, why, numbers)

    def mend(self) -> None:
        """Let the link point to what the history says: after a start, and after ``lend``."""
        with self._alone():
            live = self.live
            if live is not None:
                self._point(live)

    # Parts

    def _stack(self) -> list[str]:
        """Return what has been promoted and not rolled back, the present one last."""
        stack: list[str] = []
        for change in self.history():
            if change.rollback:
                del stack[-1]
            elif not stack or stack[-1] != change.policy:
                stack.append(change.policy)
        return stack

    def _change(self, digest: str, rollback: bool, why: str,
                numbers: Mapping[str, Any] | None) -> Change:
        change = Change(_now(), digest, self.live, rollback, why, dict(numbers or {}))
        _append(self._log, asdict(change))
        self._point(digest)
        return change

    def _point(self, digest: str) -> None:
        """Replace the link."""
        link = self.folder / LIVE
        part = self.folder / f".{LIVE}.{os.getpid()}"
        part.unlink(missing_ok=True)
        part.symlink_to(self._file(digest).relative_to(self.folder))
        part.replace(link)

    def _check(self, part: Path, file: Path) -> Checkpoint:
        """Refuse what is no policy, by the name that its owner knows."""
        try:
            return load(part)
        except LnnError as error:
            raise LnnError(str(error).replace(str(part), str(file))) from error

    def _file(self, digest: str) -> Path:
        return self._files / f"{digest}.safetensors"

    def _papers(self, digest: str) -> Path:
        return self._files / f"{digest}.json"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with locked(self._log, wait=True):
            yield


def _read(file: Path, made: Callable[[dict[str, Any]], _T], expected: str) -> list[_T]:
    """Return the lines of a log; half a last one was never written."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines[:-1], 1):  # what ends without a line feed is half one
        try:
            found.append(made(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise LnnError(f"{file}: line {number}: {error}: expected {expected}") from error
    return found


def _append(file: Path, what: Mapping[str, Any]) -> None:
    """Add a line that is on the disk when this returns."""
    with file.open("a+b") as log:
        _drop_half_a_line(log)
        log.write((json.dumps(what) + "\n").encode())
        log.flush()
        os.fsync(log.fileno())


def _drop_half_a_line(log: Any) -> None:
    """Cut off what a kill has left of a line."""
    log.seek(0)
    whole = log.read()
    end = whole.rfind(b"\n") + 1
    if end < len(whole):
        log.truncate(end)
    log.seek(0, os.SEEK_END)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _sync(file: Path) -> None:
    """See a file on the disk, before a name promises that it is there."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
