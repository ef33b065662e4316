"""The companion's fine-tuning: when it begins, what it says, and how a candidate comes to fly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from lnn_ros.errors import LnnError
from lnn_ros.learner import Learner, Plan
from lnn_ros.learning.store import LIVE, Store
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import ERROR, OK, status
from lnn_ros.nodes.settings import FinetuneSettings
from lnn_ros.succession import Stage


class Finetuning:
    """One process that learns, and the controller that is asked to fly what comes of it.

    The controller's parameter ``policy`` is the store's link to what flies, so that ``~/swap``
    makes it fly the candidate, on trial; if it goes back to the policy before, so does the store,
    and no other candidate flies until a person promotes one and sets the parameter to the link.

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
        self._trial = ""  # digest of the weights that were promoted last, until they have stood
        self._changing = False  # whether the controller has begun with them
        self._publisher = node.create_publisher(DiagnosticStatus, "~/progress", qos.LATCHED)
        self._named = ""  # what the controller's parameter policy says
        self._swap: Client | None = None
        if settings.controller:
            self._swap = node.create_client(Trigger, f"{settings.controller}/swap")
        self._tell({"stage": "idle"})

    def start(self) -> str:
        """Begin; see ``Learner.start``."""
        if not self._usable:
            raise LnnError("parameter finetune.rehearsal is empty: expected a folder of flights "
                           "of what the policy can (lnn_ros demonstrate makes some), so that it is "
                           "not forgotten")
        if self._trial:
            raise LnnError(f"finetune refused: policy {self._trial} is on trial in flight, "
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
        if not after or self._takeovers < after or self._learner.running or self._trial:
            return False
        self._takeovers = 0
        return True

    def tick(self) -> None:
        """Hand on what it says, and what follows of it."""
        for progress in self._learner.poll():
            self._tell(progress)
            if progress["stage"] == "done":
                self._node.get_logger().info(f"fine-tuning: {progress.get('said')}")
                if progress.get("promoted") is True:
                    self._let_fly(str(progress.get("digest", "")))
                elif progress.get("accepted") is True:
                    self.fail("accepted, but the one before had to be gone back from: it is kept "
                              "until a person promotes it (lnn_ros store)")

    def controller_said(self, topic: str, values: Mapping[str, str]) -> None:
        """Take what a controller says of itself: how the trial of a candidate goes."""
        name = self._settings.controller.lstrip("/")
        if not topic.endswith(f"/{name}/status") or "swap" not in values:
            return
        self._named = values.get("policy_parameter", "")
        if not self._trial:
            return
        stage, _, last = values["swap"].partition("; ")
        if stage != Stage.SETTLED.value:
            self._changing = True
        elif f"policy {self._trial} has stood" in last:
            self._trial = ""
        elif self._changing or self._trial in last:  # else it has not begun with it yet
            self._go_back(last or "the controller was started anew meanwhile")

    def fail(self, said: str) -> None:
        """Say what went wrong."""
        self._node.get_logger().warning(f"fine-tuning: {said}")
        self._tell({"stage": "failed", "said": said})

    # Parts

    def _let_fly(self, weights: str) -> None:
        """Ask the controller to take the policy that the store lets fly.

        More than that this node must not ask for: it hears everything, and commands nothing.
        """
        if self._swap is None:
            return
        if not self._swap.service_is_ready():
            self.fail(f"accepted, but no controller {self._settings.controller!r} is there to fly "
                      f"it: the store has it")
            return
        link = self._folder / LIVE
        if Path(self._named).expanduser().absolute() != link:
            # So it is, too, after one has failed in flight: then a person decides.
            self.fail(f"accepted, but the controller's parameter policy is {self._named!r}: "
                      f"expected {str(link)!r}, so that it flies what is accepted here")
            return
        self._trial, self._changing = weights[:16], False  # as controllers name it

        def swapped(future: Future) -> None:
            answer = None if future.exception() is not None else future.result()
            if answer is None or not answer.success:
                self._go_back(f"the controller does not take it: "
                              f"{'no answer' if answer is None else answer.message}")

        self._swap.call_async(Trigger.Request()).add_done_callback(swapped)

    def _go_back(self, why: str) -> None:
        """Let that fly again in the store which flew before."""
        self._trial = ""
        try:
            change = Store(self._folder).rollback(why)
            self.fail(f"policy {change.policy[:12]} flies again: {why}")
        except (LnnError, OSError) as error:
            self.fail(f"{why}; {error}")

    def _tell(self, progress: Mapping[str, Any]) -> None:
        stage = str(progress["stage"])
        said = str(progress.get("said", "")) or stage
        values = {key: value for key, value in progress.items() if key != "said"}
        self._publisher.publish(status(
            f"{self._node.get_name()}: fine-tuning", ERROR if stage == "failed" else OK, said,
            {key: str(value).lower() if isinstance(value, bool) else value
             for key, value in values.items()}))
