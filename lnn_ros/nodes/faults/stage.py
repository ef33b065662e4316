"""The processes of a fault campaign, and a flight in them that can be begun again and again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import load
from lnn_ros.nodes import distributions
from lnn_ros.nodes import environment as dds
from lnn_ros.nodes.faults.judge import Judge
from lnn_ros.nodes.faults.operator import Operator
from lnn_ros.nodes.faults.relay import PREFIX, RELAYED, Order, Relay
from lnn_ros.nodes.faults.verdict import Bounds, Four, flies
from lnn_ros.nodes.options import NodeOptions
from lnn_ros.nodes.supervision import Processes, environment, free_domain
from lnn_ros.nodes.table import NodeSpec, ParameterValue, nodes

POLICY = "fly_to_target"
CHANGE: Four = (6.0, 6.0, 6.0, 12.0)
"""Greatest acceleration of the campaign's controller, in braking, m/s^2 and rad/s^2."""

_NORMAL = (4.0, 8.0)
_PAUSE = 2.0 / 30.0
_PATIENCE_S = 240.0  # the camera may have to be compiled first
_AGAIN_S = 0.3
_ATTEMPTS = 4
_FLIES_S = 3.0
_STANDING_S = 0.3  # without a word from the simulator

LIMITS: Mapping[str, ParameterValue] = {
    **{f"normal.{axis}": _NORMAL[0] for axis in ("forward", "backward", "lateral", "up", "down")},
    "normal.turn": _NORMAL[1],
    **{f"braking.{axis}": CHANGE[0] for axis in ("forward", "backward", "lateral", "up", "down")},
    "braking.turn": CHANGE[3],
    "modes.deadman": True, "modes.resume_within": 3.0, "fence.enabled": True,
    **{f"fence.{axis}_low": -100.0 for axis in "xyz"},
    **{f"fence.{axis}_high": 100.0 for axis in "xyz"},
}
"""What the campaign's controller is started with: limits that can be checked, a deadman, and a
fence so wide that only its odometry matters."""

_ALL_ROUND = (("enabled", True), ("width", 6.283185), ("height", 3.141592))
PROFILES: Mapping[str, tuple[Mapping[str, ParameterValue], str]] = {
    "flight": ({}, "deadman"),
    "compressed": ({"image_transport": "compressed"}, "deadman image/compressed"),
    **{sensor: ({f"{sensor}.{key}": value for key, value in _ALL_ROUND}, f"deadman {streams}")
       for sensor, streams in (("scan", "scan"), ("range", "range"), ("points", "points"),
                               ("depth", "depth_info depth"))},
}
"""Parameters on top, and what the relay generates. A sensor of distances is said to see all
round, so that nothing is slow unless it fails."""


