"""What is written for Gazebo is what the embedded simulator has, and what the bridge carries."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros import policies, vehicles
from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import load
from lnn_ros.simulation.camera import CameraGeometry
from lnn_ros.simulation.gazebo import models, running
from lnn_ros.simulation.gazebo.bridge import Bridged, Direction, bridge_file
from lnn_ros.simulation.gazebo.check import problems
from lnn_ros.simulation.gazebo.elements import element, pose
from lnn_ros.simulation.gazebo.files import COMMITTED, COMMITTED_SEED, world_files, write
from lnn_ros.simulation.gazebo.furniture import EVERYTHING, UNSEEN
from lnn_ros.simulation.gazebo.models.quadrotor import DEPTH_FORWARD
from lnn_ros.simulation.gazebo.releases import RELEASES, of_ros, release
from lnn_ros.simulation.physics import STEP_NS
from lnn_ros.simulation.sensors import CAMERA, IMU
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.world import Shape
from lnn_ros.simulation.worlds import make_world

ROOT = Path(__file__).resolve().parents[3]
TASK = Task.load("fly_to_target")
DRONES = {name: task for task, _, name in COMMITTED["drone"]}
FOLDERS = {"harmonic": ROOT / "worlds", "fortress": ROOT / "worlds/fortress"}


def root_of(path: Path, tag: str) -> Element:
    found = ElementTree.parse(path).getroot().find(tag)
    assert found is not None
    return found


def numbers(found: Element, path: str) -> list[float]:
    return [float(word) for word in (found.findtext(path) or "").split()]


@pytest.fixture(scope="module")
def drone() -> Element:
    return root_of(ROOT / "worlds/models/lnn_quadrotor/model.sdf", "model")


def test_what_ships_is_as_in_the_code() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts/worlds.py"), "--check"], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "worlds").rglob("*.sdf")),
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_what_ships_is_well_formed(path: Path) -> None:
    assert problems(path) == []


@pytest.mark.parametrize("file", DRONES)
@pytest.mark.parametrize("name", FOLDERS)
def test_world_is_the_embedded_one(name: str, file: str) -> None:
    world = make_world(COMMITTED_SEED, Task.load(DRONES[file]))
    found = root_of(FOLDERS[name] / f"{file}.sdf", "world")
    built = {model.get("name"): model for model in found.iter("model")}
    assert set(built) == {solid.name for solid in world.solids} | {"ground", "lnn_quadrotor_pad"}
    for solid in world.solids:
        model = built[solid.name]
        x, y, z, _, _, yaw = numbers(model, "pose")
        np.testing.assert_allclose((x, y, z), solid.position, atol=1e-6)
        assert math.cos(yaw - solid.yaw) == pytest.approx(1.0)
        for part in ("collision", "visual"):
            shape = f"link/{part}/geometry"
            a, b, c = solid.size
            if solid.shape is Shape.BOX:
                expected, got = [2 * a, 2 * b, 2 * c], numbers(model, f"{shape}/box/size")
            elif solid.shape is Shape.CYLINDER:
                expected = [a, 2 * c]
                got = [*numbers(model, f"{shape}/cylinder/radius"),
                       *numbers(model, f"{shape}/cylinder/length")]
            else:
                expected, got = [a, b, c], numbers(model, f"{shape}/ellipsoid/radii")
            np.testing.assert_allclose(got, expected, rtol=1e-6)
        # Between the pattern's two colours, in linear light.
        shade = np.array(numbers(model, "link/visual/material/diffuse")[:3])
        ends = np.sort(np.square([solid.material.color, solid.material.accent]), axis=0)
        assert (ends[0] - 1e-6 <= shade).all() and (shade <= ends[1] + 1e-6).all()
    assert numbers(found, "physics/max_step_size") == [STEP_NS * 1e-9]
    np.testing.assert_allclose(numbers(found, "light/direction"),
                               -np.array(world.light.direction), atol=1e-6)
    (start,) = found.iter("include")
    np.testing.assert_allclose(numbers(start, "pose"), [*world.start, 0.0, 0.0, world.start_yaw],
                               atol=1e-6)
    # It stands on its pad: what is under its body ends there.
    pad = built["lnn_quadrotor_pad"]
    top = numbers(pad, "pose")[2] + numbers(pad, "link/collision/geometry/box/size")[2] / 2
    assert top == pytest.approx(world.start[2] - 0.08)


def test_drone_sees_and_feels_as_the_embedded_one_and_as_the_policys_card(drone: Element) -> None:
    sensors = {sensor.get("name"): sensor for sensor in drone.iter("sensor")}
    card = load(policies.path("fly_to_target")).card
    camera, mount, seen = sensors["camera"], CameraGeometry(), card["camera"]
    assert numbers(camera, "camera/image/width") == [seen["width"]] == [TASK.camera.width]
    assert numbers(camera, "camera/image/height") == [seen["height"]] == [TASK.camera.height]
    for wide in (seen["horizontal_fov"], math.radians(TASK.camera.field_of_view)):
        assert numbers(camera, "camera/horizontal_fov") == [pytest.approx(wide)]
    assert numbers(camera, "pose") == [*seen["position"], 0.0, seen["tilt"], 0.0] == [
        *mount.position, 0.0, mount.tilt, 0.0]
    assert numbers(camera, "update_rate") == [CAMERA.rate_hz]
    assert camera.findtext("camera/image/format") == "R8G8B8"
    assert card["streams"]["camera"]["encoding"] == "rgb8"
    imu, d = sensors["imu"], TASK.disturbances
    assert numbers(imu, "update_rate") == [IMU.rate_hz]
    assert imu.find("pose") is None and card["streams"]["imu"]["frame"] == "base_link"
    for axis in "xyz":
        for quantity, noise, bias in (
                ("angular_velocity", d.gyro_noise, d.gyro_bias),
                ("linear_acceleration", d.accelerometer_noise, d.accelerometer_bias)):
            assert numbers(imu, f"imu/{quantity}/{axis}/noise/stddev") == [noise]
            assert numbers(imu, f"imu/{quantity}/{axis}/noise/bias_stddev") == [bias]
            assert numbers(imu, f"imu/{quantity}/{axis}/noise/bias_mean") == [0.0]


def test_no_camera_sees_its_own_vehicle(drone: Element) -> None:
    masks = {s.get("name"): int(s.findtext("camera/visibility_mask") or EVERYTHING)
             for s in drone.iter("sensor") if s.get("name") == "camera"}
    flags = {int(v.findtext("visibility_flags") or EVERYTHING) for v in drone.iter("visual")}
    assert flags == {UNSEEN}
    assert all(mask & UNSEEN == 0 and mask | UNSEEN == EVERYTHING for mask in masks.values())
    # Gazebo's depth camera takes no mask: it sits ahead of everything that is drawn.
    for visual in drone.iter("visual"):
        x = numbers(visual, "pose")[0]
        reach = max(numbers(visual, "geometry/cylinder/radius") or
                    numbers(visual, "geometry/ellipsoid/radii") or
                    [0.5 * math.hypot(*numbers(visual, "geometry/box/size"))])
        assert x + reach < DEPTH_FORWARD


@pytest.mark.parametrize("name", RELEASES)
def test_releases_differ_in_names_only(name: str) -> None:
    found, made = release(name), models.make("lnn_quadrotor")
    texts = world_files(TASK, 7, [made], found, "w")
    texts["bridge.yaml"] = bridge_file(made.topics(), found)
    plain = world_files(TASK, 7, [made], release("harmonic"), "w")
    plain["bridge.yaml"] = bridge_file(made.topics(), release("harmonic"))
    for path, text in texts.items():
        if name == "fortress":
            assert "gz" not in text.replace("gz_t", "").replace("_GZ", "")
            text = (text.replace("ignition-gazebo-", "gz-sim-")
                    .replace("ignition::gazebo::", "gz::sim::")
                    .replace("ignition.msgs", "gz.msgs").replace("motorNumber", "actuator_number"))
        assert text == plain[path]
    assert of_ros(found.ros) is found


def test_unknown_names_are_refused() -> None:
    assert of_ros("rolling") is release("harmonic")
    with pytest.raises(LnnError, match="'citadel' found, expected one of fortress, harmonic"):
        release("citadel")
    with pytest.raises(LnnError, match="'lnn_boat' found, expected one of lnn_quadrotor"):
        models.make("lnn_boat")
    with pytest.raises(LnnError, match="model name 'My Drone' found"):
        models.make("lnn_quadrotor", "My Drone")


@pytest.mark.parametrize("name", FOLDERS)
def test_bridge_carries_our_interfaces_and_what_the_model_has(name: str) -> None:
    rows = yaml.safe_load((ROOT / release(name).bridge).read_text())
    listed = interfaces()
    drone = root_of(FOLDERS[name] / "models/lnn_quadrotor/model.sdf", "model")
    there = {"/clock"}
    for sensor in drone.iter("sensor"):
        topic = sensor.findtext("topic") or ""
        there.add(topic)
        if sensor.find("camera") is not None:
            there.add(topic.rpartition("/")[0] + "/camera_info")
    for plugin in drone.iter("plugin"):
        if plugin.findtext("odom_topic"):
            there.add(plugin.findtext("odom_topic") or "")
        if (plugin.get("name") or "").endswith("VelocityControl"):
            there.add(f"/{plugin.findtext('robotNamespace')}/{plugin.findtext('commandSubTopic')}")
    for row in rows:
        assert set(row) == {"ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name",
                            "direction", "lazy"}  # what Humble's bridge reads, no more
        way = "in" if row["direction"] == "GZ_TO_ROS" else "out"
        assert (way, row["ros_type_name"]) in listed[row["ros_topic_name"]]
        assert row["gz_type_name"].rpartition(".")[0] == release(name).messages
    assert {row["gz_topic_name"] for row in rows} == there
    assert len({row["ros_topic_name"] for row in rows}) == len(rows) == len(there)
    told = {row["ros_topic_name"]: row["ros_type_name"] for row in rows
            if row["direction"] == "ROS_TO_GZ"}
    vehicle = vehicles.make(running.run().vehicle)
    assert told == dict(vehicle.takes)
    heard = {row["ros_topic_name"]: row["ros_type_name"] for row in rows
             if row["direction"] == "GZ_TO_ROS"}
    assert dict(vehicle.says).items() <= heard.items()


def interfaces() -> dict[str, set[tuple[str, str]]]:
    """Return of each topic in the reference how it goes and which types it may have."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in (ROOT / "docs/reference/interfaces.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 4 or cells[1] not in ("in", "out"):
            continue
        package, kinds = "", set()
        for word in re.findall(r"[a-z_]+_msgs/[A-Z]\w*|[A-Z]\w+", cells[2]):
            package, _, kind = word.rpartition("/") if "/" in word else (package, "", word)
            kinds.add((cells[1], f"{package}/msg/{kind}"))
        for name in re.findall(r"`([^`]+)`", cells[0]):
            found.setdefault(name, set()).update(kinds)
    return found


