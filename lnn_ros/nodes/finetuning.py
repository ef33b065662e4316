"""The companion's fine-tuning: when it begins, what it says, and how a candidate is tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from lnn_ros.errors import LnnError
from lnn_ros.guard.modes import Mode
from lnn_ros.learner import Learner, Plan
from lnn_ros.learning.store import LIVE, Store
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import ERROR, OK, status
from lnn_ros.nodes.settings import FinetuneSettings
from lnn_ros.succession import Stage

_ANSWER_S = 10.0
"""A controller that does not fly a candidate by then has gone: it is asked again."""


@dataclass(frozen=True)
class _Candidate:
    """What waits for its trial: its names in the store and among controllers."""

    digest: str
    weights: str


class _Trial(Enum):
    """Where the trial of a candidate stands."""

    NONE = "not begun"
    ASKED = "the controller was asked for it"
    PREPARED = "the controller prepares it"
    FLOWN = "the controller flies it"


class Finetuning:
    """One process that learns, and the controller that is asked to try what comes of it.

    The controller's parameter ``policy`` is the store's link to what flies. A candidate that was
    accepted is lent that link while the controller reads it for ``~/swap``; from then on the link
    is again to the policy before, so that a start in the middle of the trial begins with that.
    The candidate is promoted once the controller says that it has stood. If it fails, no other
    is tried until a person promotes one. All of it goes on after a start of either.

    Parameters
    ----------
    node : Node
        The companion: on it are the topic ``~/progress`` and the clients.
    settings : FinetuneSettings
    recordings : Path
        Folder of the help.
    """

    def __init__(self, node: Node, settings: FinetuneSettings, recordings: Path) -> None:
        self._node, self._settings = node, settings
        folder = Path(settings.store).expanduser().absolute()
        self._folder = folder
        self._learner = Learner(Plan(
            recordings, Path(settings.rehearsal).expanduser().absolute(), folder, settings.policy,
            settings.cpu, settings.memory_mb, settings.idle, settings.worlds))
        self._usable = bool(settings.rehearsal)
        self._takeovers = 0
        self._next: _Candidate | None = None
        self._trial = _Trial.NONE
        self._asked_s = 0.0  # when the controller was asked for it, steady time
        self._before = ""  # what it said of its last change of policies then
        self._hindrance = ""  # said last of why it cannot be tried yet
        self._said: Mapping[str, str] = {}  # by the controller, last
        self._publisher = node.create_publisher(DiagnosticStatus, "~/progress", qos.LATCHED)
        self._swap: Client | None = None
        if settings.controller:
            self._swap = node.create_client(Trigger, f"{settings.controller}/swap")
        self._tell({"stage": "idle"})
        if folder.is_dir():
            self._find_next()

    def start(self) -> str:
        """Begin; see ``Learner.start``."""
        if not self._usable:
            raise LnnError("parameter finetune.rehearsal is empty: expected a folder of flights "
                           "of what the policy can (lnn_ros demonstrate makes some), so that it is "
                           "not forgotten")
        if self._next is not None and self._trial is not _Trial.NONE:
            raise LnnError(f"finetune refused: policy {self._next.weights} is on trial in flight, "
                           f"expected the end of it")
        self._learner.start()
        self._takeovers = 0
        self._tell(self._learner.progress)
        return "fine-tuning has begun: ~/progress says how far it is"

    def stop(self) -> str:
        """End what is under way."""
        if not self._learner.running:
            return "nothing was under way"
        self._learner.stop()
        self._tell(self._learner.progress)
        return str(self._learner.progress["said"])

    def close(self) -> None:
        """End what is under way, and the topic and the clients."""
        self.stop()
        if self._swap is not None:
            self._node.destroy_client(self._swap)
            self._swap = None
        self._node.destroy_publisher(self._publisher)

    def takeover(self) -> None:
        """Count the end of one."""
        self._takeovers += 1

    def due(self, after: int) -> bool:
        """Tell, once, that there have been so many takeovers since it last began (0: never)."""
        if not after or self._takeovers < after or self._learner.running or (
                self._trial is not _Trial.NONE):
            return False
        self._takeovers = 0
        return True

    def tick(self) -> None:
        """Hand on what it says, and what follows of it."""
        for progress in self._learner.poll():
            self._tell(progress)
            if progress["stage"] == "done":
                self._node.get_logger().info(f"fine-tuning: {progress.get('said')}")
                self._find_next()
                if progress.get("accepted") is True and progress.get("waits") is False:
                    self.fail("accepted, but the one before had to be gone back from: it is kept "
                              "until a person promotes it (lnn_ros store)")
        if self._trial in (_Trial.ASKED, _Trial.PREPARED):
            if time.monotonic() - self._asked_s > _ANSWER_S:
                self._trial = _Trial.NONE  # whoever was asked has gone
                self._do(lambda store: store.mend())
        elif self._next is not None and self._trial is _Trial.NONE and not self._learner.running:
            self._offer(self._next)

    def controller_said(self, topic: str, values: Mapping[str, str]) -> None:
        """Take what a controller says of itself: how the trial of a candidate goes."""
        name, candidate = self._settings.controller.lstrip("/"), self._next
        if not topic.endswith(f"/{name}/status") or "swap" not in values:
            return
        self._said = values
        if candidate is None:
            return
        stage, _, last = values["swap"].partition("; ")
        if stage == Stage.TRIAL.value and candidate.weights in last:
            if self._trial is not _Trial.FLOWN:
                self._trial = _Trial.FLOWN
                self._do(lambda store: store.mend())  # it has been read
                self._tell({"stage": "trial", "said": last})
        elif stage != Stage.SETTLED.value:
            if self._trial is _Trial.ASKED:
                self._trial = _Trial.PREPARED
        elif f"policy {candidate.weights} has stood" in last:
            self._promote(candidate, last)
        elif self._trial in (_Trial.PREPARED, _Trial.FLOWN) or candidate.weights in last or (
                self._trial is _Trial.ASKED and last != self._before):
            self._failed(candidate, last or "the controller was started anew meanwhile")

    def fail(self, said: str) -> None:
        """Say what went wrong."""
        self._node.get_logger().warning(f"fine-tuning: {said}")
        self._tell({"stage": "failed", "said": said})

    # Parts

    def _find_next(self) -> None:
        """Look for what waits in the store; the link is mended, should a start have lent it."""
        def look(store: Store) -> None:
            store.mend()
            digest = store.waiting()
            if digest is not None:
                weights = load(store.path(digest)).weights_digest()[:16]  # as controllers name it
                self._next = _Candidate(digest, weights)
                self._tell({"stage": "waiting", "digest": weights,
                            "said": f"policy {weights} was accepted, and waits for its trial by "
                                    f"the controller {self._settings.controller!r}"})

        self._next, self._trial, self._hindrance = None, _Trial.NONE, ""
        self._do(look)

    def _offer(self, candidate: _Candidate) -> None:
        """Ask the controller to take the candidate, if it can.

        More than that this node must not ask for: it hears everything, and commands nothing.
        """
        if self._swap is None or not self._swap.service_is_ready() or not self._said:
            return
        link, named = self._folder / LIVE, self._said.get("policy_parameter", "")
        if Path(named).expanduser().absolute() != link:
            self._hinder(f"policy {candidate.weights} was accepted, but the controller's parameter "
                         f"policy is {named!r}: expected {str(link)!r}, so that it flies what is "
                         f"accepted here")
            return
        if self._said.get("mode") != Mode.ENGAGED.value or (
                not self._said["swap"].startswith(Stage.SETTLED.value)):
            return  # it could not be rehearsed, nor tried

        def lend(store: Store) -> None:
            if store.waiting() != candidate.digest:  # a person has decided otherwise meanwhile
                self._find_next()
                return
            store.lend(candidate.digest)
            self._trial, self._asked_s = _Trial.ASKED, time.monotonic()
            self._before = self._said["swap"].partition("; ")[2]
            assert self._swap is not None
            self._swap.call_async(Trigger.Request()).add_done_callback(answered)

        def answered(future: Future) -> None:
            answer = None if future.exception() is not None else future.result()
            if answer is not None and not answer.success and self._next is candidate:
                self._failed(candidate, f"the controller does not take it: {answer.message}")

        self._do(lend)

    def _promote(self, candidate: _Candidate, said: str) -> None:
        """Let a candidate that has stood its trial be the one that flies."""
        def promote(store: Store) -> None:
            numbers = store.papers(candidate.digest).get("verdict")
            store.promote(candidate.digest, said, numbers)
            self._node.get_logger().info(f"fine-tuning: {said}")
            self._tell({"stage": "promoted", "said": said, "digest": candidate.weights})

        self._next, self._trial = None, _Trial.NONE
        self._do(promote)

    def _failed(self, candidate: _Candidate, why: str) -> None:
        """Note that a candidate has failed, so that it is not tried again, nor another one."""
        self._next, self._trial = None, _Trial.NONE
        self._do(lambda store: store.fail(candidate.digest, why))
        self.fail(f"policy {candidate.weights} has failed its trial, and the one before flies on: "
                  f"{why}")

    def _hinder(self, why: str) -> None:
        """Say once why a candidate cannot be tried yet."""
        if why != self._hindrance:
            self._hindrance = why
            self.fail(why)

    def _do(self, what: Callable[[Store], None]) -> None:
        """Do something with the store; what goes wrong is said."""
        try:
            what(Store(self._folder))
        except (LnnError, OSError) as error:
            self.fail(str(error))

    def _tell(self, progress: Mapping[str, Any]) -> None:
        stage = str(progress["stage"])
        said = str(progress.get("said", "")) or stage
        values = {key: value for key, value in progress.items() if key != "said"}
        self._publisher.publish(status(
            f"{self._node.get_name()}: fine-tuning", ERROR if stage == "failed" else OK, said,
            {key: str(value).lower() if isinstance(value, bool) else value
             for key, value in values.items()}))
