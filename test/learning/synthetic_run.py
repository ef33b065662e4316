"""A run folder with a constructed flight whose numbers are known, written with rosbags."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from lnn_ros.resources import share_path
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

SEED = 300_007
SECONDS = 2.0
SPEED = 1.0
CAMERA_AGE_S = 0.02
START_NS = 1_000_000_000
CLEARANCE = 0.4321
REAL_TIME_FACTOR = 2.0


class BagWriter:
    """Writes messages as the companion does with ``use_sim_time``: logged in simulated time."""

    def __init__(self, bag: Path) -> None:
        self.store: Typestore = get_typestore(Stores.ROS2_JAZZY)
        self.writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
        self.writer.open()
        self.connections: dict[str, object] = {}

    def make(self, kind: str, *args: object) -> object:
        """Build a message from its fields in order."""
        package, name = kind.split("/")
        return self.store.types[f"{package}/msg/{name}"](*args)

    def header(self, stamp_ns: int, frame: str = "map") -> object:
        """Build a std_msgs/Header."""
        time = self.make("builtin_interfaces/Time", *divmod(stamp_ns, 1_000_000_000))
        return self.make("std_msgs/Header", time, frame)

    def status(self, name: str, pairs: dict[str, str]) -> object:
        """Build a DiagnosticStatus."""
        return self.make("diagnostic_msgs/DiagnosticStatus", 0, name, "", "",
                         [self.make("diagnostic_msgs/KeyValue", k, v) for k, v in pairs.items()])

    def write(self, topic: str, stamp_ns: int, message: object) -> None:
        """Write a message as the companion would have."""
        kind = message.__msgtype__  # type: ignore[attr-defined]
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(
                topic, kind, typestore=self.store)
        self.writer.write(self.connections[topic], stamp_ns,  # type: ignore[arg-type]
                          self.store.serialize_cdr(message, kind))


def write_run(folder: Path, outcome: str = "arrived", seed: int = SEED,
              seconds: float = SECONDS, namespace: str = "", post_s: float = 0.5,
              task: str = "fly_to_target") -> None:
    """Write a straight flight at constant speed towards the target.

    Parameters
    ----------
    folder : Path
        Run folder to make.
    outcome : str
        What the simulator says after `seconds`.
    seed : int
        Of the world.
    seconds : float
        Simulated time from the start to the outcome.
    namespace : str
        Put before every topic, for example ``/drone1``.
    post_s : float
        How long the record goes on after the outcome, at rest.
    task : str
        Name of the task.
    """
    world = make_world(seed, Task.load(task))
    if task != "fly_to_target":
        shutil.copy(share_path(f"config/tasks/{task}.yaml"), folder)
    out = BagWriter(folder / "bag")
    start = np.asarray(world.start)
    way = np.asarray(world.target.position) - start
    yaw = math.atan2(way[1], way[0])
    forward = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    v3, q = "geometry_msgs/Vector3", "geometry_msgs/Quaternion"
    turn = out.make(q, 0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2))
    zero = out.make(v3, 0.0, 0.0, 0.0)
    nine, many = np.zeros(9), np.zeros(36)
    frame = np.zeros((48, 64, 3), np.uint8)

    for step in range(round((seconds + post_s) * 200) + 1):
        stamp, time = START_NS + step * 5_000_000, step * 0.005
        moving = time < seconds
        if step % 2 == 0:
            p = start + forward * SPEED * min(time, seconds)
            pose = out.make("geometry_msgs/Pose", out.make("geometry_msgs/Point", *p), turn)
            twist = out.make("geometry_msgs/Twist",
                             out.make(v3, SPEED if moving else 0.0, 0.0, 0.0), zero)
            out.write(f"{namespace}/ground_truth", stamp, out.make(
                "nav_msgs/Odometry", out.header(stamp), "base_link",
                out.make("geometry_msgs/PoseWithCovariance", pose, many),
                out.make("geometry_msgs/TwistWithCovariance", twist, many)))
        out.write(f"{namespace}/imu", stamp, out.make(
            "sensor_msgs/Imu", out.header(stamp, "imu_link"), out.make(q, 0.0, 0.0, 0.0, 1.0),
            nine, zero, nine, out.make(v3, 0.0, 0.0, 9.81), nine))
        if step % 10 == 0:
            frame[:] = (step % 256, 80, 160)
            out.write(f"{namespace}/image", stamp, out.make(
                "sensor_msgs/Image", out.header(stamp, "camera_link"), 48, 64, "rgb8", 0, 192,
                frame.reshape(-1).copy()))
        if step % 8 == 0:
            wish = SPEED if moving else 0.0
            out.write(f"{namespace}/cmd_vel", stamp, out.make(
                "geometry_msgs/TwistStamped", out.header(stamp, "base_link"),
                out.make("geometry_msgs/Twist", out.make(v3, wish, 0.0, 0.0), zero)))
            # What the adapter tells the vehicle is no command of the controller's.
            out.write(f"{namespace}/vehicle/cmd_vel", stamp, out.make(
                "geometry_msgs/TwistStamped", out.header(stamp + 1_000_000, "base_link"),
                out.make("geometry_msgs/Twist", zero, zero)))
            out.write(f"{namespace}/controller/neurons", stamp, out.make(
                "sensor_msgs/JointState", out.header(stamp),
                ["inter_0", "inter_1", *(f"motor_{k}" for k in range(4))],
                np.sin(time * np.arange(1.0, 7.0)), np.zeros(0), np.zeros(0)))
            out.write(f"{namespace}/controller/trace", stamp, out.make(
                "diagnostic_msgs/DiagnosticArray", out.header(stamp), [out.status("trace", {
                    "camera.age_s": str(CAMERA_AGE_S) if time else "none", "imu.age_s": "0.001"})]))
        if step % 200 == 0:
            out.write("/diagnostics", stamp, out.make(
                "diagnostic_msgs/DiagnosticArray", out.header(stamp), [out.status(
                    "controller: control", {"mode": "engaged", "camera.age_s": "0.02",
                                            "camera.late": str(step // 200)})]))
        if step % 40 == 0 or time == seconds:
            out.write(f"{namespace}/simulator/status", stamp, out.status("simulator", {
                "seed": str(seed), "task": task, "episode": "0",
                "outcome": outcome if time >= seconds else "flying",
                "time_s": f"{time:.3f}", "clearance_m": str(CLEARANCE),
                "real_time_factor": str(REAL_TIME_FACTOR)}))
            out.write(f"{namespace}/controller/status", stamp, out.status("controller", {
                "policy": "abc123", "policy_file": "fly_to_target", "mode": "engaged"}))
    out.writer.close()
