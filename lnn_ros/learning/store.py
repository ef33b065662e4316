"""The policy store: every policy that a robot has had, which of them flies, and why.

A folder. ``policies/DIGEST.safetensors`` are the policies, named by the SHA-256 of their bytes, so
that a name never means two things and a damaged file is found out; beside each, ``DIGEST.json``
says where it comes from. ``history.jsonl`` has a line for every change of the policy that flies,
and is the truth about it; ``decisions.jsonl`` has one for every verdict on a candidate, and for
every trial in flight that has begun or failed; ``live.safetensors`` is a link to that policy, for
who wants just a path, such as the parameter ``policy`` of the controller. Everything is written
whole or not at all: a kill at any instant leaves the state before or the state after.

What was learned flies for good only after its trial: a candidate that the judge accepts waits,
``trial.safetensors`` is a link to it while a controller is to try it, and it is promoted once it
has stood.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.learning.journal import append, read
from lnn_ros.learning.results import locked, write
from lnn_ros.liquid.checkpoint import Checkpoint, load
from lnn_ros.policies import LIVE, TRIAL

_BEGUN, _FAILED = "begun", "failed"
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
        return read(self._log, _change_of, "a change of policy")

    @property
    def live(self) -> str | None:
        """Digest of the policy that flies; None before the first."""
        history = self.history()
        return history[-1].policy if history else None

    def decisions(self) -> list[dict[str, Any]]:
        """Return every verdict on a candidate, and every trial that began or failed, in order.

        Raises
        ------
        LnnError
            As ``history``.
        """
        return read(self._decided, _decision, "a decision")

    def waiting(self) -> str | None:
        """Digest of the accepted candidate whose trial in flight is next; None: there is none.

        It is the last that was made from the policy that flies, and has not flown for good yet.
        After one has failed, or been gone back from, none is next until a person promotes one.
        """
        history = self.history()
        if not history or history[-1].rollback:
            return None
        flown, found = {change.policy for change in history}, None
        for decision in self.decisions():
            candidate, trial = decision["candidate"], decision.get("trial")
            if trial == _FAILED:
                if decision["changes"] == len(history):
                    return None
                flown.add(candidate)
            elif trial is None and decision["accepted"] and candidate and (
                    self._parent(candidate) == history[-1].policy):
                found = candidate
        return None if found in flown else found

    def trials(self, digest: str) -> int:
        """How many trials of a candidate have begun since the policy that flies last changed."""
        changes = len(self.history())
        return sum(decision.get("trial") == _BEGUN and decision["candidate"] == digest
                   and decision["changes"] == changes for decision in self.decisions())

    def version(self) -> tuple[int, ...]:
        """Return what is another whenever something has been promoted, gone back from or judged."""
        return tuple(file.stat().st_mtime_ns if file.exists() else 0
                     for file in (self._log, self._decided))

    # What changes it

    def decide(self, verdict: Mapping[str, Any], candidate: str | None) -> None:
        """Note a verdict, plain data, on a candidate; None: it did not come to one."""
        with self._alone():
            append(self._decided, {"time": _now(), "candidate": candidate, **verdict})

    def begin_trial(self, digest: str) -> None:
        """Note that the trial of a candidate begins, and link to it: the next ``~/swap`` takes it.

        Raises
        ------
        LnnError
            When it is not the one that waits, or damaged.
        """
        self.path(digest)
        with self._alone():
            self._expect(digest)
            self._note_trial(_BEGUN, digest, "")
            self._point(TRIAL, digest)

    def end_trial(self) -> None:
        """Link to no candidate any more: nobody else is to take it."""
        (self.folder / TRIAL).unlink(missing_ok=True)

    def fail(self, digest: str, why: str) -> None:
        """Note that a candidate has failed its trial.

        What a person has promoted since that began stands in nobody's way.
        """
        self.end_trial()
        with self._alone():
            begun = [decision["changes"] for decision in self.decisions()
                     if decision.get("trial") == _BEGUN and decision["candidate"] == digest]
            self._note_trial(_FAILED, digest, why, *begun[-1:])

    def stood(self, digest: str, why: str) -> Change:
        """Promote a candidate that has stood its trial.

        Raises
        ------
        LnnError
            When a person has decided otherwise meanwhile, or it is damaged.
        """
        self.end_trial()
        self.path(digest)
        with self._alone():
            history = self.history()
            if history and history[-1].policy == digest:  # a person was quicker
                return history[-1]
            self._expect(digest)
            numbers = self.papers(digest).get("verdict")
            return self._change(digest, False, why, numbers if isinstance(numbers, dict) else None)

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
        """Let the link point to what the history says; to be called once after a start."""
        with self._alone():
            live = self.live
            if live is not None:
                self._point(LIVE, live)

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
        self.end_trial()  # first: whoever swaps after this gets what was decided
        change = Change(_now(), digest, self.live, rollback, why, dict(numbers or {}))
        append(self._log, asdict(change))
        self._point(LIVE, digest)
        return change

    def _expect(self, digest: str) -> None:
        """Refuse what does not wait for a trial."""
        waiting = self.waiting()
        if waiting != digest:
            raise LnnError(f"{self.folder}: policy {(waiting or 'none')[:12]} waits for a trial, "
                           f"expected {digest[:12]}: somebody has decided otherwise")

    def _note_trial(self, what: str, digest: str, why: str, changes: int | None = None) -> None:
        """Note what came of a trial, and after how many changes of what flies it began: now."""
        append(self._decided, {"time": _now(), "candidate": digest, "trial": what, "said": why,
                               "changes": len(self.history()) if changes is None else changes})

    def _parent(self, digest: str) -> str | None:
        """What a policy was made from; of one that is not there any more nobody knows."""
        try:
            return self.papers(digest).get("parent")
        except LnnError:
            return None

    def _point(self, name: str, digest: str) -> None:
        """Replace a link."""
        link = self.folder / name
        part = self.folder / f".{name}.{os.getpid()}"
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


def _decision(line: dict[str, Any]) -> dict[str, Any]:
    """Check a line of the decisions."""
    found = dict(**line)
    missing = {"candidate", "changes" if "trial" in found else "accepted"} - set(found)
    if missing:
        raise ValueError(f"without {', '.join(sorted(missing))}")
    if not isinstance(found["candidate"], str | None):
        raise ValueError(f"candidate {found['candidate']!r}")
    if "trial" in found and (found["trial"] not in (_BEGUN, _FAILED)
                             or not isinstance(found["changes"], int)):
        raise ValueError(f"trial {found['trial']!r}, changes {found['changes']!r}")
    return found


def _change_of(line: dict[str, Any]) -> Change:
    """Check a line of the history."""
    found = Change(**line)
    if not isinstance(found.policy, str) or not isinstance(found.rollback, bool):
        raise ValueError(f"policy {found.policy!r}, rollback {found.rollback!r}")
    return found


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
