"""Checks of SDF files: by rules of our own, which need nothing, and by Gazebo's own tool."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lnn_ros.errors import LnnError
from lnn_ros.simulation.gazebo.elements import Element, read_xml
from lnn_ros.simulation.gazebo.grammar import ATTRIBUTES, CHILDREN, TEXTS

_LIMIT_S = 60.0
_HARMLESS = "libignition-tools-backward.so"  # Debian's `ign` always complains that it is missing


@dataclass(frozen=True)
class Checked:
    """What was found in a file.

    Attributes
    ----------
    path : str
        The file.
    problems : list of str
        Against our own rules, one sentence each.
    tool : str
        Command of Gazebo's tool that was asked; empty where none is installed.
    verdict : str
        What it said.
    failed : bool
        Whether it refused the file.
    """

    path: str
    problems: list[str]
    tool: str = ""
    verdict: str = ""
    failed: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def check_folder(folder: Path) -> list[Checked]:
    """Check every SDF file below a folder.

    Raises
    ------
    LnnError
        When there is none.
    """
    files = sorted(folder.rglob("*.sdf"))
    if not files:
        raise LnnError(f"{folder} holds no .sdf file: expected worlds as `lnn_ros worlds --out` "
                       f"writes them")
    return [Checked(str(path), problems(path), *ask_tool(path)) for path in files]


def ask_tool(path: Path) -> tuple[str, str, bool]:
    """Return the command of ``gz sdf`` or ``ign sdf``, what it said, and whether it refused."""
    program = _program()
    if not program:
        return "", "", False
    models = os.pathsep.join(str(path.parent / part) for part in ("models", ".."))
    done = _call(program, "-k", str(path), SDF_PATH=models)
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if line.strip() and _HARMLESS not in line]
    failed = done.returncode != 0 or "Valid." not in said
    return f"{Path(program).name} sdf -k", " ".join(said) or "nothing said", failed


def tool_version() -> str:
    """Return name and version of Gazebo's tool; empty where there is none."""
    program = _program()
    if not program:
        return ""
    return f"{Path(program).name} sdf {_call(program, '--versions').stdout.strip()}"


def _program() -> str:
    return shutil.which("gz") or shutil.which("ign") or ""


def _call(program: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # nosec B603  # the user's own Gazebo, with our words
        [program, "sdf", *words], text=True, capture_output=True, timeout=_LIMIT_S, check=False,
        env={**os.environ, **environment})


def problems(path: Path) -> list[str]:
    """Return what is wrong with a file by our own rules."""
    try:
        root = read_xml(path)
    except LnnError as error:
        return [str(error)]
    if root.tag != "sdf" or len(root) != 1:
        return [f"begins with {root.tag} and {len(root)} elements in it: expected sdf with one "
                f"world or one model"]
    return [*_grammar(root, "", "sdf"), *_names(root), *_bodies(root), *_sensors(root),
            *_plugins(root), *_includes(root, path)]


def _where(tag: str, found: Element) -> str:
    name = found.get("name")
    return f"{tag} {name}" if name else tag


def _grammar(found: Element, parent: str, where: str) -> Iterator[str]:
    """Yield what does not belong where it stands, what is missing, and texts that say nothing."""
    expected = ATTRIBUTES.get(found.tag, {})
    attributes = found.attrib
    for name in sorted(expected.keys() ^ attributes.keys()):
        yield (f"{where}: attribute {name} is "
               f"{'missing' if name in expected else 'not one that belongs there'}")
    for name, rule in expected.items():
        if name in attributes and (wanted := rule(attributes[name])):
            yield f"{where}: {name} is {attributes[name]!r}, expected {wanted}"
    if found.tag == "plugin":
        return  # what is in it is the system's
    text_rule = TEXTS.get(f"{parent}/{found.tag}") or TEXTS.get(found.tag)
    if found.tag in CHILDREN:
        counts = Counter(child.tag for child in found)
        for tag, (least, most) in CHILDREN[found.tag].items():
            if not least <= counts.pop(tag, 0) <= most:
                yield f"{where}: expected {least} to {most} elements {tag}"
        for tag in counts:
            yield f"{where}: element {tag} does not belong there"
        if found.tag == "geometry" and len(found) != 1:
            yield f"{where}: {len(found)} shapes found, expected one"
        for child in found:
            yield from _grammar(child, found.tag, f"{where}/{_where(child.tag, child)}")
    elif text_rule is not None and (wanted := text_rule((found.text or "").strip())):
        yield f"{where}: is {found.text!r}, expected {wanted}"


