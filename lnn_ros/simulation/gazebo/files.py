"""The files of a world for Gazebo: the world itself, its models, and the bridge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lnn_ros.errors import LnnError
from lnn_ros.simulation.gazebo import models
from lnn_ros.simulation.gazebo.bridge import bridge_file
from lnn_ros.simulation.gazebo.elements import SDF, document, element, plain
from lnn_ros.simulation.gazebo.models import Model
from lnn_ros.simulation.gazebo.releases import DEFAULT, RELEASES, Release
from lnn_ros.simulation.gazebo.world import world_sdf
from lnn_ros.simulation.task import Task
from lnn_ros.simulation.worlds import make_world

COMMITTED_TASK, COMMITTED_SEED, COMMITTED_NAME = "fly_to_target", 300_007, "forest"
"""The drone's first world that ships; the seed is that of ``config/nodes/drone.yaml``."""
COMMITTED = {
    "drone": ((COMMITTED_TASK, COMMITTED_SEED, COMMITTED_NAME),
              ("corridor", COMMITTED_SEED, "corridor"),
              ("follow_target", COMMITTED_SEED, "forest_walk")),
    "rover": (("lane", 300_002, "lane"), ("drive_to_target", COMMITTED_SEED, "rover_forest")),
}
"""Task, seed and name of every world that ships, by what flies or drives there; a rover's first
seed is that of ``config/nodes/rover.yaml``."""
MODELS = {"drone": "lnn_quadrotor", "rover": "lnn_rover"}
"""The model of each."""


def world_files(task: Task, seed: int, vehicles: Sequence[Model], release: Release, name: str,
                wind: tuple[float, float] = (0.0, 0.0)) -> dict[str, str]:
    """Return a world and the models in it: relative path to text.

    Parameters
    ----------
    task, seed : Task, int
        Which world of the embedded simulator.
    vehicles : sequence of Model
        What flies or drives there.
    release : Release
        For which Gazebo.
    name : str
        Of the world, and of its file.
    wind : tuple of 2 float
        Towards east and north, m/s.
    """
    world = make_world(seed, task)
    files = {f"{name}.sdf": document(world_sdf(world, vehicles, release, name, wind))}
    for vehicle in vehicles:
        folder = f"models/{vehicle.name}"
        files[f"{folder}/model.sdf"] = document(vehicle.sdf(task, release))
        files[f"{folder}/model.config"] = plain(element(
            "model", element("name", vehicle.name), element("version", "1.0"),
            element("sdf", "model.sdf", version=SDF), element("description", vehicle.about)))
    return files


def committed() -> dict[str, str]:
    """Return all files that ship: path in the repository to text."""
    found = {}
    for release in (RELEASES[DEFAULT], RELEASES["fortress"]):
        folder = Path("worlds") / release.folder
        for kind, worlds in COMMITTED.items():
            vehicle = models.make(MODELS[kind])
            for task, seed, name in worlds:
                made = world_files(Task.load(task), seed, [vehicle], release, name)
                found.update({(folder / path).as_posix(): text for path, text in made.items()})
            found[release.bridge_of(kind)] = bridge_file(vehicle.topics(), release)
    return found


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write files below a folder.

    Raises
    ------
    LnnError
        When that is not possible.
    """
    for path, text in files.items():
        try:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise LnnError(f"{folder / path} cannot be written: {error.strerror}") from error
