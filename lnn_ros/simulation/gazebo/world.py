"""A :class:`~lnn_ros.simulation.world.World` as a world of Gazebo, whatever its task is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lnn_ros.simulation.centreline import slabs
from lnn_ros.simulation.gazebo.elements import (
    Element,
    element,
    geometry,
    mean_color,
    paint,
    pose,
    system,
)
from lnn_ros.simulation.gazebo.models import Model
from lnn_ros.simulation.gazebo.releases import Release
from lnn_ros.simulation.physics import GRAVITY, STEP_NS
from lnn_ros.simulation.shading import EXPOSURE
from lnn_ros.simulation.world import Shape, Solid, Vector, World

_GROUND = 400.0  # metres of ground in each direction
_PAD = 0.1  # half width of what a vehicle that starts in the air stands on, metres
_PAD_COLOR = (0.45, 0.47, 0.5)
_APART = 1.5  # metres between the starts of several vehicles, to the left of each other

SYSTEMS = (("physics", "Physics"), ("user-commands", "UserCommands"),
           ("scene-broadcaster", "SceneBroadcaster"), ("imu", "Imu"))
"""Library and class of what every world loads; the camera's renderer comes with an engine."""


def world_sdf(world: World, vehicles: Sequence[Model], release: Release, name: str,
              wind: tuple[float, float] = (0.0, 0.0)) -> Element:
    """Return the ``world`` element.

    Solids stand where they do in the embedded simulator, with its sizes and, instead of its
    patterns, their mean colours. Sun and sky light are its, too; there is no fog. Nothing moves: a
    target that walks stands where its walk begins.

    Parameters
    ----------
    world : World
        What to build.
    vehicles : sequence of Model
        What flies or drives there: the first at the world's start, the others to its left.
    release : Release
        For which Gazebo.
    name : str
        Of the world.
    wind : tuple of 2 float
        Wind towards east and north, m/s, constant; it acts on rotors.
    """
    return element(
        "world",
        element("physics", element("max_step_size", STEP_NS * 1e-9),
                element("real_time_factor", 1.0), name="step", type="ignored"),
        *(system(release, library, kind) for library, kind in SYSTEMS),
        system(release, "sensors", "Sensors", element("render_engine", "ogre2")),
        element("gravity", (0.0, 0.0, -GRAVITY)),
        element("wind", element("linear_velocity", (*wind, 0.0))),
        *_light(world), _ground(world), *_road(world),
        *(_solid(solid) for solid in world.solids),
        *(part for index, vehicle in enumerate(vehicles)
          for part in _start(world, vehicle, index)),
        name=name)


def _light(world: World) -> Iterator[Element]:
    """Yield sky and sun. Brightness is that of the embedded camera's linear light."""
    light = world.light
    ambient, sun = EXPOSURE * light.ambient, EXPOSURE * light.sun
    yield element("scene", element("ambient", (ambient, ambient, ambient, 1.0)),
                  element("background", (*(c * c for c in light.horizon), 1.0)),
                  element("shadows", True), element("grid", False))
    yield element(
        "light", pose((0.0, 0.0, 50.0)), element("cast_shadows", True),
        element("intensity", sun),  # colours end at 1
        element("diffuse", (1.0, 1.0, 1.0, 1.0)), element("specular", (0.0, 0.0, 0.0, 1.0)),
        element("direction", tuple(-part for part in light.direction)),
        type="directional", name="sun")


def _ground(world: World) -> Element:
    def plane() -> Element:
        return element("geometry", element("plane", element("normal", (0.0, 0.0, 1.0)),
                                           element("size", (_GROUND, _GROUND))))

    return element("model", element("static", True), element(
        "link", element("collision", plane(), name="collision"),
        element("visual", element("cast_shadows", False), plane(), paint(mean_color(world.ground)),
                name="visual"), name="link"), name="ground")


def _road(world: World) -> Iterator[Element]:
    """Yield the road as flat boxes, which nothing touches."""
    if world.road is None:
        return
    yield element("model", element("static", True), element("link", *(
        element("visual", element("cast_shadows", False), pose(centre, yaw),
                geometry(Shape.BOX, half), paint(mean_color(material)), name=name)
        for name, centre, half, yaw, material in slabs(world.road)), name="link"), name="road")


def _solid(solid: Solid) -> Element:
    return _fixed(solid.name, solid.shape, solid.position, solid.size, solid.yaw,
                  mean_color(solid.material))


def _fixed(name: str, shape: Shape, position: Vector, size: Vector, yaw: float,
           color: Vector) -> Element:
    return element("model", element("static", True), pose(position, yaw), element(
        "link", element("collision", geometry(shape, size), name="collision"),
        element("visual", geometry(shape, size), paint(color), name="visual"), name="link"),
        name=name)


def _start(world: World, vehicle: Model, index: int) -> Iterator[Element]:
    """Yield a vehicle at its start, and what it stands on there.

    Rotors stay off until the first command, and a vehicle would fall: one that the embedded
    simulator begins in a hover stands on a slim post.
    """
    x, y, height = world.start
    left = index * _APART
    at = (x - left * math.sin(world.start_yaw), y + left * math.cos(world.start_yaw))
    bottom = 0.0 if vehicle.ground else height - vehicle.half_height
    if bottom > 0.0:
        yield _fixed(f"{vehicle.name}_pad", Shape.BOX, (*at, bottom / 2.0),
                     (_PAD, _PAD, bottom / 2.0), world.start_yaw, _PAD_COLOR)
    yield element("include", element("uri", f"model://{vehicle.name}"),
                  element("name", vehicle.name),
                  pose((*at, bottom + vehicle.half_height), world.start_yaw))
