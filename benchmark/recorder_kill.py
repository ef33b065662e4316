# ruff: noqa: E402 - threads must be limited before numpy is imported
"""What a recorder loses: kills, cut files, full disks, clocks that jump; and what it keeps up with.

    python benchmark/recorder_kill.py [--kills N] [--only PART ...] [--json FILE]

The companion is a process of its own, recording over DDS what this process publishes (reliable).

kills
    SIGKILL at a random moment, again and again; then ``lnn_ros recover``. ``lost_s`` is from the
    last message that is there again to the kill; one counts only if all before it are there.
truncation
    The file of a recording, copied while it is written, cut at every byte of its last two seconds,
    and recovered: what whole chunks before the cut held and is not there again, in seconds, and
    whether all that is there is what was sent.
rate
    640 x 480 rgb8 at 30 Hz and IMU at 1,000 Hz, reliable: what was sent and is not in the bag.
full
    A disk of a few MB (tmpfs, so as root) that fills up with ``reserve_mb`` 0; and with it.
permission
    The folder can no longer be written to while it records and another file is begun; then it can.
quota
    The folder's size and its marked recordings while twenty recordings are made above the quota.
clock
    Simulated time that jumps ahead by an hour, and back.

Whatever happens, the companion must live on and say it, and what was recorded must be readable.
Goals: at most 0.5 s lost by a kill; nothing lost at the rate; every file readable after recovery.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, Imu
from std_msgs.msg import Int64
from std_srvs.srv import SetBool, Trigger

from lnn_ros import messages
from lnn_ros.learning.jobs import provenance
from lnn_ros.learning.results import write
from lnn_ros.nodes import environment as dds
from lnn_ros.nodes.supervision import environment, free_domain
from lnn_ros.recovery import recover, unfinished

GOALS = {"lost_s": 0.5, "lost_at_the_rate": 0, "unreadable": 0}
_RELIABLE = QoSProfile(depth=2000, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE,
                      durability=DurabilityPolicy.TRANSIENT_LOCAL)
_PATIENCE_S = 30.0


class Run:
    """A companion in a process, and this process as the robot that it records."""

    def __init__(self, folder: Path, before: tuple[str, ...] = (),
                 **parameters: object) -> None:
        domain = free_domain()
        self.folder, self._env = folder, environment(domain)
        dds.use_dds_profile("simulator.xml")  # acknowledge at once
        rclpy.init(domain_id=domain)
        self.node = rclpy.create_node("robot", enable_rosout=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.status: dict[str, str] = {}
        self.message = ""
        self.node.create_subscription(DiagnosticStatus, "companion/status", self._heard, _LATCHED)
        self.counter = self.node.create_publisher(Int64, "counter", _RELIABLE)
        self.sent: list[int] = []  # steady ns, which the messages hold
        words = ["--ros-args"]
        for name, value in {"folder": folder, "record": "true", "reserve_mb": 0.0,
                            **parameters}.items():
            words += ["-p", f"{name}:={value}"]
        self.process = subprocess.Popen(  # nosec B603  # a list of words, no shell
            [*before, sys.executable, "-m", "lnn_ros.nodes.companion", *words], env=self._env,
            cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(_PATIENCE_S)
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()

    def ready(self) -> None:
        """Await that it records what is counted."""
        self.until(lambda: self.status.get("recording") == "true"
                   and self.counter.get_subscription_count() == 1, "a recording")

    def until(self, condition: Callable[[], object], what: str,
              meanwhile: Callable[[], None] | None = None) -> None:
        """Serve what comes until something is so."""
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"recorder_kill.py: waited {_PATIENCE_S:g} s in vain for {what}; "
                                 f"it says {self.message!r}, {self.status}")
            self._executor.spin_once(timeout_sec=0.01)
            if meanwhile:
                meanwhile()

    def count(self, seconds: float, rate_hz: float = 200.0) -> None:
        """Publish the time at a rate."""
        due = time.monotonic()
        end = due + seconds
        while due < end:
            self.one()
            due += 1.0 / rate_hz
            time.sleep(max(0.0, due - time.monotonic()))
        self._executor.spin_once(timeout_sec=0.0)

    def one(self) -> None:
        """Publish the time once."""
        self.sent.append(time.monotonic_ns())
        self.counter.publish(Int64(data=self.sent[-1]))

    def call(self, kind: Any, service: str, value: bool | None = None) -> Any:
        """Call a service of the companion."""
        client = self.node.create_client(kind, f"companion/{service}")
        self.until(client.service_is_ready, service)
        request = kind.Request() if value is None else kind.Request(data=value)
        future = client.call_async(request)
        self.until(future.done, f"an answer of {service}")
        return future.result()

    def bags(self) -> list[Path]:
        """Return the recordings."""
        return sorted(p for p in self.folder.glob("*") if p.is_dir())

    def _heard(self, message: DiagnosticStatus) -> None:
        self.message = message.message
        self.status = {pair.key: pair.value for pair in message.values}


def counted(bag: Path, topic: str = "/counter") -> list[int]:
    """Return what was counted, as far as it is in a complete bag."""
    with Reader(bag) as reader:
        return [deserialize_message(bytes(payload), Int64).data
                for connection, _, payload in reader.messages() if connection.topic == topic]


def kill_once(seed: int) -> dict[str, Any]:
    """Kill it at a random moment; return what is lost."""
    rng = random.Random(seed)  # nosec B311  # no secret
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder)) as run:
        run.ready()
        run.count(rng.uniform(0.2, 2.0))
        time.sleep(rng.uniform(0.0, 0.005))
        run.process.send_signal(signal.SIGKILL)
        killed = time.monotonic_ns()
        run.process.wait()
        (bag,) = unfinished(Path(folder))
        began = time.perf_counter()
        recover(bag)
        took = time.perf_counter() - began
        found = counted(bag)
    whole = found == run.sent[:len(found)]
    last = found[-1] if found else run.sent[0]
    return {"lost_s": round((killed - last) / 1e9, 4), "messages": len(found), "readable": whole,
            "recovery_s": round(took, 4)}


def truncation(_: argparse.Namespace) -> dict[str, Any]:
    """Cut a file at every byte of its last two seconds."""
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder) / "made") as run:
        run.ready()
        run.count(6.0, 100.0)
        copied = time.monotonic_ns()
        shutil.copytree(run.bags()[0], Path(folder) / "cut")
        source = Path(folder) / "cut"
        data = next(source.glob("*.mcap")).read_bytes()
        ends = _flushed(data)
        begin = next((end for end, last in ends if copied - last < 2e9), len(data) // 2)
        lost, wrong = [], 0
        bag = Path(folder) / "tried"
        for size in range(begin, len(data) + 1):
            bag.mkdir()
            (bag / "tried.mcap").write_bytes(data[:size])
            recover(bag)
            found = counted(bag)
            wrong += found != run.sent[:len(found)]
            due = [last for end, last in ends if end <= size]
            lost.append(max(0.0, ((due[-1] if due else 0) - (found[-1] if found else 0)) / 1e9))
            shutil.rmtree(bag)
    return {"bytes": len(lost), "of_whole_chunks_lost_s": max(lost), "unreadable": wrong,
            "copy_behind_s": round((copied - ends[-1][1]) / 1e9, 3)}


def _flushed(data: bytes) -> list[tuple[int, int]]:
    """Return each whole chunk's end, bytes, and the last that was counted up to there."""
    from io import BytesIO

    from mcap.exceptions import McapError
    from mcap.records import Channel, Chunk, Message
    from mcap.stream_reader import StreamReader, breakup_chunk

    stream = BytesIO(data)
    found: list[tuple[int, int]] = []
    channels: dict[int, str] = {}
    last = 0
    try:
        for record in StreamReader(stream, emit_chunks=True).records:
            if isinstance(record, Chunk):
                for inner in breakup_chunk(record):
                    if isinstance(inner, Channel):
                        channels[inner.id] = inner.topic
                    elif isinstance(inner, Message) and channels[inner.channel_id] == "/counter":
                        last = deserialize_message(inner.data, Int64).data
                if last:
                    found.append((stream.tell(), last))
    except McapError:
        pass
    return found


