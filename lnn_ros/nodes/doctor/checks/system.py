"""ROS here: distribution, middleware, domain, numpy; and the policy's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lnn_ros.nodes.distributions import SUPPORTED, TESTED
from lnn_ros.nodes.doctor.findings import Finding, fail, ok, warn
from lnn_ros.nodes.doctor.snapshot import Snapshot

_MIDDLEWARE = "rmw_fastrtps_cpp"


def check(seen: Snapshot) -> Iterator[Finding]:
    """Judge what ROS runs with here, and the policy."""
    yield _ros(seen)
    if seen.system.problem:
        return
    yield _graph(seen)
    yield _policy(seen)
    for sentence in seen.differs:
        yield warn("parameters", sentence, "start the node with the same files that the doctor "
                   "is given, or name them to the doctor: --params-file, --robot")


def _ros(seen: Snapshot) -> Finding:
    system = seen.system
    found = (f"ROS 2 {system.distribution or 'of an unknown distribution'}, {system.middleware}, "
             f"numpy {system.numpy}")
    if system.problem:
        return fail("ros", f"{found}: messages cannot be used ({system.problem})",
                    "install a numpy that this distribution's messages are built for: pip install "
                    "-c constraints/ros.txt numpy")
    if system.distribution not in SUPPORTED:
        return warn("ros", found, f"use one of {', '.join(SUPPORTED)}: for these the package is "
                    f"written")
    if system.distribution not in TESTED:
        return warn("ros", found, f"the tests run on {' and '.join(TESTED)}: look twice at "
                    f"everything, or use one of these")
    if system.middleware != _MIDDLEWARE:
        return warn("ros", found, f"the tests run with {_MIDDLEWARE}: should topics or commands "
                    f"not arrive, set RMW_IMPLEMENTATION={_MIDDLEWARE} everywhere")
    return ok("ros", found)


def _graph(seen: Snapshot) -> Finding:
    system = seen.system
    where = f"ROS_DOMAIN_ID {system.domain}"
    if system.discovery:
        where += f", {system.discovery}"
    if not seen.nodes and not any(t.publishers or t.readers for t in seen.topics.values()):
        return fail("graph", f"nobody else is seen on {where}",
                    "start the robot's nodes; if they run, set the ROS_DOMAIN_ID, "
                    "ROS_AUTOMATIC_DISCOVERY_RANGE and RMW_IMPLEMENTATION here that they have")
    return ok("graph", f"{len(seen.nodes)} nodes on {where}")


def _policy(seen: Snapshot) -> Finding:
    policy = seen.policy
    if policy.problem or policy.camera is None:
        return fail("policy", policy.problem or f"{policy.name} has no camera",
                    "set the parameter policy to one that ships, or to the path of a checkpoint")
    camera = policy.camera
    return ok("policy", f"{Path(policy.name).name}, weights {policy.digest}, sees {camera.width}x"
              f"{camera.height} pixels")