class Cart(models.Model):
    """Something that drives, as a file of its own would say it."""

    kind: ClassVar[str] = "cart"
    about: ClassVar[str] = "A cart."
    half_height: ClassVar[float] = 0.1
    ground: ClassVar[bool] = True

    def sdf(self, task: Task, release: object) -> Element:
        inertia = [element(f"i{two}", 0.1 if two[0] == two[1] else 0.0)
                   for two in ("xx", "xy", "xz", "yy", "yz", "zz")]
        box = element("geometry", element("box", element("size", (0.4, 0.3, 0.2))))
        return element("model", element(
            "link", pose((0.0, 0.0, 0.0)),
            element("inertial", element("mass", 2.0), element("inertia", *inertia)),
            element("visual", box, name="visual"), name="base_link"), name=self.name)

    def topics(self) -> tuple[Bridged, ...]:
        return (Bridged("vehicle/cmd_vel", "geometry_msgs/msg/Twist", self.topic("cmd_vel"),
                        "Twist", Direction.TO_GAZEBO),)


def test_rover_and_other_tasks_drop_in(tmp_path: Path) -> None:
    text = (ROOT / "config/tasks/fly_to_target.yaml").read_text()
    (tmp_path / "drive.yaml").write_text(text.replace("count: [30, 60]", "count: [2, 3]"))
    task = Task.load(str(tmp_path / "drive.yaml"))
    files = world_files(task, 5, [Cart(), models.make("lnn_quadrotor", "drone2")],
                        release("jetty"), "yard", wind=(1.0, 0.0))
    write(files, tmp_path)
    for path in tmp_path.rglob("*.sdf"):
        assert problems(path) == []
    yard = root_of(tmp_path / "yard.sdf", "world")
    starts = {start.findtext("name"): numbers(start, "pose") for start in yard.iter("include")}
    assert starts["cart"][2] == pytest.approx(0.1)  # on the ground, without a pad
    assert math.dist(starts["cart"][:2], starts["drone2"][:2]) == pytest.approx(1.5)
    assert {model.get("name") for model in yard.iter("model")} & {"cart_pad", "drone2_pad"} == {
        "drone2_pad"}
    assert numbers(yard, "wind/linear_velocity") == [1.0, 0.0, 0.0]
    drone = root_of(tmp_path / "models/drone2/model.sdf", "model")
    assert {s.findtext("topic") for s in drone.iter("sensor")} == {
        "/drone2/camera/image", "/drone2/depth/image", "/drone2/imu"}


@settings(max_examples=15)
@given(seed=st.integers(0, 300_000))
def test_every_world_is_well_formed(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("world")
    write(world_files(TASK, seed, [models.make("lnn_quadrotor")], release("fortress"), "any"),
          folder)
    assert problems(folder / "any.sdf") == []
