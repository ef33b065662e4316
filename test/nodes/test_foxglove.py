"""The layout for Foxglove: its topics are those of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lnn_ros.cli import main
from lnn_ros.nodes import robots
from lnn_ros.nodes.foxglove import LAYOUT, layout
from lnn_ros.nodes.options import NodeOptions
from lnn_ros.resources import share_path


def shown(text: str) -> tuple[list[str], str, list[str], str]:
    """Return the topics of a layout: of the camera's panel, the plots', diagnostics' and status."""
    panels = json.loads(text)["configById"]
    camera = panels["Image!camera"]["imageMode"]
    plots = [path["value"].partition(".")[0] for name in ("Plot!command", "Plot!neurons")
             for path in panels[name]["paths"]]
    return ([camera["imageTopic"], camera["calibrationTopic"]],
            panels["DiagnosticSummary!all"]["topicToRender"], plots,
            panels["RawMessages!status"]["topicPath"])


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the command prints."""
    assert main(["foxglove", *words]) == 0
    return capsys.readouterr().out


def test_without_options_it_is_the_file_that_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys) == share_path(LAYOUT).read_text()


def test_topics_are_in_the_namespace_but_those_of_everybody(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(printed(capsys, "--namespace", "fleet/drone2")) == (
        ["/fleet/drone2/image", "/fleet/drone2/camera_info"], "/diagnostics",
        ["/fleet/drone2/cmd_vel"] * 4 + ["/fleet/drone2/controller/neurons"],
        "/fleet/drone2/controller/status")


@pytest.mark.parametrize("robot", robots.names())
def test_a_robots_topics_are_shown_under_its_names(robot: str) -> None:
    remaps = robots.load(robot).remaps
    (image, info), _, (command, *_), status = shown(layout(
        NodeOptions(sim="none", robot=robot, namespace="one")))
    for ours, theirs in (("image", image), ("camera_info", info), ("cmd_vel", command)):
        name = remaps.get(ours, ours)
        assert theirs == (name if name.startswith("/") else f"/one/{name}")
    assert status == "/one/controller/status"


def test_compressed_images_are_shown_where_they_come(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("/**:\n  ros__parameters:\n    image_transport: compressed\n")
    (image, info), *_ = shown(printed(capsys, "--params-file", str(file), "--robot", "mavros"))
    assert (image, info) == ("/camera/image_raw/compressed", "/camera/camera_info")


def test_what_launch_would_refuse_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["foxglove", "--namespace", "a-b"]) == 2
    assert "namespace:=a-b is not a ROS namespace" in capsys.readouterr().err
