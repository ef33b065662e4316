"""Which elements of SDF 1.9 the generator uses, where they may stand, and what they must hold.

A part of the format, not the whole of it: enough to find, without Gazebo, what would keep these
files from being read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Rule = Callable[[str], str]
"""Gives what was expected of a text, or nothing if the text is that."""


def numbers(count: int, least: float = -math.inf, most: float = math.inf,
            above: float = -math.inf) -> Rule:
    """Return the rule for so many finite numbers inside a range."""
    def rule(text: str) -> str:
        try:
            found = [float(word) for word in text.split()]
        except ValueError:
            found = []
        if len(found) == count and all(
                math.isfinite(x) and above < x and least <= x <= most for x in found):
            return ""
        inside = f" in [{least:g}, {most:g}]" if math.isfinite(least + most) else ""
        more = f" above {above:g}" if math.isfinite(above) else ""
        return f"{count} finite number{'s' if count > 1 else ''}{inside}{more}"
    return rule


def words(pattern: str, what: str) -> Rule:
    """Return the rule for a text of a pattern."""
    return lambda text: "" if re.fullmatch(pattern, text) else what


COLOR, SIZE, SIZES = numbers(4, 0.0, 1.0), numbers(1, above=0.0), numbers(3, above=0.0)
TRUTH = words("true|false", "true or false")
NAME = words(r"[A-Za-z][A-Za-z0-9_]*", "a name of letters, digits and underscores")
TOPIC = words(r"(/[A-Za-z][A-Za-z0-9_]*)+", "a topic that begins with /")
WHOLE = words(r"[1-9][0-9]*", "a whole number above 0")
FLAGS = words(r"[0-9]+", "a whole number")
MODEL = words(r"model://[a-z][a-z0-9_]*", "model:// and the name of a model")

TEXTS: dict[str, Rule] = {
    "pose": numbers(6), "static": TRUTH, "gravity": numbers(3), "linear_velocity": numbers(3),
    "max_step_size": SIZE, "real_time_factor": SIZE, "ambient": COLOR, "diffuse": COLOR,
    "specular": COLOR, "background": COLOR, "shadows": TRUTH, "grid": TRUTH, "cast_shadows": TRUTH,
    "intensity": SIZE, "direction": numbers(3), "uri": MODEL, "name": NAME, "mass": SIZE,
    **{f"i{two}": SIZE for two in ("xx", "yy", "zz")},
    **{f"i{two}": numbers(1) for two in ("xy", "xz", "yz")},
    "size": SIZES, "plane/size": numbers(2, above=0.0), "normal": numbers(3), "radius": SIZE,
    "length": SIZE, "radii": SIZES, "visibility_flags": FLAGS, "visibility_mask": FLAGS,
    "topic": TOPIC, "update_rate": SIZE, "always_on": TRUTH,
    "horizontal_fov": numbers(1, 0.1, math.tau), "width": WHOLE, "height": WHOLE,
    "format": words("R8G8B8|R_FLOAT32", "R8G8B8 or R_FLOAT32"), "anti_aliasing": WHOLE,
    "near": SIZE, "far": SIZE, "mean": numbers(1), "stddev": numbers(1, 0.0, 1e3),
    "bias_mean": numbers(1), "bias_stddev": numbers(1, 0.0, 1e3), "parent": NAME, "child": NAME,
    "mu": numbers(1, 0.0, 1e3), "mu2": numbers(1, 0.0, 1e3),
    "xyz": numbers(3), "lower": numbers(1), "upper": numbers(1),
}
"""Rule for the text of an element; PARENT/TAG is for that place alone."""

_IMU = dict.fromkeys("xyz", (1, 1))
_MANY = 10_000
CHILDREN: dict[str, dict[str, tuple[int, int]]] = {
    "sdf": {"world": (0, 1), "model": (0, 1)},
    "world": {"physics": (1, 1), "plugin": (1, _MANY), "gravity": (1, 1), "wind": (0, 1),
              "scene": (1, 1), "light": (1, 1), "model": (1, _MANY), "include": (0, _MANY)},
    "physics": {"max_step_size": (1, 1), "real_time_factor": (1, 1)},
    "wind": {"linear_velocity": (1, 1)},
    "scene": {"ambient": (1, 1), "background": (1, 1), "shadows": (1, 1), "grid": (0, 1)},
    "light": {"pose": (0, 1), "cast_shadows": (0, 1), "intensity": (0, 1), "diffuse": (0, 1),
              "specular": (0, 1), "direction": (1, 1)},
    "model": {"static": (0, 1), "pose": (0, 1), "link": (1, _MANY), "joint": (0, _MANY),
              "plugin": (0, _MANY)},
    "include": {"uri": (1, 1), "name": (0, 1), "pose": (0, 1)},
    "link": {"pose": (0, 1), "inertial": (0, 1), "collision": (0, _MANY), "visual": (0, _MANY),
             "sensor": (0, _MANY)},
    "inertial": {"pose": (0, 1), "mass": (1, 1), "inertia": (1, 1)},
    "inertia": {f"i{two}": (1, 1) for two in ("xx", "xy", "xz", "yy", "yz", "zz")},
    "collision": {"pose": (0, 1), "geometry": (1, 1), "surface": (0, 1)},
    "surface": {"friction": (1, 1)}, "friction": {"ode": (1, 1)},
    "ode": {"mu": (1, 1), "mu2": (1, 1)},
    "visual": {"pose": (0, 1), "cast_shadows": (0, 1), "visibility_flags": (0, 1),
               "geometry": (1, 1), "material": (0, 1)},
    "geometry": {"box": (0, 1), "cylinder": (0, 1), "ellipsoid": (0, 1), "sphere": (0, 1),
                 "plane": (0, 1)},
    "box": {"size": (1, 1)}, "cylinder": {"radius": (1, 1), "length": (1, 1)},
    "ellipsoid": {"radii": (1, 1)}, "sphere": {"radius": (1, 1)},
    "plane": {"normal": (1, 1), "size": (1, 1)},
    "material": {"ambient": (1, 1), "diffuse": (1, 1), "specular": (0, 1)},
    "sensor": {"pose": (0, 1), "topic": (1, 1), "update_rate": (1, 1), "always_on": (0, 1),
               "camera": (0, 1), "imu": (0, 1)},
    "camera": {"horizontal_fov": (1, 1), "image": (1, 1), "clip": (1, 1),
               "visibility_mask": (0, 1)},
    "image": {"width": (1, 1), "height": (1, 1), "format": (1, 1), "anti_aliasing": (0, 1)},
    "clip": {"near": (1, 1), "far": (1, 1)},
    "imu": {"angular_velocity": (1, 1), "linear_acceleration": (1, 1)},
    "angular_velocity": _IMU, "linear_acceleration": _IMU,
    **{axis: {"noise": (1, 1)} for axis in "xyz"},
    "noise": {"mean": (1, 1), "stddev": (1, 1), "bias_mean": (0, 1), "bias_stddev": (0, 1)},
    "joint": {"parent": (1, 1), "child": (1, 1), "axis": (1, 1), "pose": (0, 1)},
    "axis": {"xyz": (1, 1), "limit": (1, 1)}, "limit": {"lower": (1, 1), "upper": (1, 1)},
}
"""Which children an element has, and how many of each. What is not here or in TEXTS is wrong."""

ATTRIBUTES: dict[str, dict[str, Rule]] = {
    "sdf": {"version": words(r"1\.9", "1.9, which Fortress reads and all after it do")},
    "world": {"name": NAME}, "model": {"name": NAME}, "link": {"name": NAME},
    "collision": {"name": NAME}, "visual": {"name": NAME},
    "physics": {"name": NAME, "type": words("ignored", "ignored")},
    "light": {"name": NAME, "type": words("directional", "directional")},
    "joint": {"name": NAME,
              "type": words("revolute|continuous|fixed", "revolute, continuous or fixed")},
    "sensor": {"name": NAME,
               "type": words("camera|depth_camera|imu", "camera, depth_camera or imu")},
    "noise": {"type": words("gaussian", "gaussian")},
    "plugin": {"filename": words(r"(gz-sim|ignition-gazebo)-[a-z-]+-system",
                                 "the library of a system of Gazebo"),
               "name": words(r"(gz::sim|ignition::gazebo)::systems::\w+",
                             "the class of a system of Gazebo")},
}
"""Attributes that an element has, all of them, and no others."""