@dataclass(frozen=True)
class Staged(NodeSpec):
    """A process of the table with a module of its own, or more words on its command line."""

    launcher: str = ""
    words: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Module that ``python -m`` runs."""
        return self.launcher or super().module

    @classmethod
    def of(cls, spec: NodeSpec, launcher: str = "", words: tuple[str, ...] = (),
           **parameters: ParameterValue) -> Staged:
        """Return a process of the table, changed."""
        values = {f.name: getattr(spec, f.name) for f in fields(NodeSpec)}
        values["parameters"] = {**spec.parameters, **parameters}
        return cls(**values, launcher=launcher, words=words)

    def command(self, python: str = "") -> list[str]:
        """Return the command line."""
        return [*(super().command(python) if python else super().command()), *self.words]


class Stage:
    """Everything that runs; the ``with`` block ends it.

    Parameters
    ----------
    folder : Path
        For logs, the recording and the checkpoint that a fault replaces.
    seed : int
        World to fly in.
    launchers : mapping of str to str, optional
        Modules that are run in place of the processes' own.

    Attributes
    ----------
    judge : Judge
        What was heard.
    operator : Operator
        To call services with.
    relay : Relay
        To spoil streams with.
    policy : Path
        The checkpoint that flies, a copy in the folder.
    bounds : Bounds
        What every command must stay inside of.
    """

    def __init__(self, folder: Path, seed: int, launchers: Mapping[str, str] | None = None) -> None:
        distributions.stay_local(os.environ)
        domain = free_domain()
        self.folder = folder
        self.policy = folder / "policy.safetensors"
        self.good = policies.path(POLICY).read_bytes()
        folder.mkdir(parents=True, exist_ok=True)
        self.restore_policy()
        head = load(self.policy).spec.head
        self.bounds = Bounds(head.low, head.high, CHANGE, _PAUSE)
        self.profile = "flight"
        self._launchers = {"controller": "lnn_ros.nodes.faults.stallable", **(launchers or {})}
        self._specs = self._table(seed, folder)
        self._processes = Processes(folder / "logs", environment(domain))
        self.relay = Relay(domain)
        dds.use_dds_profile("simulator.xml")
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain,
                   signal_handler_options=SignalHandlerOptions.NO)
        self._bystander = Node("judge", context=self._context, start_parameter_services=False,
                               enable_rosout=False)
        self._node = Node("operator", context=self._context, start_parameter_services=False,
                          enable_rosout=False)
        self.judge = Judge(self._bystander)
        self.operator = Operator(self._node, self.judge.poll)
        self._stopped: set[str] = set()
        self.said = ""
        self.remarks: list[tuple[str, str]] = []

    def __enter__(self) -> Stage:
        self.relay.order(Order("generate", PROFILES[self.profile][1]))
        for name in self._specs:
            self.start(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        for name in list(self._stopped):
            self.send(name, signal.SIGCONT)
        self._processes.stop(("controller", "vehicle_adapter", "simulator", "companion"))
        self.relay.__exit__(kind, value, trace)
        self.operator.close()
        self._node.destroy_node()
        self._bystander.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def remark(self, check: str, sentence: str) -> None:
        """Note that a check of an action failed."""
        self.remarks.append((check, sentence))

    # Processes

    @property
    def names(self) -> tuple[str, ...]:
        """Of the processes."""
        return tuple(self._specs)

    def start(self, name: str, **parameters: ParameterValue) -> None:
        """Start a process, with parameters on top of its own."""
        spec = self._specs[name]
        if name == "controller":
            parameters = {**PROFILES[self.profile][0], **parameters}
        self._processes.start(replace(spec, parameters={**spec.parameters, **parameters}))

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        self._processes.send(name, number)
        if number is signal.SIGSTOP:
            self._stopped.add(name)
        else:
            self._stopped.discard(name)

    def alive(self, name: str) -> bool:
        """Whether a process runs."""
        return self._processes.alive(name)

    def await_end(self, name: str) -> None:
        """Wait until a process that was told to end has."""
        self.until(lambda: not self.alive(name), 15.0)

    def memory(self, name: str) -> float:
        """Resident memory of a process, MB; 0 when there is none."""
        try:
            text = Path(f"/proc/{self._processes.pid(name)}/status").read_text(encoding="ascii")
        except OSError:
            return 0.0
        line = next((words for words in text.splitlines() if words.startswith("VmRSS")), "")
        return int(line.split()[1]) / 1024 if line else 0.0

    def restore_policy(self) -> None:
        """Put the good checkpoint in its place."""
        self.policy.write_bytes(self.good)

    # Flight

    def until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Listen until something is so; return whether it came to be."""
        end = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > end:
                return False
            self.operator.turn()
        return True

    def listen(self, seconds: float) -> None:
        """Listen for a while."""
        self.until(lambda: False, seconds)

    def let_pass(self, seconds: float, since: float) -> None:
        """Listen until so much simulated time has passed; steady time where that stands still."""
        simulated, stood, at = self.judge.heard.simulated, 0.0, since
        began_s = simulated[-1][1] if simulated else 0.0
        while stood + (simulated[-1][1] - began_s if simulated else 0.0) < seconds:
            self.operator.turn()
            now = time.monotonic()
            if not simulated or now - simulated[-1][0] > _STANDING_S:
                stood += now - at
            at = now

    def choose(self, profile: str) -> None:
        """Have the controller that a row needs: restart it, if it is another one."""
        if profile == self.profile:
            return
        self.profile = profile
        self.relay.order(Order("generate", PROFILES[profile][1]))
        self.send("controller", signal.SIGTERM)
        self.await_end("controller")
        self.start("controller")

    def fly(self) -> str:
        """Begin a flight, whatever was before; return what is in the way, or nothing."""
        self.relay.order(Order("lift"))
        self.relay.order(Order("generate", PROFILES[self.profile][1]))
        self.judge.be_deaf(False)
        for name in list(self._stopped):
            self.send(name, signal.SIGCONT)
        for name in self.names:
            if not self.alive(name):
                self.start(name)
        begun = time.monotonic()
        if not self._again(lambda: self.operator.trigger("simulator/reset")[0], begun):
            return "the simulator does not begin a flight"
        if self.judge.mode in ("fault", ""):
            self.operator.trigger("controller/reset")
        if not self.engage(_PATIENCE_S - (time.monotonic() - begun)):
            return f"the controller does not engage: {self.said}"
        since = time.monotonic()
        # Again: it may have been granted just before the controller learned of the new flight.
        for _ in range(_ATTEMPTS):
            if self.until(lambda: flies(self.judge.heard, since), _FLIES_S):
                return ""
            self.engage(_FLIES_S)
        return (f"it does not fly: {self.judge.mode}, {self.judge.reason}; {self.judge.troubles}; "
                f"{self._lately()}")

    def _lately(self) -> str:
        """Say what has been heard in the last second, for whoever looks for the cause."""
        heard, since = self.judge.heard, time.monotonic() - 1.0
        said = [c for c in heard.commands if c.at > since]
        passed = [c for c in heard.vehicle if c.at > since]
        times = [s for at, s in heard.simulated if at > since]
        return (f"within a second {len(said)} commands ({said[-1:]}), {len(passed)} passed on, "
                f"time {times[:1]} to {times[-1:]}")

    def engage(self, patience_s: float) -> bool:
        """Call ``~/engage`` until it is granted and has been seen."""
        self.said = ""

        def engaged() -> bool:
            done, said = self.operator.trigger("controller/engage", 1.0)
            self.said = said or self.said
            return done
        return self._again(engaged, time.monotonic(), patience_s)

    def flies_again(self, patience_s: float) -> float | None:
        """Seconds until it flies, from now; None when it does not."""
        since = time.monotonic()
        if not self.until(lambda: flies(self.judge.heard, since), patience_s):
            return None
        return time.monotonic() - since

    def _again(self, action: Callable[[], bool], since: float,
               patience_s: float = _PATIENCE_S) -> bool:
        """Try until it is done."""
        while not action():
            if time.monotonic() - since > patience_s:
                return False
            dead = [name for name in self.names if not self.alive(name)]
            if dead:
                raise LnnError(f"the {dead[0]} ended by itself: see "
                               f"{self.folder / 'logs' / dead[0]}.log")
            self.listen(_AGAIN_S)
        return True

    def _table(self, seed: int, folder: Path) -> dict[str, Staged]:
        """Return the table's processes, the simulator behind the relay."""
        options = NodeOptions(policy=str(self.policy), seed=seed, record=True,
                              bag_folder=str(folder / "recording"), log_level="info")
        found = {}
        for spec in nodes(options):
            words: tuple[str, ...] = ()
            more: dict[str, ParameterValue] = {}
            if spec.name == "simulator":
                words = tuple(word for name in RELAYED
                              for word in ("-r", f"{name}:={_unspoiled(name)}"))
            elif spec.name == "controller":
                more = {**LIMITS, "engage": False}
            found[spec.name] = Staged.of(spec, self._launchers.get(spec.name, ""), words, **more)
        return found


def _unspoiled(topic: str) -> str:
    return f"/{PREFIX}{topic}" if topic.startswith("/") else f"{PREFIX}/{topic}"


def temporary() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for a stage that is of no use afterwards."""
    return tempfile.TemporaryDirectory(prefix="lnn_ros_faults_")
