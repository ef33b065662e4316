"""The rover's worlds and model for Gazebo are those of the embedded simulator."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import pytest
import yaml

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes import robots
from lnn_ros.simulation.body import GRAVITY
from lnn_ros.simulation.centreline import slabs
from lnn_ros.simulation.gazebo import models, running
from lnn_ros.simulation.gazebo.files import COMMITTED, world_files
from lnn_ros.simulation.gazebo.releases import release
from lnn_ros.simulation.rover import MASS, WHEEL_MASS
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

ROOT = Path(__file__).resolve().parents[3]
TASK = Task.load("lane")


def root_of(path: Path, tag: str) -> Element:
    found = ElementTree.parse(path).getroot().find(tag)
    assert found is not None
    return found


def numbers(found: Element, path: str) -> list[float]:
    return [float(word) for word in (found.findtext(path) or "").split()]


@pytest.fixture(scope="module")
def rover() -> Element:
    return root_of(ROOT / "worlds/models/lnn_rover/model.sdf", "model")


@pytest.mark.parametrize("folder", ["worlds", "worlds/fortress"])
@pytest.mark.parametrize(("task", "seed", "name"), COMMITTED["rover"])
def test_worlds_are_the_embedded_ones(folder: str, task: str, seed: int, name: str) -> None:
    world = make_world(seed, Task.load(task))
    found = root_of(ROOT / folder / f"{name}.sdf", "world")
    built = {model.get("name"): model for model in found.iter("model")}
    road = {"road"} if world.road else set()
    assert set(built) == {solid.name for solid in world.solids} | {"ground"} | road
    (start,) = found.iter("include")
    np.testing.assert_allclose(numbers(start, "pose"), [*world.start, 0.0, 0.0, world.start_yaw],
                               atol=1e-6)
    if world.road:
        boxes = list(slabs(world.road))
        parts = list(built["road"].iter("visual"))
        assert not list(built["road"].iter("collision")) and len(parts) == len(boxes)
        for part, (_, centre, half, yaw, _) in zip(parts, boxes, strict=True):
            np.testing.assert_allclose(numbers(part, "pose"), [*centre, 0.0, 0.0, yaw], atol=1e-6)
            np.testing.assert_allclose(numbers(part, "geometry/box/size"), 2 * np.array(half),
                                       rtol=1e-6)


def test_model_has_the_embedded_masses_wheels_and_camera(rover: Element) -> None:
    assert isinstance(TASK.vehicle.wheel_radius, float)
    masses = [numbers(link, "inertial/mass")[0] for link in rover.iter("link")]
    assert sum(masses) * GRAVITY == pytest.approx((MASS + 2 * WHEEL_MASS) * GRAVITY)
    wheels = {link.get("name"): link for link in rover.iter("link")}
    for name, side in (("left", 1.0), ("right", -1.0)):
        wheel = wheels[name]
        assert numbers(wheel, "pose")[:3] == [0.0, side * TASK.vehicle.track / 2, 0.0]
        assert numbers(wheel, "collision/geometry/cylinder/radius") == [TASK.vehicle.wheel_radius]
        assert numbers(wheel, "collision/surface/friction/ode/mu") == [TASK.vehicle.grip]
        assert numbers(wheel, "collision/pose")[3] == pytest.approx(math.pi / 2)
    camera = next(s for s in rover.iter("sensor") if s.get("type") == "camera")
    np.testing.assert_allclose(numbers(camera, "pose"), [
        *TASK.camera.position, 0.0, math.radians(TASK.camera.tilt), 0.0], atol=1e-6)
    drive = next(p for p in rover.iter("plugin") if (p.get("name") or "").endswith("DiffDrive"))
    assert numbers(drive, "wheel_separation") == [TASK.vehicle.track]
    assert numbers(drive, "max_linear_velocity") == [TASK.vehicle.max_speed]
    joints = {joint.get("name") for joint in rover.iter("joint")}
    assert {drive.findtext("left_joint"), drive.findtext("right_joint")} == joints


@pytest.mark.parametrize("gazebo", ["harmonic", "fortress"])
def test_bridge_carries_what_the_adapter_takes_and_the_model_has(gazebo: str) -> None:
    run = running.run(gazebo=gazebo, vehicle="rover")
    assert run.bridge.config_file.name == Path(release(gazebo).bridge_of("rover")).name
    assert run.server.command[-1].endswith("lane.sdf")
    rows = yaml.safe_load(run.bridge.config_file.read_text())
    told = {row["ros_topic_name"]: row["ros_type_name"] for row in rows
            if row["direction"] == "ROS_TO_GZ"}
    assert told == dict(vehicles.make(robots.load(run.vehicle).vehicle).takes)
    assert {row["ros_topic_name"] for row in rows} - set(told) == {
        "/clock", "image", "camera_info", "imu", "odom"}


def test_a_task_of_a_drone_is_refused() -> None:
    with pytest.raises(LnnError, match="model lnn_rover found for task fly_to_target, expected"):
        world_files(Task.load("fly_to_target"), 1, [models.make("lnn_rover")],
                    release("harmonic"), "any")
