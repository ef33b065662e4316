"""Robot profiles: those that ship, and a sentence for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lnn_ros import vehicles
from lnn_ros.errors import LnnError
from lnn_ros.nodes import robots
from lnn_ros.nodes.parameter_rows import rows
from lnn_ros.nodes.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("ardupilot", "crazyflie", "diff_drive", "gazebo_multicopter", "gazebo_rover", "mavros",
         "px4", "turtlebot4")
GOOD = {
    "about": "A boat.", "tested": "untested", "kind": "rover",
    "remaps": {"image": "/eye", "vehicle/cmd_vel": "wheels"},
    "parameters": {"vehicle": "twist", "limits": {"forward": 1}},
}


def written(folder: Path, **changes) -> str:
    """Return the path of a profile that differs from a good one."""
    path = folder / "boat.yaml"
    profile = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(profile))
    return str(path)


def test_every_profile_that_ships_is_read():
    assert robots.names() == NAMES
    for name in NAMES:
        robot = robots.load(name)
        assert robot.name == name
        assert robot.vehicle in vehicles.kinds()
        assert robot.about.endswith(".") and "\n" not in robot.about
        # The camera and the vehicle are where the robot has them, whatever else is.
        topics = (*vehicles.make(robot.vehicle).takes, *vehicles.make(robot.vehicle).says)
        assert all(topic in robot.remaps for topic in topics if topic.startswith("vehicle/")) or (
            name.startswith("gazebo_"))
        with pytest.raises(TypeError):
            robot.remaps["image"] = "/other"  # type: ignore[index]


def test_every_vehicle_has_a_profile():
    assert {robots.load(name).vehicle for name in NAMES} == set(vehicles.kinds())


@pytest.mark.parametrize("name", NAMES)
def test_what_says_real_types_has_all_of_them_from_pypi(name):
    robot = robots.load(name)
    vehicle = vehicles.make(robot.vehicle)
    foreign = {kind for kind in (*vehicle.takes.values(), *vehicle.says.values())
               if not kind.startswith(("geometry_msgs/", "nav_msgs/"))}
    assert (robot.tested == "real types") == (not foreign)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_rover_cannot_do_is_not_commanded(name):
    robot = robots.load(name)
    if robot.kind == "rover":
        for axis in ("lateral", "up", "down"):
            assert robot.parameters[f"limits.{axis}"] == 0.0
        assert robot.parameters["obstacles.planar"] is True


def test_what_falls_without_commands_is_never_met_with_silence():
    for name in ("crazyflie", "gazebo_multicopter"):
        assert robots.load(name).parameters["on_timeout"] == "zero"


def test_path_is_a_robot_too(tmp_path):
    robot = robots.load(written(tmp_path))
    assert (robot.name, robot.about, robot.kind) == ("boat", "A boat.", "rover")
    assert robot.remaps == GOOD["remaps"]
    assert robot.parameters == {"vehicle": "twist", "limits.forward": 1.0}
    assert isinstance(robot.parameters["limits.forward"], float)


def test_versioned_topic_can_be_remapped(tmp_path):
    remaps = {"fmu/out/vehicle_status_v1": "/px4_1/fmu/out/vehicle_status_v1"}
    assert robots.load(written(tmp_path, remaps=remaps, parameters={"vehicle": "px4"})
                       ).remaps == remaps


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"about": None}, "about is missing: expected about, tested, kind, remaps, parameters"),
    ({"about": 7}, "about is 7: expected a text"),
    ({"about": " "}, "about is ' ': expected a text"),
    ({"wheels": 4}, "wheels is unknown: expected about, tested, kind, remaps, parameters"),
    ({"kind": "boat"}, "kind is 'boat': expected one of drone, rover"),
    ({"tested": "yes"}, "tested is 'yes': expected it to begin with one of real types, "
                        "stand-in types, untested"),
    ({"remaps": ["image"]}, "remaps is ['image']: expected a mapping"),
    ({"remaps": {1: "/image"}}, "remaps.1 is no topic of the nodes"),
    ({"remaps": {"imgae": "/image"}}, "remaps.imgae is no topic of the nodes: expected one of "
                                      "image, "),
    ({"remaps": {"vehicle/state": "/s"}}, "remaps.vehicle/state is no topic of the nodes"),
    ({"remaps": {"image": "/two words"}}, "remaps.image is '/two words': expected the name of a "
                                          "topic, such as /camera/image_raw"),
    ({"remaps": {"image": "/a//b"}}, "remaps.image is '/a//b': expected the name of a topic"),
    ({"remaps": {"vehicle/cmd_vel": "/cmd_vel"}},
     "remaps.vehicle/cmd_vel is '/cmd_vel', on which commands come to the adapter: expected "
     "remaps.cmd_vel, too, such as controller/cmd_vel"),
    ({"remaps": {"image": ""}}, "remaps.image is '': expected the name of a topic"),
    ({"parameters": None}, "parameters is missing"),
    ({"parameters": []}, "parameters is []: expected a mapping"),
    ({"parameters": {}}, "parameters.vehicle is missing: expected one of ardupilot, "),
    ({"parameters": {"vehicle": "boat"}}, "parameter vehicle is 'boat': expected one of "),
    ({"parameters": {"vehicle": 4}}, "parameter vehicle is 4: expected a text"),
    ({"parameters": {"vehicle": "twist", "limit": {"forward": 1.0}}},
     "parameters.limit.forward is no parameter of controller or vehicle_adapter: see "),
    ({"parameters": {"vehicle": "twist", "limits": {"forward": "fast"}}},
     "parameter limits.forward is 'fast': expected a number in [0, 100]"),
    ({"parameters": {"vehicle": "twist", "limits": {"forward": -1.0}}},
     "parameter limits.forward is -1.0: expected a number in [0, 100]"),
    ({"parameters": {"vehicle": "twist", "limits": {1: 2}}},
     "parameters.limits.1 is no parameter of controller or vehicle_adapter"),
    ({"parameters": {"vehicle": "twist", "on_timeout": "hover"}},
     "parameter on_timeout is 'hover': expected one of zero, silence"),
    # Each may be possible, and not beside what the parameter file says.
    ({"parameters": {"vehicle": "twist", "braking": {"forward": 1.0}}}, "braking"),
])
def test_every_mistake_is_a_sentence(tmp_path, changes, sentence):
    path = written(tmp_path, **changes)
    with pytest.raises(LnnError, match=re.escape(sentence)) as caught:
        robots.load(path)
    assert str(caught.value).startswith(f"robot profile {path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_profile_at_all(tmp_path):
    with pytest.raises(LnnError, match=r"robot 'boat' found, expected one of ardupilot, .* or the "
                                       r"path of a profile"):
        robots.load("boat")
    with pytest.raises(LnnError, match=r"robot /no/boat\.yaml is no file: expected the path of "
                                       r"a profile, or one of ardupilot"):
        robots.load("/no/boat.yaml")
    path = tmp_path / "boat.yaml"
    for text, sentence in {"": "it is None: expected a mapping", "- 1": "it is [1]: expected",
                           "a: [": "no YAML (", "a: \ud800": "no YAML ("}.items():
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(LnnError, match=re.escape(f"robot profile {path}: {sentence}")):
            robots.load(str(path))


def test_profile_is_no_program(tmp_path):
    path = tmp_path / "boat.yaml"
    path.write_text("!!python/object/apply:os.system ['touch gone']")
    with pytest.raises(LnnError, match="no YAML"):
        robots.load(str(path))


def test_profiles_show_no_parameter_of_another_node():
    mine = {row.name for node in ("controller", "vehicle_adapter") for row in rows(SETTINGS[node])}
    for name in NAMES:
        assert set(robots.load(name).parameters) <= mine
