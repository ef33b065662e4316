"""The companion's fine-tuning: when it begins, what it says, and that what comes of it is tried."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from lnn_ros.errors import LnnError
from lnn_ros.learner import Learner, Plan
from lnn_ros.nodes import qos
from lnn_ros.nodes.diagnostics import ERROR, OK, status
from lnn_ros.nodes.settings import FinetuneSettings
from lnn_ros.nodes.trial import TrialInFlight


class Finetuning:
    """One process that learns, and the trial in flight of what it has learned.

    Parameters
    ----------
    node : Node
        The companion: on it is the topic ``~/progress``.
    settings : FinetuneSettings
    recordings : Path
        Folder of the help.
    """

    def __init__(self, node: Node, settings: FinetuneSettings, recordings: Path) -> None:
        self._node = node
        store = Path(settings.store).expanduser().absolute()
        self._learner = Learner(Plan(
            recordings, Path(settings.rehearsal).expanduser().absolute(), store, settings.policy,
            settings.cpu, settings.memory_mb, settings.idle, settings.worlds))
        self._usable = bool(settings.rehearsal)
        self._takeovers = 0
        self._publisher = node.create_publisher(DiagnosticStatus, "~/progress", qos.LATCHED)
        self._tell({"stage": "idle"})
        self._trial = TrialInFlight(node, settings.controller, store, self._trial_said)

    def start(self) -> str:
        """Begin; see ``Learner.start``."""
        if not self._usable:
            raise LnnError("parameter finetune.rehearsal is empty: expected a folder of flights "
                           "of what the policy can (lnn_ros demonstrate makes some), so that it is "
                           "not forgotten")
        if self._trial.under_way:
            raise LnnError(f"finetune refused: policy {self._trial.under_way} is on trial in "
                           f"flight, expected the end of it")
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
        """End what is under way, and the topic."""
        self.stop()
        self._trial.close()
        self._node.destroy_publisher(self._publisher)

    def takeover(self) -> None:
        """Count the end of one."""
        self._takeovers += 1

    def due(self, after: int) -> bool:
        """Tell, once, that there have been so many takeovers since it last began (0: never)."""
        if not after or self._takeovers < after or self._learner.running or self._trial.under_way:
            return False
        self._takeovers = 0
        return True

    def tick(self) -> None:
        """Hand on what it says, and see to what follows of it."""
        for progress in self._learner.poll():
            self._tell(progress)
            if progress["stage"] == "done":
                self._node.get_logger().info(f"fine-tuning: {progress.get('said')}")
                if progress.get("accepted") is True and progress.get("waits") is False:
                    self.fail("accepted, but it does not wait for a trial, as one before it was "
                              "gone back from, or another policy flies by now: it is kept until a "
                              "person promotes it (lnn_ros store)")
        if not self._learner.running:  # what it learns may take the place of what waits
            self._trial.tick()

    def fail(self, said: str) -> None:
        """Say what went wrong."""
        self._node.get_logger().warning(f"fine-tuning: {said}")
        self._tell({"stage": "failed", "said": said})

    # Parts

    def _trial_said(self, stage: str, said: str, weights: str) -> None:
        if stage == "failed":
            self.fail(said)
            return
        self._node.get_logger().info(f"fine-tuning: {said}")
        self._tell({"stage": stage, "said": said, "digest": weights})

    def _tell(self, progress: Mapping[str, Any]) -> None:
        stage = str(progress["stage"])
        said = str(progress.get("said", "")) or stage
        values = {key: value for key, value in progress.items() if key != "said"}
        self._publisher.publish(status(
            f"{self._node.get_name()}: fine-tuning", ERROR if stage == "failed" else OK, said,
            {key: str(value).lower() if isinstance(value, bool) else value
             for key, value in values.items()}))
