"""A bench for tests of processes over DDS: start nodes, watch and feed them from outside.

The bench is a ROS node in the test's own process: it sees what any other process on the network
would see, and outlives the nodes under test. Nothing sleeps: everything awaits an event, and fails
with the nodes' logs when the event does not come.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mcap.exceptions
import mcap.records
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from mcap.stream_reader import StreamReader
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from lnn_ros.nodes import environment

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 40.0  # s; far more than anything takes, so that a busy machine fails no test
POLITE = 10.0  # s, after which a process that was told to end is killed
ASK_AGAIN = 1.0  # s, after which a question whose answer may have been lost is put again

RELIABLE = QoSProfile(depth=10_000, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=10_000, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Domain:
    """A ROS_DOMAIN_ID of one's own: no other test on this machine has it meanwhile."""

    def __init__(self) -> None:
        folder = Path("/tmp/lnn_ros_test_domains")
        folder.mkdir(exist_ok=True)
        # Those above 101 would use ports that Linux gives to any program.
        for number in random.SystemRandom().sample(range(1, 102), 101):
            self._lock = open(folder / str(number), "w")  # noqa: SIM115  (held while in use)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("", 7400 + 250 * number + 10))
            except OSError:
                self._lock.close()
                continue
            self.number = number
            return
        raise RuntimeError("every ROS_DOMAIN_ID is in use")

    def release(self) -> None:
        """Give the number back."""
        self._lock.close()


