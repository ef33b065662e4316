"""What the nodes do on the network is what security/policy.xml allows, no less and no more.

And a node has no socket that an empty ROS node has not: nothing listens beyond DDS.
"""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ros import Bench
from sockets import of_dds, sockets

from lnn_ros import vehicles
from lnn_ros.nodes import robots, table
from lnn_ros.nodes.settings import SENSORS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "security.py"
NODES = tuple(table.MODULES)
ALL_SENSORS = {f"{name}__enabled": True for name in SENSORS}
# Used in another set-up than this one.
ELSEWHERE = {
    "controller": {"/image/compressed"},  # see below
    "simulator": {"/vehicle/cmd_vel"},  # launch and demo remap it
}
ASKED = {"publish": "publisher", "subscribe": "subscriber", "reply": "service",
         "request": "client"}
# An empty node with a publisher: what the middleware itself opens.
EMPTY = ("import rclpy; from rclpy.node import Node; rclpy.init(); node = Node('empty');"
         "rclpy.spin(node)")


def allowed(text: str) -> dict[str, dict[str, set[str]]]:
    """What a policy allows, by node."""
    found = {}
    for profile in ElementTree.fromstring(text).iter("profile"):
        rules = found.setdefault(profile.get("node"), {what: set() for what in ASKED})
        for group in profile:
            for what, verdict in group.attrib.items():
                assert verdict == "ALLOW"
                rules[what] |= {entry.text for entry in group}
    return found


POLICY = allowed((ROOT / "security" / "policy.xml").read_text())


def done(bench: Bench, node: str) -> dict[str, set[str]]:
    """What a running node does, as every other participant sees it."""
    return {what: {name for name, _ in getattr(
        bench.node, f"get_{word}_names_and_types_by_node")(node, "/")}
        for what, word in ASKED.items()}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The demo's nodes, with everything that they can be told to do."""
    folder = tmp_path_factory.mktemp("security")
    bench = Bench(folder)
    bench.start("simulator")
    bench.start("vehicle_adapter")
    bench.start("controller", use_sim_time=True, autostart=True, **ALL_SENSORS)
    bench.start("companion", use_sim_time=True, autostart=True, record=True, folder=folder / "bags")
    yield bench
    bench.close()


def unused(bench: Bench) -> dict[str, set[str]]:
    """Permissions of which no running node makes use, by node."""
    found = {}
    for node in set(NODES) & set(bench.node.get_node_names()):
        does = done(bench, node)
        found[node] = {entry for what, entries in POLICY[node].items() for entry in entries
                       if not fnmatch.filter(does[what], entry)} - ELSEWHERE.get(node, set())
    return found


def test_nodes_do_all_that_the_policy_allows_and_no_more(running) -> None:
    try:
        running.until(lambda: [*unused(running).values()] == [set()] * len(NODES), "all nodes")
    except AssertionError:
        pytest.fail(f"the policy allows what no node does: {unused(running)}")
    for node in NODES:
        for what, names in done(running, node).items():
            refused = {name for name in names if not any(
                fnmatch.fnmatch(name, entry) for entry in POLICY[node][what])}
            assert not refused, f"{node} would not be allowed to {what}"


def test_compressed_images_are_allowed(bench) -> None:
    bench.start("controller", autostart=True, image_transport="compressed")
    bench.until(lambda: bench.node.count_subscribers("/image/compressed"), "a reader of images")
    bench.until(lambda: "controller" in bench.node.get_node_names(), "its name")
    assert done(bench, "controller")["subscribe"] <= POLICY["controller"]["subscribe"]


def test_nobody_but_the_adapter_may_speak_to_the_vehicle() -> None:
    assert [node for node in POLICY if "/vehicle/cmd_vel" in POLICY[node]["publish"]] == [
        "vehicle_adapter"]
    assert [node for node in POLICY if "/cmd_vel" in POLICY[node]["publish"]] == ["controller"]
    assert all(not POLICY[node]["request"] for node in NODES)


def test_a_node_opens_no_socket_that_an_empty_one_has_not(running) -> None:
    running.until(lambda: set(NODES) <= set(running.node.get_node_names()), "all nodes")
    domain = running.node.context.get_domain_id()
    empty = running.run("empty", "-c", EMPTY)
    running.until(lambda: "empty" in running.node.get_node_names(), "an empty node")

    def kinds(pid: int) -> Counter[tuple[str, bool]]:
        return Counter((s.protocol, of_dds(s, domain)) for s in sockets(pid))

    usual = kinds(empty.pid)
    assert usual["udp", True]
    for process in running.processes:
        assert kinds(process.pid) <= usual, process.name
        assert not [s for s in sockets(process.pid) if s.protocol.startswith(("tcp", "raw"))]


def test_policy_file_is_as_the_script_writes_it() -> None:
    checked = subprocess.run([sys.executable, str(SCRIPT), "--check"], text=True,
                             capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_policy_of_a_drone_in_a_namespace() -> None:
    printed = subprocess.run([sys.executable, str(SCRIPT), "--namespace", "drone1"], text=True,
                             capture_output=True, check=True).stdout
    found = allowed(printed)
    assert "/drone1/cmd_vel" in found["controller"]["publish"]
    assert "/drone1/controller/status" in found["operator"]["subscribe"]
    assert "/clock" in found["controller"]["subscribe"]
    paths = [enclave.get("path") for enclave in ElementTree.fromstring(printed).iter("enclave")]
    assert "/lnn_ros/drone1/vehicle_adapter" in paths


@pytest.mark.parametrize("robot", robots.names())
def test_policy_of_every_robot_lets_the_adapter_speak_to_its_vehicle(robot: str) -> None:
    printed = subprocess.run([sys.executable, str(SCRIPT), "--robot", robot], text=True,
                             capture_output=True, check=True).stdout
    profile = robots.load(robot)
    vehicle = vehicles.make(profile.vehicle)
    ours = [*vehicle.takes, *vehicle.says]
    theirs = {profile.remaps.get(topic, topic) for topic in ours}
    adapter = allowed(printed)["vehicle_adapter"]
    found = {name.lstrip("/") for name in adapter["publish"] | adapter["subscribe"]}
    assert {name.lstrip("/") for name in theirs} <= found