def rate(args: argparse.Namespace) -> dict[str, Any]:
    """Publish as a camera and an IMU do."""
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder)) as run:
        images = run.node.create_publisher(Image, "image", _RELIABLE)
        imu = run.node.create_publisher(Imu, "imu", _RELIABLE)
        picture, reading = Image(), Imu()
        pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
        messages.fill_image(picture, pixels, 1, "camera")
        messages.fill_imu(reading, np.array([0, 0, 0, 0, 0, 9.81]), 1, "base_link")
        run.ready()
        run.until(lambda: images.get_subscription_count() and imu.get_subscription_count(),
                  "readers")
        began_cpu, began = _cpu(run.process.pid), time.monotonic()
        sent = {"/image": 0, "/imu": 0}
        while (now := time.monotonic() - began) < args.seconds:
            while sent["/imu"] < now * 1000:
                messages.set_time(reading.header.stamp, time.time_ns())
                imu.publish(reading)
                sent["/imu"] += 1
            if sent["/image"] < now * 30:
                messages.set_time(picture.header.stamp, time.time_ns())
                images.publish(picture)
                sent["/image"] += 1
            time.sleep(0.001)
        cpu = 100 * (_cpu(run.process.pid) - began_cpu) / (time.monotonic() - began)
        for publisher in (images, imu):
            publisher.wait_for_all_acked()
        run.call(SetBool, "record", False)
        (bag,) = run.bags()
        with Reader(bag) as reader:
            got = {c.topic: c.msgcount for c in reader.connections}
        size = sum(file.stat().st_size for file in bag.iterdir()) / 1e6
    return {"seconds": args.seconds, "sent": sent, "recorded": {t: got.get(t, 0) for t in sent},
            "lost": sum(count - got.get(topic, 0) for topic, count in sent.items()),
            "cpu_percent": round(cpu, 1), "mb": round(size, 1)}