class Process:
    """A node in a process of its own."""

    def __init__(self, name: str, command: list[str], env: dict[str, str], log: Path) -> None:
        self.name, self._log = name, log
        with log.open("ab") as file:
            self._process = subprocess.Popen(command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL,
                                             stdout=file, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Await its end; return the exit status."""
        return self._process.wait(PATIENCE)

    def ask_to_end(self) -> None:
        """Tell it to end, if it runs."""
        if self.alive:
            self._process.terminate()

    def end(self) -> None:
        """Await its end, and at last end it by force."""
        try:
            self._process.wait(POLITE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bench:
    """Processes under test, and a node that watches and feeds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._domain = Domain()
        self._context = Context()
        environment.use_dds_profile("simulator.xml")  # acknowledge at once
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        rclpy.init(context=self._context, domain_id=self._domain.number,
                   signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node("bench", context=self._context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)

    def close(self) -> None:
        """End everything.

        Politely: a process that is killed while it writes into this one's shared memory may take
        Fast DDS down here, too, when the bench's own port is closed.
        """
        for process in self.processes:
            process.ask_to_end()
        for process in self.processes:
            process.end()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)
        self._domain.release()

    def start(self, executable: str, **parameters: object) -> Process:
        """Start a node of the package; double underscores in names become dots."""
        return self.run(executable, "-m", f"lnn_ros.nodes.{executable}", **parameters)

    def run(self, name: str, *words: str, **parameters: object) -> Process:
        """Start a Python program as a node, with parameters as for :meth:`start`."""
        command = [sys.executable, *words, "--ros-args"]
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{key.replace('__', '.')}:={text}"]
        env = self._environment()
        log = self.folder / f"{name}_{len(self.processes)}.log"
        process = Process(name, command, env, log)
        self.processes.append(process)
        return process

    def tool(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a subcommand of ``lnn_ros`` to its end."""
        return subprocess.run([sys.executable, "-m", "lnn_ros.cli", *words], cwd=ROOT, text=True,
                              env=self._environment(), capture_output=True, check=False)

    def _environment(self) -> dict[str, str]:
        """Return what the processes are started with."""
        profiles = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
        env = {key: value for key, value in os.environ.items() if key not in profiles}
        return {**env, "ROS_DOMAIN_ID": str(self._domain.number), "PYTHONUNBUFFERED": "1",
                "RCUTILS_COLORIZED_OUTPUT": "0"}

    def collect(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> list:
        """Return a list that grows with every message on a topic."""
        found: list = []
        self.node.create_subscription(kind, topic, found.append, qos)
        return found

    def publisher(self, kind: type, topic: str, qos: QoSProfile = RELIABLE, readers: int = 1):
        """Return a publisher that somebody listens to."""
        publisher = self.node.create_publisher(kind, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= readers, f"a reader of {topic}")
        return publisher

    def spin(self, seconds: float = 0.02) -> None:
        """Serve what comes in for at most this long."""
        self._executor.spin_once(timeout_sec=seconds)

    def until(self, condition: Callable[[], object], what: str,
              meanwhile: Callable[[], None] | None = None) -> None:
        """Serve what comes in until a condition holds."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(f"--- {p.name} ({'alive' if p.alive else 'ended'})\n{p.log}"
                                 for p in self.processes)
                raise AssertionError(f"waited {PATIENCE} s in vain for {what}\n{logs}")
            if meanwhile is not None:
                meanwhile()
            self.spin()

    def introduce(self, node: str, meanwhile: Callable[[], None] | None = None) -> None:
        """Await that a node knows every reader that the bench has made so far.

        To have discovered a node is not to have been discovered by it. Until it has, what it
        publishes does not come, and an answer of its services is thrown away after 100 ms (by
        rmw_fastrtps, which has the request, but nobody to send the answer to).

        The node learns of the bench's readers reliably and in the order in which they were made.
        So if it answers to a new one, it knows all the others. That first answer may be lost like
        any other: the question is put again, which changes nothing, as it asks for nothing.
        """
        client = self.node.create_client(GetParameters, f"{node}/get_parameters")
        self.until(client.service_is_ready, f"node {node}", meanwhile)
        questions: list[Future] = []
        again = 0.0

        def answered() -> bool:
            nonlocal again
            if time.monotonic() >= again:
                questions.append(client.call_async(GetParameters.Request()))
                again = time.monotonic() + ASK_AGAIN
            return any(question.done() for question in questions)

        self.until(answered, f"an answer of {node}", meanwhile)
        self.node.destroy_client(client)

    def call(self, kind: type, service: str, request: object,
             meanwhile: Callable[[], None] | None = None):
        """Call a service, named after its node; return its response."""
        client = self.node.create_client(kind, service)
        self.until(client.service_is_ready, f"service {service}", meanwhile)
        # Once more would not do for a request whose answer was lost: it has been carried out.
        self.introduce(service.rpartition("/")[0], meanwhile)
        future = client.call_async(request)
        self.until(future.done, f"an answer of {service}", meanwhile)
        self.node.destroy_client(client)
        return future.result()

    def trigger(self, service: str, meanwhile: Callable[[], None] | None = None):
        """Call a Trigger service."""
        return self.call(Trigger, service, Trigger.Request(), meanwhile)

    def set_bool(self, service: str, value: bool):
        """Call a SetBool service."""
        return self.call(SetBool, service, SetBool.Request(data=value))

    def transition(self, node: str, transition: int) -> bool:
        """Ask for a lifecycle transition; say whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return self.call(ChangeState, f"{node}/change_state", request).success

    def state(self, node: str) -> str:
        """Return a node's lifecycle state."""
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label

    def set_parameters(self, node: str, **values: object) -> SetParametersResult:
        """Set parameters, all or none; double underscores in names become dots."""
        request = SetParametersAtomically.Request(parameters=[
            Parameter(key.replace("__", "."), value=value).to_parameter_msg()
            for key, value in values.items()])
        return self.call(SetParametersAtomically, f"{node}/set_parameters_atomically",
                         request).result

    def get_parameter(self, node: str, name: str):
        """Return the value of a parameter, as a message."""
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, f"{node}/get_parameters", request).values[0]


def pairs(status) -> dict[str, str]:
    """Return the key-values of a DiagnosticStatus."""
    return {pair.key: pair.value for pair in status.values}


def vector(command) -> tuple[float, float, float, float]:
    """Return the numbers of a TwistStamped."""
    linear, angular = command.twist.linear, command.twist.angular
    return linear.x, linear.y, linear.z, angular.z


def is_zero(command) -> bool:
    """Tell whether a TwistStamped stops the vehicle: all six numbers, not only those we use."""
    linear, angular = command.twist.linear, command.twist.angular
    return not any((linear.x, linear.y, linear.z, angular.x, angular.y, angular.z))


def read_cut(bag: Path) -> dict[str, list[bytes]]:
    """Return payloads by topic as far as a file without an end goes, read from the front."""
    found: dict[str, list[bytes]] = {}
    channels: dict[int, str] = {}
    (file,) = bag.glob("*.mcap")
    with file.open("rb") as stream:
        try:
            for record in StreamReader(stream).records:
                if isinstance(record, mcap.records.Channel):
                    channels[record.id] = record.topic
                elif isinstance(record, mcap.records.Message):
                    found.setdefault(channels[record.channel_id], []).append(record.data)
        except mcap.exceptions.McapError:  # the end of a file that was cut short
            pass
    return found
