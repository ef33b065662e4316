"""The companion: records every topic of the run, and what came before something happened."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.serialization import deserialize_message
from rclpy.service import Service
from rclpy.timer import Timer
from std_srvs.srv import SetBool, Trigger

from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import ERROR, OK, Complaints, status
from lnn_ros.nodes.finetuning import Finetuning
from lnn_ros.nodes.lifecycle import ManagedNode
from lnn_ros.nodes.settings import CompanionSettings
from lnn_ros.nodes.topics import Topics
from lnn_ros.recorder import Recorder, Rules, Topic

_DRAIN_S = 0.05
_DISCOVER_S = 0.2
_STATUS_S = 1.0
_STATUS, _TRACE = "diagnostic_msgs/msg/DiagnosticStatus", "diagnostic_msgs/msg/DiagnosticArray"


class Companion(ManagedNode[CompanionSettings]):
    """Record topics, raw, into a rosbag2, while asked to or because something happens.

    The log time of a message is the ROS time at which it arrived here: the system's clock, or with
    ``use_sim_time`` the newest ``/clock`` message that had arrived by then (0 before the first).
    """

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._finetuning: Finetuning | None = None
        self._problem = ""
        self._simulated_ns = 0
        self._timer: Timer | None = None
        self._services: list[Service] = []
        super().__init__("companion", CompanionSettings)
        self._complaints = Complaints(self.get_logger())
        self._topics = Topics(self, self._complaints)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)

    def configure(self, settings: CompanionSettings) -> None:
        """Complete what was cut short, and open the services."""
        try:
            folder = Path(settings.folder).expanduser().absolute()
        except RuntimeError as error:  # whose home?
            raise LnnError(f"parameter folder is {settings.folder!r}: {error}") from error
        rules = Rules(settings.preroll_s, settings.preroll_mb, settings.after_s, settings.split_mb,
                      settings.split_s, settings.quota_mb, settings.reserve_mb)
        self._recorder = Recorder(folder, rules, self.get_logger().info, settings.robot)
        self._topics.choose(settings.topics.split())
        self._recorder.mend()
        self._finetuning = Finetuning(self, settings.finetune, folder)
        for kind, name, action in (
            (SetBool, "record", self._record), (SetBool, "pause", self._pause),
            (Trigger, "split", self._split), (Trigger, "mark", self._mark),
            (SetBool, "finetune", self._finetune),
        ):
            self._services.append(self.create_service(kind, f"~/{name}", self._answering(action)))

    def activate(self) -> None:
        """Begin to record, or to remember."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._discovered = self._said = time.monotonic()
        self._timer = self.create_timer(_DRAIN_S, self._on_timer, clock=steady)
        self._simulated_ns = 0
        if self.parameters.settings().record:
            self._begin()

    def deactivate(self) -> None:
        """Complete the recording."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if self._finetuning is not None:
            self._finetuning.stop()
        self._end()
        self._topics.close()

    def cleanup(self) -> None:
        """Close the services."""
        while self._services:
            self.destroy_service(self._services.pop())
        if self._finetuning is not None:
            self._finetuning.close()
            self._finetuning = None
        self._recorder = None

    def changed(self, problem: str) -> None:
        """Say where the node stands."""
        self._problem = problem
        self._say_status()

    def fail(self, error: Exception) -> None:
        """Give up the recording (a full disk, say), live on."""
        said = str(error) if isinstance(error, LnnError) else f"{type(error).__name__}: {error}"
        self._problem = f"recording ended: {said.removeprefix('recording ended: ')}"
        self.get_logger().error(self._problem)
        try:
            if self._recorder is not None:
                self._recorder.end()
        except Exception as again:
            self.get_logger().error(f"the recording could not be completed: {again}; the next "
                                    f"start will")
        self._say_status()

    # Services

    def _record(self, on: bool) -> str:
        self._ready("record")
        if on:
            return f"recording {self._begin()}"
        self._end()
        return "stopped"

    def _pause(self, on: bool) -> str:
        recorder = self._ready("pause")
        self._take()  # by the state until now
        recorder.pause(on)
        self._say_status()
        return "paused" if on else "recording"

    def _split(self) -> str:
        recorder = self._ready("split")
        self._take()
        recorder.split(time.monotonic())
        assert recorder.recording is not None
        return f"goes on in file {recorder.recording.files} of {recorder.recording.path}"

    def _mark(self) -> str:
        self._ready("mark")
        self._take()
        return f"kept in {self._keep('marked by service')}"

    def _finetune(self, on: bool) -> str:
        recorder = self._ready("finetune")
        assert self._finetuning is not None
        if not on:
            return self._finetuning.stop()
        self._take()
        recorder.begin_anew(self._now_ns(), time.monotonic())  # what is there can be read now
        return self._finetuning.start()

    def _ready(self, what: str) -> Recorder:
        if not self.active or self._recorder is None:
            raise LnnError(f"{what} refused: the companion is not active")
        return self._recorder

    def _answering(self, action: Callable[..., str]) -> Callable[..., Any]:
        """Make a service callback: what a person can correct is an answer."""
        def callback(request: Any, response: Any) -> Any:
            recorded = self._recorder is not None and self._recorder.recording is not None
            try:
                asked = (request.data,) if isinstance(request, SetBool.Request) else ()
                response.message = action(*asked)
                response.success = True
            except (LnnError, OSError) as error:
                response.message = str(error)
                self.get_logger().warning(response.message)
                if recorded and self._recorder is not None and self._recorder.recording is None:
                    self._problem = response.message
                    self._say_status()
            return response
        return callback

    # What is due

    def _on_timer(self) -> None:
        now, recorder = time.monotonic(), self._recorder
        assert recorder is not None
        listens = recorder.recording is not None or self.parameters.settings().preroll_s > 0
        if listens:
            self._take()
            if now - self._discovered >= _DISCOVER_S:
                self._discover()
                self._discovered = now
        elif self._topics.found():
            self._topics.close()
        was = recorder.recording
        recorder.tick(now)
        if self._finetuning is not None:
            self._finetuning.tick()
            if self._finetuning.due(self.parameters.settings().finetune.after_takeovers):
                try:
                    self._finetune(True)
                except (LnnError, OSError) as error:
                    self._finetuning.fail(str(error))
        if now - self._said >= _STATUS_S or recorder.recording is not was:
            self._say_status()

    def _begin(self) -> Path:
        """Record from now on."""
        recorder = self._recorder
        assert recorder is not None
        if recorder.recording is None or recorder.paused:
            self._take()  # what came before, so that it is not in it
            self._discover()
        path = recorder.begin(self._now_ns(), time.monotonic()).path
        self._problem = ""
        self._say_status()
        return path

    def _end(self) -> None:
        """Complete the recording, if there is one."""
        if self._recorder is None:
            return
        try:
            self._take()
        finally:
            self._recorder.end()
            self._say_status()

    def _discover(self) -> None:
        """Subscribe new topics and announce them."""
        assert self._recorder is not None
        for found in self._topics.discover():
            try:
                self._recorder.announce(Topic(found.name, found.kind, found.offered, found.latched))
            except LnnError as error:
                self._topics.refuse(found.name)
                self._complaints.report(found.name, "refused", f"not recorded: {error}")

    def _take(self) -> None:
        """Hand on what has arrived, in order of arrival."""
        recorder = self._recorder
        assert recorder is not None
        simulated = bool(self.get_parameter("use_sim_time").value)
        now = time.monotonic()
        for arrival_ns, topic, payload in self._topics.take():
            if simulated and topic == "/clock":
                self._on_clock(payload)
            log_ns = self._simulated_ns if simulated else arrival_ns
            recorder.write(topic, log_ns, payload, now)
            kind = self._topics.kind(topic)
            if kind == _STATUS and topic.endswith("/status"):
                self._on_status(topic, log_ns, payload)
            elif kind == _TRACE and topic.endswith("/trace") and b"settings" in payload:
                self._on_trace(payload)

    def _on_clock(self, payload: bytes) -> None:
        """Follow the simulated clock."""
        assert self._recorder is not None
        try:
            clock_ns = _clock_ns(payload)
        except (struct.error, IndexError):
            self._complaints.report("/clock", "undecodable", f"{len(payload)} bytes are no Clock")
            return
        self._complaints.fine("/clock")
        back, self._simulated_ns = clock_ns < self._simulated_ns, clock_ns
        if back:
            self._recorder.begin_anew(clock_ns, time.monotonic())

    def _on_status(self, topic: str, log_ns: int, payload: bytes) -> None:
        """Take note of who flies, and keep what happens."""
        assert self._recorder is not None
        try:
            message = deserialize_message(payload, DiagnosticStatus)
        except Exception:  # whatever a hostile payload provokes; it is recorded as it is
            self._complaints.report(topic, "undecodable", f"{len(payload)} bytes are no status")
            return
        values = {pair.key: pair.value for pair in message.values}
        takeovers = self._recorder.episode.takeovers
        happened = self._recorder.episode.status(topic.rpartition("/")[0], log_ns, values)
        if self._finetuning is not None and self._recorder.episode.takeovers > takeovers:
            self._finetuning.takeover()
        if happened and (self._recorder.recording is not None
                         or self.parameters.settings().preroll_s > 0):
            try:
                self._keep(happened)
            except (LnnError, OSError) as error:
                self._complaints.report("recording", "refused", str(error))

    def _on_trace(self, payload: bytes) -> None:
        assert self._recorder is not None
        try:
            message = deserialize_message(payload, DiagnosticArray)
        except Exception:
            return  # as above, and there is one every second
        for told in message.status:
            for pair in told.values:
                if pair.key == "settings" and pair.value:
                    self._recorder.episode.settings(pair.value)

    def _keep(self, why: str) -> Path:
        assert self._recorder is not None
        path = self._recorder.mark(why, self._now_ns(), time.monotonic()).path
        self._problem = ""
        self._say_status()
        return path

    def _now_ns(self) -> int:
        """Return the log time of now."""
        simulated = bool(self.get_parameter("use_sim_time").value)
        return self._simulated_ns if simulated else time.time_ns()

    def _say_status(self) -> None:
        self._said = time.monotonic()
        recorder = self._recorder
        recording = None if recorder is None else recorder.recording
        values: dict[str, object] = {"recording": str(recording is not None).lower()}
        text = self._problem or ("idle" if self.active else "not active")
        if recorder is not None and recording is not None:
            text = "paused" if recorder.paused else "recording"
            values.update({"bag": recording.path, "topics": len(self._topics.found()),
                           "messages": sum(recording.counts.values()), "bytes": recording.size,
                           "files": recording.files, "lost": sum(self._topics.lost.values()),
                           "marked": str(recorder.episode.marked).lower()})
            values.update({f"lost.{name}": n for name, n in self._topics.lost.items() if n})
        values.update(self._complaints.counts)
        self._status.publish(status(f"{self.get_name()}: status", ERROR if self._problem else OK,
                                    text, values))


def _clock_ns(payload: bytes) -> int:
    """Return the time in a serialized ``rosgraph_msgs/Clock``: two integers after the header."""
    order = "<" if payload[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", payload, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node; the exit status is 0 after SIGINT or SIGTERM."""
    environment.use_dds_profile("robot.xml")
    return process.run(Companion, args)


if __name__ == "__main__":
    raise SystemExit(main())