def _cpu(pid: int) -> float:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return sum(map(int, text.rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def _on_small_disk(act: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Do something on a disk of 4 MB."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(  # nosec B603 B607  # a list of words, the system's own
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False,
            capture_output=True)
        if mounted.returncode:
            return {"not_run": "tmpfs cannot be mounted here: this part needs root"}
        try:
            return act(Path(folder))
        finally:
            subprocess.run(["umount", "-l", folder], check=False)  # nosec B603 B607  # likewise


def _flood(run: Run) -> Callable[[], None]:
    """Return what publishes random pictures, which no compression makes smaller."""
    images = run.node.create_publisher(Image, "image", _RELIABLE)
    picture, rng = Image(), np.random.default_rng(0)

    def publish() -> None:
        messages.fill_image(picture, rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), 1, "camera")
        images.publish(picture)
        run.one()
    return publish


def full(_: argparse.Namespace) -> dict[str, Any]:
    """Let a disk fill up."""
    def act(folder: Path) -> dict[str, Any]:
        found = {}
        for reserve in (0.0, 2.0):
            place = folder / f"reserve_{reserve:g}"
            with Run(place, reserve_mb=reserve) as run:
                run.ready()
                run.until(lambda run=run: run.status.get("recording") == "false", "its end",
                          _flood(run))
                alive, said = run.process.poll() is None, run.message
                free = shutil.disk_usage(folder).free / 1e6
            shutil.copytree(place, copy := Path(tempfile.mkdtemp()) / "copy")
            for bag in unfinished(copy):  # where there is room again
                recover(bag)
            got = [counted(bag) for bag in sorted(copy.iterdir())]
            shutil.rmtree(copy.parent)
            found[f"reserve_{reserve:g}_mb"] = {
                "alive": alive, "said": said, "free_mb": round(free, 2),
                "messages": sum(map(len, got)),
                "readable": all(one == run.sent[:len(one)] for one in got)}
            shutil.rmtree(place)
        return found
    return _on_small_disk(act)


def permission(_: argparse.Namespace) -> dict[str, Any]:
    """Take away the permission to write."""
    # Who may do everything has to be kept from it.
    humble = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "bags"
        with Run(place, humble) as run:
            run.ready()
            run.count(1.0)
            (bag,) = run.bags()
            bag.chmod(0o500)
            place.chmod(0o500)
            try:
                run.call(Trigger, "split")
                run.count(1.0)
                run.until(lambda: run.status.get("recording") == "false", "its end", run.one)
                refused = run.call(SetBool, "record", True)
                alive, said = run.process.poll() is None, run.message
            finally:
                place.chmod(0o700)
                bag.chmod(0o700)
            again = run.call(SetBool, "record", True)
            run.call(SetBool, "record", False)
        for bag in unfinished(place):
            recover(bag)
        found = counted(run.bags()[0])
    return {"alive": alive, "said": said, "refused": refused.message, "again": again.success,
            "messages": len(found), "readable": found == run.sent[:len(found)]}


def quota(_: argparse.Namespace) -> dict[str, Any]:
    """Record above the quota."""
    with tempfile.TemporaryDirectory() as folder, Run(
            Path(folder), record="false", preroll_s=0.0, quota_mb=4.0) as run:
        flood, most, marked = _flood(run), 0.0, []
        for number in range(20):
            answer = run.call(SetBool, "record", True)
            if not answer.success:
                return {"refused": answer.message}
            path = Path(answer.message.removeprefix("recording "))
            if number in (2, 7):
                run.call(Trigger, "mark")
                marked.append(path)
            begun = len(run.sent)
            run.until(lambda begun=begun: len(run.sent) > begun + 80, "pictures", flood)
            run.call(SetBool, "record", False)
            most = max(most, sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()))
        left = run.bags()
        readable = all(len(counted(bag)) > 0 for bag in left)
    return {"recordings": 20, "left": len(left), "most_mb": round(most / 1e6, 2), "quota_mb": 4.0,
            "marked_left": sum(path in left for path in marked), "marked": len(marked),
            "readable": readable}


