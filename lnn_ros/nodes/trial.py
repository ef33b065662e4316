"""The trial in flight of what was learned on board: the controller is asked for it, and watched."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future
from std_srvs.srv import Trigger

from lnn_ros.errors import LnnError
from lnn_ros.guard.modes import Mode
from lnn_ros.learning.store import Store
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes import qos
from lnn_ros.policies import LIVE
from lnn_ros.succession import Stage

_LOOK_S = 1.0  # between two looks at the store and at whether the controller is there
_AGAIN_S = 10.0
"""A controller that has not begun with a candidate by then, or has gone, is asked anew; nor is one
asked sooner after a trial has come to nothing."""
_TRIALS = 3
"""So many may begin: what ends none of them well, by whatever chance, has failed."""


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


class TrialInFlight:
    """What waits in a policy store, and the controller that is asked to try it.

    The controller's parameter ``policy`` is the store's link to what flies. A candidate that was
    accepted waits until the controller is engaged; then the store links to it as what is to be
    tried, and the controller is asked for ``~/swap``, which takes that. A start never does: in the
    middle of a trial it begins with the policy before. The candidate is promoted once the
    controller says that it has stood. If it fails, no other is tried until a person promotes one;
    a trial that comes to nothing, as by a landing for good, is begun again, a few times at most.
    All of it goes on after a start of either.

    Parameters
    ----------
    node : Node
        On it are the client and the subscription.
    controller : str
        Its name; empty: nobody is asked.
    folder : Path
        Of the store; it need not be there yet.
    tell : callable
        Takes the stage (``waiting``, ``trial``, ``promoted`` or ``failed``), a sentence, and the
        weights' digest, as often as something has changed.
    """

    def __init__(self, node: Node, controller: str, folder: Path,
                 tell: Callable[[str, str, str], None]) -> None:
        self._node, self._controller, self._folder, self._tell = node, controller, folder, tell
        self._next: _Candidate | None = None
        self._stage = _Trial.NONE
        self._asked_s = -math.inf  # when the controller was asked last, steady time
        self._request = 0  # which asking it was
        self._before = ""  # what the controller said of its last change of policies then
        self._there_s = time.monotonic()  # when the controller was there last
        self._said: Mapping[str, str] = {}  # by the controller, last
        self._hindrance = ""  # said last of why a candidate cannot be tried yet
        self._looked_s = -math.inf
        self._version: tuple[int, ...] = ()  # of the store, when it was looked at
        self._swap: Client | None = None
        self._status: Subscription | None = None
        if controller:
            self._swap = node.create_client(Trigger, f"{controller}/swap")
            self._status = node.create_subscription(
                DiagnosticStatus, f"{controller}/status", self._controller_said, qos.LATCHED)
        self._do(_begin_anew)

    @property
    def under_way(self) -> str:
        """Digest of the weights that are being tried; empty: none are."""
        return self._next.weights if self._next and self._stage is not _Trial.NONE else ""

    def close(self) -> None:
        """End client and subscription."""
        if self._swap is not None and self._status is not None:
            self._node.destroy_client(self._swap)
            self._node.destroy_subscription(self._status)
            self._swap = self._status = None

    def tick(self) -> None:
        """Look, once a second, whether something waits and can be tried."""
        now = time.monotonic()
        if now - self._looked_s < _LOOK_S:
            return
        self._looked_s = now
        if self._stage is _Trial.NONE:
            self._do(self._look)
        if self._swap is None or self._next is None:
            return
        if self._swap.service_is_ready():
            self._there_s = now
        else:
            self._said = {}
        if self._stage is _Trial.NONE:
            if self._said and now - self._asked_s > _AGAIN_S:
                self._offer(self._next, self._said)
        elif now - self._there_s > _AGAIN_S:
            self._interrupt(self._next, "the controller has gone")
        elif self._stage is _Trial.ASKED and now - self._asked_s > _AGAIN_S:
            self._interrupt(self._next, "the controller does not answer")

    # Parts

    def _look(self, store: Store) -> None:
        """Look for what waits, if anything has changed in the store."""
        version = store.version()
        if version == self._version:
            return
        self._version = version
        digest = store.waiting()
        if digest is None:
            self._next = None
        elif self._next is None or self._next.digest != digest:
            weights = load(store.path(digest)).weights_digest()[:16]  # as controllers name it
            self._next, self._asked_s, self._hindrance = _Candidate(digest, weights), -math.inf, ""
            self._tell("waiting", f"policy {weights} was accepted, and waits for its trial by the "
                                  f"controller {self._controller!r}", weights)
            self._hear()  # what came of its trial may have been said before this node knew of it

    def _offer(self, candidate: _Candidate, said: Mapping[str, str]) -> None:
        """Ask the controller to try the candidate, if it can.

        More than that this node must not ask for: it hears everything, and commands nothing.
        """
        link = os.path.abspath(self._folder / LIVE)
        named = os.path.expanduser(said.get("policy_parameter", ""))  # of nobody's home, too
        if not os.path.isabs(named) or os.path.abspath(named) != link:
            self._hinder(f"policy {candidate.weights} was accepted, but the controller's parameter "
                         f"policy is {named!r}: expected {link!r}, so that it flies what is "
                         f"accepted here")
            return
        if said.get("mode") != Mode.ENGAGED.value or (
                not said["swap"].startswith(Stage.SETTLED.value)):
            return  # it could not be rehearsed, nor tried

        def ask(store: Store) -> None:
            if store.trials(candidate.digest) >= _TRIALS:
                self._failed(candidate, f"{_TRIALS} trials have begun, and none was stood")
                return
            store.begin_trial(candidate.digest)
            self._stage, self._before = _Trial.ASKED, said["swap"]
            self._request += 1
            request = self._request

            def answered(future: Future) -> None:
                answer = None if future.exception() is not None else future.result()
                if answer is not None and not answer.success and request == self._request and (
                        self._stage is _Trial.ASKED):
                    self._interrupt(candidate, answer.message)

            assert self._swap is not None
            self._swap.call_async(Trigger.Request()).add_done_callback(answered)

        self._asked_s = time.monotonic()
        self._do(ask)

    def _controller_said(self, message: DiagnosticStatus) -> None:
        """Take what the controller says of itself."""
        values = {pair.key: pair.value for pair in message.values}
        if "swap" in values:
            self._said = values
            self._hear()

    def _hear(self) -> None:
        """Hear from what the controller said last how the trial of a candidate goes."""
        values, candidate = self._said, self._next
        if candidate is None or not values or (
                self._stage is _Trial.ASKED and values["swap"] == self._before):
            return
        stage, _, last = values["swap"].partition("; ")
        if stage == Stage.TRIAL.value and candidate.weights in last:
            if self._stage is not _Trial.FLOWN:
                self._stage = _Trial.FLOWN
                self._do(lambda store: store.end_trial())  # it has been read
                self._tell("trial", last, candidate.weights)
        elif stage != Stage.SETTLED.value:
            if self._stage is _Trial.ASKED:
                self._stage = _Trial.PREPARED
        elif self._stage is _Trial.NONE and not self._begun(candidate):
            return  # it may say the same of a candidate before that learned the same
        elif f"policy {candidate.weights} has stood" in last:
            self._promote(candidate, last)
        elif f"back from policy {candidate.weights}" in last:
            self._failed(candidate, last)
        elif self._stage is not _Trial.NONE:
            self._interrupt(candidate, last)

    def _begun(self, candidate: _Candidate) -> bool:
        """Whether a trial of the candidate has begun before."""
        begun = []
        self._do(lambda store: begun.append(store.trials(candidate.digest) > 0))
        return any(begun)

    def _interrupt(self, candidate: _Candidate, why: str) -> None:
        """Let a candidate wait again whose trial has come to nothing."""
        self._stage, self._asked_s = _Trial.NONE, time.monotonic()
        self._do(lambda store: store.end_trial())
        self._tell("waiting", f"the trial of policy {candidate.weights} came to nothing: {why}",
                   candidate.weights)

    def _promote(self, candidate: _Candidate, said: str) -> None:
        """Let a candidate that has stood its trial be the one that flies."""
        def promote(store: Store) -> None:
            store.stood(candidate.digest, said)
            self._tell("promoted", said, candidate.weights)

        self._next, self._stage = None, _Trial.NONE
        self._do(promote)

    def _failed(self, candidate: _Candidate, why: str) -> None:
        """Note that a candidate has failed, so that it is not tried again, nor another one."""
        self._next, self._stage = None, _Trial.NONE
        self._do(lambda store: store.fail(candidate.digest, why))
        self._tell("failed", f"policy {candidate.weights} has failed its trial, and the one before "
                             f"flies on: {why}", candidate.weights)

    def _hinder(self, why: str) -> None:
        """Say once why a candidate cannot be tried yet."""
        if why != self._hindrance:
            self._hindrance = why
            self._tell("failed", why, "")

    def _do(self, what: Callable[[Store], None]) -> None:
        """Do something with the store, if it is there; what goes wrong is said, once."""
        try:
            if self._folder.is_dir():
                what(Store(self._folder))
        except (LnnError, OSError) as error:
            self._hinder(str(error))


def _begin_anew(store: Store) -> None:
    """See to what a kill may have left."""
    store.end_trial()
    store.mend()
