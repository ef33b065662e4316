# ruff: noqa: E402 - threads must be limited before numpy is imported
"""How old a command is when it arrives, live over DDS, beside a bare rclpy echo in the same run.

    python benchmark/node_latency.py [--policy FILE] [--seconds S] [--json FILE]

Four processes: a source of images (20 Hz, 64 x 48 and then 640 x 480, rgb8) and IMU samples
(200 Hz), each stamped just before it is published; the controller, engaged, which flies by them;
the echo, a node of nothing but rclpy that subscribes the same two topics and publishes a
TwistStamped by the same rule as the controller (one when an image has come, one a period of 1/30 s
after the last one); and this one, which notes when the middleware has received each command.

The age of a command is the time from the stamp of the newest image behind it (which the controller
tells in ~/trace, and the echo in the command's own stamp) until the command has been received.
Commands that answer an image are counted by themselves: they are what latency is about. Those of
the timer rest on an image that is a period old, whoever sends them; were all thrown together,
the median would say how many there are of each kind, not how fast anybody is. ``ratio_p50`` is
the controller's median over the echo's, of the commands that answer an image, as the echo's own
default middleware settings and the controller's (config/dds/robot.xml) have it.

What the echo does not do is in the ratio: the controller makes the frame that the policy was
trained with, and steps encoder, network and guard before it commands. Both share the machine with
the source and each other. CPU is user and system time of the process over the measured time, in
per cent of one core; RSS is resident memory at the end; the start-up time is that from the start of
the process to its first command, sensors being there already. Goals: ratio at most 1.5, CPU at
most 10 %, RSS at most 120 MB. Nothing is left out: where images are lost on the way (best effort,
large), ``answered`` says how many were answered.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, Imu

from lnn_ros import messages
from lnn_ros.learning.jobs import provenance
from lnn_ros.nodes.draining import Drain, DrainedGroup
from lnn_ros.nodes.supervision import environment, free_domain

SIZES = ((64, 48), (640, 480))
CAMERA_HZ, IMU_HZ, RATE_HZ = 20.0, 200.0, 30.0
WARM_UP_S = 3.0
GOALS = {"ratio_p50": 1.5, "cpu_percent": 10.0, "rss_mb": 120.0}
_TICKS = os.sysconf("SC_CLK_TCK")
_HOVER = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 9.81])


def source(width: int, height: int) -> None:
    """Publish images and IMU samples until ended."""
    node = Node("source", enable_rosout=False, start_parameter_services=False)
    sensor = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    images, imu = (node.create_publisher(kind, topic, sensor)
                   for kind, topic in ((Image, "image"), (Imu, "imu")))
    picture, reading = Image(), Imu()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    messages.fill_image(picture, pixels, 1, "camera")
    messages.fill_imu(reading, _HOVER, 1, "base_link")
    due = {"camera": time.monotonic(), "imu": time.monotonic()}
    while True:
        now = time.monotonic()
        if now >= due["imu"]:
            messages.set_time(reading.header.stamp, time.time_ns())
            imu.publish(reading)
            due["imu"] += 1.0 / IMU_HZ
        if now >= due["camera"]:
            messages.set_time(picture.header.stamp, time.time_ns())
            images.publish(picture)
            due["camera"] += 1.0 / CAMERA_HZ
        time.sleep(max(0.0, min(due.values()) - time.monotonic()))


def echo() -> None:
    """Answer every image, and the newest one again when nothing has come for a period."""
    node = Node("echo", enable_rosout=False, start_parameter_services=False)
    commands = node.create_publisher(TwistStamped, "echo", 10)
    command = TwistStamped()
    command.header.frame_id = "base_link"

    def on_image(image: Image) -> None:
        command.header.stamp = image.header.stamp
        commands.publish(command)
        timer.reset()

    def on_timer() -> None:
        if command.header.stamp.sec:
            commands.publish(command)

    timer = node.create_timer(1.0 / RATE_HZ, on_timer,
                              clock=Clock(clock_type=ClockType.STEADY_TIME))
    best_effort = ReliabilityPolicy.BEST_EFFORT
    node.create_subscription(Image, "image", on_image,
                             QoSProfile(depth=10, reliability=best_effort))
    node.create_subscription(Imu, "imu", lambda _: None,
                             QoSProfile(depth=1000, reliability=best_effort))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()


class Run:
    """One size of images: processes, and what is received from them."""

    def __init__(self, size: tuple[int, int], policy: str) -> None:
        domain = free_domain()
        self._env = environment(domain)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.commands: list[tuple[int, int]] = []  # received, stamp
        self.echoes: list[tuple[int, int]] = []
        self.images: dict[int, int] = {}  # command's stamp -> stamp of the newest image behind it
        rclpy.init(domain_id=domain)
        node = Node("sink", enable_rosout=False, start_parameter_services=False)
        group, many = DrainedGroup(), QoSProfile(depth=5000)
        self._drains = [Drain(node, kind, topic, many, group) for kind, topic in (
            (TwistStamped, "cmd_vel"), (TwistStamped, "echo"), (DiagnosticArray,
                                                                "controller/trace"))]
        self._node = node
        me = [sys.executable, str(Path(__file__).resolve())]
        self._start("source", [*me, "--role", f"source:{size[0]}x{size[1]}"])
        self._start("echo", [*me, "--role", "echo"])
        began = time.monotonic()
        self._start("controller", [
            sys.executable, "-m", "lnn_ros.nodes.controller", "--ros-args",
            *(word for name, value in (("policy", policy), ("engage", "true"),
                                       ("rate_hz", RATE_HZ), ("camera.info", "false"),
                                       ("camera.fov_deg", 90.0),
                                       # There is no vehicle that says anything.
                                       ("modes.require_airborne", "false"),
                                       ("modes.require_velocity_mode", "false"))
              for word in ("-p", f"{name}:={value}"))])
        self._until(lambda: bool(self.commands), "the controller's first command")
        self.start_up_s = time.monotonic() - began
        self._until(lambda: bool(self.images) and bool(self.echoes), "an image's answer")

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(20.0)
        self._node.destroy_node()
        rclpy.shutdown()

    def forget(self) -> None:
        """Drop what has been received."""
        self.commands.clear()
        self.echoes.clear()
        self.images.clear()

    def measure(self, seconds: float) -> dict[str, Any]:
        """Return what is found in so many seconds."""
        self._for(WARM_UP_S)
        begin_ns, cpu = time.time_ns(), {name: self._cpu(name) for name in self._processes}
        began = time.monotonic()
        self._for(seconds)
        end_ns, elapsed = time.time_ns(), time.monotonic() - began
        spent = {name: 100.0 * (self._cpu(name) - cpu[name]) / elapsed for name in cpu}
        self._for(0.5)  # what was on its way
        found: dict[str, Any] = {
            "images": round(elapsed * CAMERA_HZ), "start_up_s": round(self.start_up_s, 3)}
        traced = [(received, self.images[stamp]) for received, stamp in self.commands
                  if self.images.get(stamp)]
        for name, pairs in (("controller", traced), ("echo", self.echoes)):
            ages = _ages([(a, b) for a, b in pairs if begin_ns <= a < end_ns])
            found[name] = {**ages, "cpu_percent": round(spent[name], 2),
                           "rss_mb": round(self._rss_mb(name), 1)}
        found["ratio_p50"] = round(found["controller"]["answers_ms"]["p50"]
                                   / found["echo"]["answers_ms"]["p50"], 3)
        found["ratio_p99"] = round(found["controller"]["answers_ms"]["p99"]
                                   / found["echo"]["answers_ms"]["p99"], 3)
        return found

    def _start(self, name: str, command: list[str]) -> None:
        self._processes[name] = subprocess.Popen(  # nosec B603  # a list of words, no shell
            command, env=self._env, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _poll(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with status {process.returncode}")
        for drain, found in zip(self._drains[:2], (self.commands, self.echoes), strict=True):
            for payload, received_ns in drain.take():
                stamp = messages.time_ns(deserialize_message(payload, TwistStamped).header.stamp)
                found.append((received_ns, stamp))
        for payload, _ in self._drains[2].take():
            trace = deserialize_message(payload, DiagnosticArray)
            values = {pair.key: pair.value for pair in trace.status[0].values}
            self.images[messages.time_ns(trace.header.stamp)] = int(values["camera.stamp_ns"])

    def _until(self, condition: Any, what: str) -> None:
        end = time.monotonic() + 60.0
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited 60 s in vain for {what}")
            self._poll()
            time.sleep(0.005)

    def _for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._poll()
            time.sleep(0.1)

    def _cpu(self, name: str) -> float:
        """Seconds of CPU that a process has used."""
        text = Path(f"/proc/{self._processes[name].pid}/stat").read_text()
        return sum(map(int, text.rpartition(")")[2].split()[11:13])) / _TICKS

    def _rss_mb(self, name: str) -> float:
        lines = Path(f"/proc/{self._processes[name].pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _ages(pairs: list[tuple[int, int]]) -> dict[str, Any]:
    """Ages of commands (received, stamp of the image), ns: of first answers, and of all."""
    answers, seen = [], set()
    for received, image in pairs:
        if image not in seen:
            answers.append(received - image)
            seen.add(image)
    everything = [received - image for received, image in pairs]
    return {"commands": len(pairs), "answered": len(answers),
            "answers_ms": _quantiles(answers), "all_commands_ms": _quantiles(everything)}


def _quantiles(ages_ns: list[int]) -> dict[str, float]:
    ages = np.array(ages_ns, np.float64) / 1e6
    return {f"p{q}": round(float(np.percentile(ages, q)), 4) for q in (50, 90, 99)}


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="fly_to_target",
                        help="name of a policy that ships, or path of a .safetensors file")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured per size of images")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results here")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        rclpy.init()
        try:
            if args.role == "echo":
                echo()
            else:
                width, height = map(int, args.role.partition(":")[2].split("x"))
                source(width, height)
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        return 0
    policy = (str(Path(args.policy).resolve()) if args.policy.endswith(".safetensors")
              else args.policy)
    results: dict[str, Any] = {}
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        with Run(size, policy) as run:
            found = results[name] = run.measure(args.seconds)
        for who in ("controller", "echo"):
            row = found[who]
            print(f"{name} {who}: answers p50 {row['answers_ms']['p50']:.2f} ms, "
                  f"p99 {row['answers_ms']['p99']:.2f} ms ({row['answered']} of "
                  f"{found['images']} images); CPU {row['cpu_percent']:.1f} %, "
                  f"RSS {row['rss_mb']:.0f} MB")
        print(f"{name}: ratio p50 {found['ratio_p50']:.2f}, p99 {found['ratio_p99']:.2f}; "
              f"start-up {found['start_up_s']:.2f} s")
    if args.json:
        about = {**provenance(" ".join(["python", "benchmark/node_latency.py", *sys.argv[1:]])),
                 "camera_hz": CAMERA_HZ, "imu_hz": IMU_HZ, "rate_hz": RATE_HZ, "goals": GOALS}
        args.json.write_text(json.dumps({**about, "sizes": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
