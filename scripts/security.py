#!/usr/bin/env python3
"""Write security/policy.xml: what each node may publish, hear, answer and ask, for SROS2.

    security.py                              write the file; --check only compares, with status 1
    security.py --robot mavros --namespace drone1     print the policy of this robot, in its names
    security.py --drones 2 --out policy.xml           that of launch's drones:=2, into a file

One enclave for each node that launch starts, in which launch starts it, so that a controller that
was taken over cannot speak to the vehicle; and one for a person's terminal.
test/nodes/test_security.py holds the policy against the running nodes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree  # nosec B405  # it only writes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lnn_ros import vehicles  # noqa: E402  (found only now)
from lnn_ros.errors import LnnError  # noqa: E402
from lnn_ros.nodes import robots  # noqa: E402
from lnn_ros.nodes.options import NodeOptions  # noqa: E402
from lnn_ros.nodes.settings import SENSORS  # noqa: E402
from lnn_ros.nodes.table import NodeSpec, nodes  # noqa: E402

FILE = "security/policy.xml"
VEHICLE = "stamped"
"""What the adapter speaks to when no robot is named."""

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Written by scripts/security.py: change it there. How to use it: docs/how-to/secure-it.md.
     Not enforced by us: the DDS of PyPI's ROS 2 is built without security. What the policy allows
     is compared with what the running nodes do, by test/nodes/test_security.py. -->
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
_DECIDING = ("engage", "disengage", "release", "reset", "rollback")
_KEEPING = ("record", "pause", "split", "mark", "finetune")


def permissions(vehicle: str, drones: tuple[str, ...]) -> dict[str, Permissions]:
    """Return what each node may do, by the name of the node.

    Parameters
    ----------
    vehicle : str
        Which vehicle the adapters speak to.
    drones : tuple of str
        Namespaces of the drones below that of the run; one that is empty for a drone alone.
    """
    spoken_to = vehicles.make(vehicle)
    told = ("vehicle_state",) if spoken_to.says else ()

    def each(*names: str) -> tuple[str, ...]:
        return tuple(f"{drone}/{name}" if drone else name for drone in drones for name in names)

    return {
        "controller": _LIFECYCLE + Permissions(
            publish=("cmd_vel", "~/status", "~/neurons", "~/trace", "/diagnostics"),
            subscribe=("image", "image/compressed", "camera_info", "imu", "/clock",
                       "vehicle_state", "takeover", "deadman", "odom", *SENSORS, "depth_info"),
            reply=tuple(f"~/{name}" for name in (*_DECIDING, "swap"))),
        "vehicle_adapter": _NODE + Permissions(
            publish=(*spoken_to.takes, *told, "~/status", "/diagnostics"),
            subscribe=("cmd_vel", *spoken_to.says)),
        # It records whatever there is, and says nothing that anybody obeys; but it may ask the
        # controller to read its policy again, when a better one is there.
        "companion": _LIFECYCLE + Permissions(
            publish=("~/status", "~/progress"), subscribe=("/*",),
            reply=tuple(f"~/{name}" for name in _KEEPING),
            request=("controller/swap",)),
        # Commands come from the adapter; in lock-step, where there is none, from the controller.
        "simulator": _NODE + Permissions(
            publish=("/clock", *each("image", "camera_info", "imu", "odom", "ground_truth",
                                     "vehicle_state", "simulator/status")),
            subscribe=each("vehicle/cmd_vel", "cmd_vel"), reply=("~/reset", "~/pause")),
        # A person: engages and stops, takes over, reads what the nodes say. No parameters.
        "operator": Permissions(
            publish=("/rosout", "/parameter_events", *each("takeover", "deadman")),
            subscribe=("/diagnostics", "/rosout", "companion/status", "companion/progress",
                       *each("controller/status", "vehicle_adapter/status")),
            request=(*(f"companion/{name}" for name in _KEEPING),
                     *each(*(f"controller/{name}" for name in (*_DECIDING, "get_state"))))),
    }


def policy(options: NodeOptions | None = None) -> str:
    """Return the policy of the nodes of a run, and of the person who looks after it.

    Parameters
    ----------
    options : NodeOptions, optional
        By default one drone in the simulator, in no namespace.
    """
    options = options or NodeOptions()
    robot = robots.load(options.robot) if options.robot else None
    remaps = robot.remaps if robot else {}
    root = ElementTree.Element("policy", version="0.2.0")
    enclaves = ElementTree.SubElement(root, "enclaves")
    run = options.namespace.strip("/")
    # Without the remaps that depend on whether there is an adapter: the policy is for both.
    specs = [NodeSpec(found.executable, found.name, found.namespace, remaps=remaps)
             for found in (*nodes(options), NodeSpec("operator", "operator", run))]
    drones = tuple(spec.namespace.removeprefix(run).strip("/") for spec in specs
                   if spec.name == "controller")
    allowed = permissions(robot.vehicle if robot else VEHICLE, drones)
    for spec in specs:
        enclave = ElementTree.SubElement(enclaves, "enclave", path=spec.enclave)
        profile = ElementTree.SubElement(ElementTree.SubElement(enclave, "profiles"), "profile",
                                         ns=f"/{spec.namespace}", node=spec.name)
        for kind, what in (("topic", "publish"), ("topic", "subscribe"),
                           ("service", "reply"), ("service", "request")):
            _rules(profile, kind, what, map(spec.resolved, getattr(allowed[spec.name], what)))
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
    parser.add_argument("--robot", default="", help="name or path of a robot profile")
    parser.add_argument("--namespace", default="", help="of every node")
    parser.add_argument("--drones", type=int, default=1, help="how many fly in the simulator")
    parser.add_argument("--out", type=Path, help="file to write to, instead of printing")
    args = parser.parse_args()
    file = ROOT / FILE
    if args.check:
        if not file.is_file() or file.read_text() != policy():
            return _fail(f"{FILE}: not as in scripts/security.py: run it", 1)
        return 0
    try:
        options = NodeOptions(sim="none" if args.robot else "embedded", robot=args.robot,
                              namespace=args.namespace, drones=args.drones)
        text = policy(options)
        if args.out or options == NodeOptions():
            (args.out or file).write_text(text)
        else:
            sys.stdout.write(text)
    except LnnError as error:
        return _fail(f"lnn_ros: {error}", 2)
    except OSError as error:
        return _fail(f"lnn_ros: --out {args.out or FILE}: {error.strerror}: expected a file that "
                     f"can be written", 2)
    return 0


def _fail(sentence: str, status: int) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
