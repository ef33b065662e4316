#!/usr/bin/env python3
"""Write security/policy.xml: what each node may publish, hear, answer and ask, for SROS2.

    security.py                              write the file; --check only compares, with status 1
    security.py --robot mavros --namespace drone1     print the policy of this robot, in its names

One enclave for each node, so that a controller that was taken over cannot speak to the vehicle, and
one for a person's terminal. test/nodes/test_security.py holds it against the running nodes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree  # nosec B405  # it only writes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros import vehicles  # noqa: E402  (found only now)
from lnn_ros.errors import LnnError  # noqa: E402
from lnn_ros.nodes.settings import SENSORS  # noqa: E402

FILE = "security/policy.xml"
ENCLAVES = "/lnn_ros"
VEHICLE = "stamped"

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by scripts/security.py: change it there. How to use it: docs/how-to/secure-it.md.
     Not run by us: SROS2 is not in the ROS 2 of PyPI. What the policy allows is compared with what
     the running nodes do, by test/nodes/test_security.py. -->
"""


@dataclass(frozen=True)
class Permissions:
    """What a node may do; names as the node spells them: relative, private (~/) or absolute.

    Attributes
    ----------
    publish, subscribe : tuple of str
        Topics.
    reply, request : tuple of str
        Services that it offers, and that it calls.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    reply: tuple[str, ...] = ()
    request: tuple[str, ...] = ()

    def __add__(self, other: Permissions) -> Permissions:
        return Permissions(self.publish + other.publish, self.subscribe + other.subscribe,
                           self.reply + other.reply, self.request + other.request)


_NODE = Permissions(
    publish=("/rosout", "/parameter_events"),
    reply=tuple(f"~/{name}" for name in (
        "describe_parameters", "get_parameter_types", "get_parameters", "get_type_description",
        "list_parameters", "set_parameters", "set_parameters_atomically")))
_LIFECYCLE = _NODE + Permissions(
    publish=("~/transition_event",),
    reply=tuple(f"~/{name}" for name in (
        "change_state", "get_available_states", "get_available_transitions", "get_state",
        "get_transition_graph")))
_ENGAGING = ("engage", "disengage", "release", "reset")


@dataclass(frozen=True)
class Names:
    """What the nodes of one robot are called.

    Attributes
    ----------
    vehicle : str
        Which vehicle the adapter speaks to.
    namespace : str
        Of every node.
    remaps : mapping of str to str
        Our topic to the robot's.
    """

    vehicle: str = VEHICLE
    namespace: str = "/"
    remaps: Mapping[str, str] = field(default_factory=dict)


def permissions(vehicle: str = VEHICLE) -> dict[str, Permissions]:
    """Return what each node may do, by the name of the node.

    Parameters
    ----------
    vehicle : str
        Which vehicle the adapter speaks to.
    """
    spoken_to = vehicles.make(vehicle)
    told = ("vehicle_state",) if spoken_to.says else ()
    return {
        "controller": _LIFECYCLE + Permissions(
            publish=("cmd_vel", "~/status", "~/neurons", "~/trace", "/diagnostics"),
            subscribe=("image", "image/compressed", "camera_info", "imu", "/clock",
                       "vehicle_state", "takeover", "deadman", "odom", *SENSORS, "depth_info"),
            reply=tuple(f"~/{name}" for name in _ENGAGING)),
        "vehicle_adapter": _NODE + Permissions(
            publish=(*spoken_to.takes, *told, "~/status", "/diagnostics"),
            subscribe=("cmd_vel", *spoken_to.says)),
        # It records whatever there is, and says nothing that anybody obeys.
        "companion": _LIFECYCLE + Permissions(
            publish=("~/status",), subscribe=("/*",), reply=("~/record",)),
        # Commands come from the adapter; in lock-step, where there is none, from the controller.
        "simulator": _NODE + Permissions(
            publish=("image", "camera_info", "imu", "odom", "ground_truth", "vehicle_state",
                     "/clock", "~/status"),
            subscribe=("vehicle/cmd_vel", "cmd_vel"), reply=("~/reset", "~/pause")),
        # A person: engages and stops, takes over, reads what the nodes say. No parameters.
        "operator": Permissions(
            publish=("/rosout", "/parameter_events", "takeover", "deadman"),
            subscribe=("/diagnostics", "/rosout", "controller/status", "vehicle_adapter/status",
                       "companion/status"),
            request=(*(f"controller/{name}" for name in (*_ENGAGING, "get_state")),
                     "companion/record")),
    }


def full(name: str, node: str, names: Names) -> str:
    """Return a name as it is on the wire, for a node that has remapped it."""
    private = name.removeprefix("~/")
    if private != name:
        return f"{names.namespace.rstrip('/')}/{node}/{private}"
    for ours, theirs in names.remaps.items():
        if name == ours or name.startswith(f"{ours}/"):  # image/compressed goes with image
            name = theirs + name[len(ours):]
            break
    return name if name.startswith("/") else f"{names.namespace.rstrip('/')}/{name}"


def policy(names: Names | None = None) -> str:
    """Return the policy of a robot's nodes.

    Parameters
    ----------
    names : Names, optional
        By default those of a vehicle that takes our own command, in no namespace.
    """
    names = names or Names()
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    for node, may in permissions(names.vehicle).items():
        enclave = ElementTree.SubElement(
            enclaves, "enclave", path=f"{ENCLAVES}{names.namespace.rstrip('/')}/{node}")
        profile = ElementTree.SubElement(ElementTree.SubElement(enclave, "profiles"), "profile",
                                         ns=names.namespace, node=node)
        for kind, what in (("topic", "publish"), ("topic", "subscribe"),
                           ("service", "reply"), ("service", "request")):
            _rules(profile, kind, what, (full(n, node, names) for n in getattr(may, what)))
    ElementTree.indent(root)
    return _HEAD + ElementTree.tostring(root, encoding="unicode") + "\n"


def _rules(profile: ElementTree.Element, kind: str, what: str, allowed: Iterable[str]) -> None:
    found = sorted(set(allowed))
    if found:
        rules = ElementTree.SubElement(profile, f"{kind}s", {what: "ALLOW"})
        for name in found:
            ElementTree.SubElement(rules, kind).text = name


def main() -> int:
    """Write, compare or print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare the file")
    parser.add_argument("--robot", help="name or path of a robot profile")
    parser.add_argument("--namespace", default="", help="of every node")
    args = parser.parse_args()
    file = ROOT / FILE
    if args.check:
        if not file.is_file() or file.read_text() != policy():
            sys.stderr.write(f"{FILE}: not as in scripts/security.py: run it\n")
            return 1
    elif args.robot or args.namespace:
        names = Names(namespace=f"/{args.namespace.strip('/')}")
        if args.robot:
            from lnn_ros.nodes import robots

            try:
                robot = robots.load(args.robot)
            except LnnError as error:
                sys.stderr.write(f"lnn_ros: {error}\n")
                return 2
            names = Names(robot.vehicle, names.namespace, robot.remaps)
        sys.stdout.write(policy(names))
    else:
        file.parent.mkdir(exist_ok=True)
        file.write_text(policy())
    return 0


if __name__ == "__main__":
    sys.exit(main())