def clock(_: argparse.Namespace) -> dict[str, Any]:
    """Let simulated time jump."""
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder), use_sim_time="true") as run:
        clocks = run.node.create_publisher(Clock, "/clock", _RELIABLE)
        run.ready()
        run.until(lambda: clocks.get_subscription_count() >= 2, "readers of the clock")
        for start in (10, 3610, 5):  # an hour ahead, then back
            for k in range(50):
                message = Clock()
                messages.set_time(message.clock, start * 10**9 + k * 10**7)
                clocks.publish(message)
                clocks.wait_for_all_acked()
                run.one()
                run.counter.wait_for_all_acked()
        run.call(SetBool, "record", False)
        found = [counted(bag) for bag in run.bags()]
    return {"bags": len(found), "messages": [len(one) for one in found],
            "lost": len(run.sent) - sum(map(len, found)),
            "readable": [number for one in found for number in one] == run.sent}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "truncation": truncation, "rate": rate, "full": full, "permission": permission, "quota": quota,
    "clock": clock,
}


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the rate")
    parser.add_argument("--only", nargs="+", choices=["kills", *PARTS], default=["kills", *PARTS])
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="keeps the results; a rerun goes on with the kills, and does the "
                             "other parts that are named anew")
    args = parser.parse_args()
    data: dict[str, Any] = {}
    if args.json and args.json.exists():
        data = json.loads(args.json.read_text(encoding="utf-8"))
    data = {**data, **provenance(" ".join(["python", "benchmark/recorder_kill.py", *sys.argv[1:]])),
            "goals": GOALS}
    for name, part in PARTS.items():
        if name in args.only:
            data[name] = part(args)
            print(f"{name}: {data[name]}", flush=True)
            if args.json:
                write(args.json, data)
    if "kills" in args.only:
        rows = data.setdefault("kills", {}).setdefault("rows", [])
        while len(rows) < args.kills:
            rows.append(kill_once(len(rows)))
            data["kills"].update(_of_kills(rows))
            if args.json:
                write(args.json, data)
        print(f"kills: {({k: v for k, v in data['kills'].items() if k != 'rows'})}")
    return 0


def _of_kills(rows: list[dict[str, Any]]) -> dict[str, Any]:
    lost = [row["lost_s"] for row in rows]
    return {"kills": len(rows), "median_lost_s": float(np.median(lost)), "most_lost_s": max(lost),
            "above_half_a_second": sum(value > GOALS["lost_s"] for value in lost),
            "unreadable": sum(not row["readable"] for row in rows),
            "median_recovery_s": float(np.median([row["recovery_s"] for row in rows]))}


if __name__ == "__main__":
    sys.exit(main())
