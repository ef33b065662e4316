"""Elements of SDF, and their text: the same for the same content, on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# What is read is looked at by `read_xml` first.
from xml.etree import ElementTree  # nosec B405
from xml.etree.ElementTree import Element  # nosec B405

from lnn_ros.errors import LnnError
from lnn_ros.simulation.gazebo.releases import Release
from lnn_ros.simulation.world import Material, Shape, Vector

SDF = "1.9"
"""Version of the format: the newest that Fortress reads, and all after it do."""
MADE_BY = "Written by scripts/worlds.py or `lnn_ros worlds`: change lnn_ros/simulation/gazebo."
MOST_BYTES = 10_000_000
"""Of an XML file that is read; a world has a hundredth of it."""

Content = Element | str | float | bool | Iterable[float]


def element(tag: str, *content: Content, **attributes: str) -> Element:
    """Return an element with children, or with a text: a word, a number, a truth, or numbers."""
    made = Element(tag, attributes)
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        else:
            made.text = text(part)
    return made


def text(value: str | float | bool | Iterable[float]) -> str:
    """Return the text of a value; numbers have 8 digits, for the last bits differ between CPUs."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{round(value, 12) + 0.0:.8g}"
    return " ".join(text(part) for part in value)


def pose(position: Vector, yaw: float = 0.0, pitch: float = 0.0) -> Element:
    """Return a pose: metres, rad."""
    return element("pose", (*position, 0.0, pitch, yaw))


def geometry(shape: Shape, size: Vector) -> Element:
    """Return the geometry of a solid, with its half extents in metres."""
    a, b, c = size
    if shape is Shape.BOX:
        kind = element("box", element("size", (2.0 * a, 2.0 * b, 2.0 * c)))
    elif shape is Shape.CYLINDER:
        kind = element("cylinder", element("radius", a), element("length", 2.0 * c))
    else:
        kind = element("ellipsoid", element("radii", (a, b, c)))
    return element("geometry", kind)


def paint(color: Vector) -> Element:
    """Return a dull material of a colour as it is displayed.

    Gazebo's ogre2 shades with linear light and encodes the picture, as the embedded camera does:
    what it is told is linear, here by that camera's gamma of 2.
    """
    linear = (*(c * c for c in color), 1.0)
    return element("material", element("ambient", linear), element("diffuse", linear),
                   element("specular", (0.0, 0.0, 0.0, 1.0)))


def mean_color(material: Material) -> Vector:
    """Return the one colour that stands for a pattern's two: their mean in linear light."""
    red, green, blue = (((a * a + b * b) / 2.0) ** 0.5
                        for a, b in zip(material.color, material.accent, strict=True))
    return red, green, blue


def system(release: Release, library: str, name: str, *content: Element) -> Element:
    """Return the plugin element that loads a system of Gazebo."""
    filename, kind = release.system(library, name)
    return element("plugin", *content, filename=filename, name=kind)


def document(content: Element) -> str:
    """Return an SDF file."""
    return _file(element("sdf", content, version=SDF))


def plain(content: Element) -> str:
    """Return an XML file of another kind."""
    return _file(content)


def _file(root: Element) -> str:
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0"?>\n<!-- {MADE_BY} -->\n{body}\n'


def read_xml(path: Path) -> Element:
    """Return the root of an XML file from outside.

    Raises
    ------
    LnnError
        When it cannot be read, is not XML in UTF-8, is very large, or declares entities, which
        could expand without end.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data.decode("utf-8")
        if len(data) > MOST_BYTES:
            raise LnnError(f"{path} is larger than {MOST_BYTES} bytes")
        if "<!DOCTYPE" in text or "<!ENTITY" in text or "\0" in text:
            raise LnnError(f"{path} declares a document type: expected elements only")
        return ElementTree.fromstring(text)  # nosec B314  # no entities are left to expand
    except (OSError, UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise LnnError(f"{path} cannot be read as XML: {error}") from error