def _names(root: Element) -> Iterator[str]:
    """Yield names that two siblings have."""
    for parent in root.iter():
        names = [(child.tag, child.get("name")) for child in parent if child.tag != "plugin"]
        if parent.tag == "world":  # what is included stands beside the models
            names += [("model", child.findtext("name")) for child in parent.iter("include")]
        for (tag, name), count in Counter(names).items():
            if name is not None and count > 1:
                yield f"{_where(parent.tag, parent)}: {count} elements {tag} are named {name}"


def _bodies(root: Element) -> Iterator[str]:
    """Yield what physics would stumble over: joints without links, impossible inertia."""
    for model in root.iter("model"):
        links = {link.get("name") for link in model.iter("link")}
        for joint in model.iter("joint"):
            for end in ("parent", "child"):
                if joint.findtext(end) not in links:
                    yield (f"joint {joint.get('name')}: {end} is {joint.findtext(end)!r}, "
                           f"expected a link of model {model.get('name')}")
        if model.findtext("static") != "true":
            for link in model.iter("link"):
                if link.find("inertial") is None:
                    yield f"link {link.get('name')} moves and has no inertial"
    for link in root.iter("link"):
        inertia = link.find("inertial/inertia")
        if inertia is not None:
            moments = sorted(_number(inertia.findtext(name)) for name in ("ixx", "iyy", "izz"))
            if not moments[0] > 0.0 or not moments[0] + moments[1] >= moments[2]:
                yield (f"link {link.get('name')}: moments of inertia are {moments}, which no body "
                       f"has: expected positive ones, two at least as large as the third")


def _sensors(root: Element) -> Iterator[str]:
    """Yield topics that two sensors share, and ranges that hold nothing."""
    topics = Counter(sensor.findtext("topic") for sensor in root.iter("sensor"))
    for topic, count in topics.items():
        if count > 1:
            yield f"{count} sensors publish on {topic}"
    for sensor in root.iter("sensor"):
        kind = {"imu": "imu"}.get(sensor.get("type", ""), "camera")
        if sensor.find(kind) is None:
            yield f"sensor {sensor.get('name')}: element {kind} is missing"
        clip = sensor.find("camera/clip")
        if clip is not None and not _number(clip.findtext("near")) < _number(clip.findtext("far")):
            yield f"sensor {sensor.get('name')}: near is not nearer than far"
        if kind == "camera" and not (sensor.findtext("topic") or "").endswith("/image"):
            # Gazebo puts camera_info beside the image: two cameras in one place would share it.
            yield f"sensor {sensor.get('name')}: expected a topic of its own that ends in /image"


def _plugins(root: Element) -> Iterator[str]:
    """Yield systems that are of another release than the rest, or that act on what is not there."""
    kinds = {(plugin.get("filename", "").startswith("ignition"),
              plugin.get("name", "").startswith("ignition")) for plugin in root.iter("plugin")}
    if len(kinds) > 1 or any(file != name for file, name in kinds):
        yield "systems of Fortress and of later releases are mixed: expected one kind"
    for model in root.iter("model"):
        there = {"linkName": {link.get("name") for link in model.iter("link")},
                 "jointName": {joint.get("name") for joint in model.iter("joint")}}
        there["comLinkName"] = there["linkName"]
        numbers = []
        for plugin in model.iter("plugin"):
            for found in plugin.iter():
                if found.tag in there and found.text not in there[found.tag]:
                    yield (f"system {plugin.get('name')}: {found.tag} is {found.text!r}, which "
                           f"model {model.get('name')} does not have")
                if found.tag in ("actuator_number", "motorNumber"):
                    numbers.append(found.text)
        if sorted(map(str, numbers)) != [str(index) for index in range(len(numbers))]:
            yield f"motors have the numbers {numbers}: expected 0, 1, 2 and so on"


def _includes(root: Element, path: Path) -> Iterator[str]:
    """Yield models that are included and not there."""
    for found in root.iter("include"):
        uri = found.findtext("uri") or ""
        folder = path.parent / "models" / uri.removeprefix("model://")
        try:
            config = read_xml(folder / "model.config")
        except LnnError as error:
            yield f"include {uri}: {error}"
            continue
        if not (folder / (config.findtext("sdf") or "")).is_file():
            yield f"include {uri}: {folder} has no {config.findtext('sdf')}"


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return float("nan")
