"""The companion: records every topic of the run."""

from __future__ import annotations

from lnn_ros.nodes import environment  # first: before numpy is loaded

# isort: split
import struct
import time
from collections.abc import Sequence
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.service import Service
from rclpy.timer import Timer
from std_srvs.srv import SetBool

from lnn_ros.errors import LnnError
from lnn_ros.nodes import process, qos
from lnn_ros.nodes.diagnostics import ERROR, OK, Complaints, status
from lnn_ros.nodes.lifecycle import ManagedNode
from lnn_ros.nodes.settings import CompanionSettings
from lnn_ros.nodes.topics import Topics
from lnn_ros.recording import Recording

_DRAIN_S = 0.05
_FLUSH_S = 0.35  # with a drain and a flush's own time on top, half a second is never lost
_DISCOVER_S = 0.2
_STATUS_S = 1.0


class Companion(ManagedNode[CompanionSettings]):
    """Record every topic, raw, into a rosbag2, while asked to.

    The log time of a message is the ROS time at which it arrived here: the system's clock, or with
    ``use_sim_time`` the newest ``/clock`` message that had arrived by then (0 before the first).
    """

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._problem = ""
        self._simulated_ns = 0
        self._folder = Path()
        self._timer: Timer | None = None
        self._service: Service | None = None
        super().__init__("companion", CompanionSettings)
        self._complaints = Complaints(self.get_logger())
        self._topics = Topics(self, self._complaints)
        self._status = self.create_publisher(DiagnosticStatus, "~/status", qos.LATCHED)

    def configure(self, settings: CompanionSettings) -> None:
        """Open the service."""
        self._service = self.create_service(SetBool, "~/record", self._on_record)

    def activate(self) -> None:
        """Begin to record, if the parameter says so."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._flushed = self._discovered = self._said = time.monotonic()
        self._timer = self.create_timer(_DRAIN_S, self._on_timer, clock=steady)
        if self.parameters.settings().record:
            self._begin()

    def deactivate(self) -> None:
        """Complete the recording."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        self._end()

    def cleanup(self) -> None:
        """Close the service."""
        if self._service is not None:
            self.destroy_service(self._service)
            self._service = None

    def changed(self, problem: str) -> None:
        """Say where the node stands."""
        self._problem = problem
        self._say_status()

    def fail(self, error: Exception) -> None:
        """Give up the recording (a full disk, say), live on."""
        self._problem = f"recording ended: {type(error).__name__}: {error}"
        try:
            self._end()
        except Exception as again:
            self.get_logger().error(f"the recording could not be completed: {again}")
        self._say_status()

    def _on_record(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            if not self.active:
                raise LnnError("record refused: the companion is not active")
            if request.data:
                self._begin()
            else:
                self._end()
        except (LnnError, OSError) as error:
            response.message = str(error)
            self.get_logger().warning(response.message)
            return response
        response.success = True
        response.message = f"recording {self._recording.path}" if self._recording else "stopped"
        return response

    def _begin(self) -> None:
        """Start a recording, unless there is one."""
        if self._recording is not None:
            return
        folder = self.parameters.settings().folder
        try:
            self._folder = Path(folder).expanduser().absolute()
        except RuntimeError as error:  # whose home?
            raise LnnError(f"parameter folder is {folder!r}: {error}") from error
        self._recording = Recording(self._folder)
        self._problem = ""
        self._simulated_ns = 0
        self.get_logger().info(f"recording {self._recording.path}")
        self._discover()
        self._say_status()

    def _end(self) -> None:
        """Complete the recording, if there is one."""
        if self._recording is None:
            return
        try:
            self._write()
        finally:
            recording, self._recording = self._recording, None
            self._topics.close()
            recording.close()
            self.get_logger().info(f"recorded {sum(recording.counts.values())} messages of "
                                   f"{len(recording.counts)} topics: {recording.path}")
            self._say_status()

    def _on_timer(self) -> None:
        now = time.monotonic()
        if self._recording is not None:
            self._write()
            if now - self._flushed >= _FLUSH_S:
                self._recording.flush()
                self._flushed = now
            if now - self._discovered >= _DISCOVER_S:
                self._discover()
                self._discovered = now
        if now - self._said >= _STATUS_S:
            self._say_status()

    def _discover(self) -> None:
        """Subscribe new topics and announce them to the bag."""
        for found in self._topics.discover():
            assert self._recording is not None
            try:
                self._recording.add_topic(found.name, found.kind, found.offered)
            except LnnError as error:
                self._topics.refuse(found.name)
                self._complaints.report(found.name, "refused", f"not recorded: {error}")

    def _write(self) -> None:
        """Write what has arrived, in order of arrival."""
        simulated = bool(self.get_parameter("use_sim_time").value)
        for arrival_ns, topic, payload in self._topics.take():
            assert self._recording is not None
            if simulated and topic == "/clock":
                self._on_clock(payload)
            self._recording.write(topic, self._simulated_ns if simulated else arrival_ns, payload)

    def _on_clock(self, payload: bytes) -> None:
        """Follow the simulated clock."""
        try:
            clock_ns = _clock_ns(payload)
        except (struct.error, IndexError):
            self._complaints.report("/clock", "undecodable", f"{len(payload)} bytes are no Clock")
            return
        self._complaints.fine("/clock")
        if clock_ns < self._simulated_ns:
            self._begin_anew()
        self._simulated_ns = clock_ns

    def _begin_anew(self) -> None:
        """Go on in another bag: in one, the times of two episodes would lie on each other."""
        assert self._recording is not None
        self._recording.close()
        self._recording = Recording(self._folder)
        for found in self._topics.found():
            self._recording.add_topic(found.name, found.kind, found.offered)
        self.get_logger().info(f"time went back: recording {self._recording.path}")

    def _say_status(self) -> None:
        self._said = time.monotonic()
        recording = self._recording
        values: dict[str, object] = {"recording": str(recording is not None).lower()}
        text = self._problem or ("idle" if self.active else "not active")
        if recording is not None:
            text = "recording"
            values.update({"bag": recording.path, "topics": len(self._topics.found()),
                           "messages": sum(recording.counts.values()), "bytes": recording.size})
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
