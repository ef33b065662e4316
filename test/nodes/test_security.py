"""What the nodes do on the network is what security/policy.xml allows, no less and no more.

And a node has no socket that an empty ROS node has not: nothing listens beyond DDS.
"""

from __future__ import annotations

import fnmatch
import re
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
from lnn_ros.nodes.options import NodeOptions
from lnn_ros.nodes.settings import SENSORS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "security.py"
ONE, TWO = NodeOptions(), NodeOptions(drones=2, namespace="fleet")
SLOW = {"real_time_factor": 0.05}  # what they do is not looked at, only with whom they speak
ALL_SENSORS = {f"{name}__enabled": True for name in SENSORS}
# Used in another set-up than this one.
ELSEWHERE = {
    "controller": r".*/image/compressed",  # see below
    "simulator": r"(/fleet/drone\d)?/cmd_vel",  # in lock-step, where there is no adapter
}
ASKED = {"publish": "publisher", "subscribe": "subscriber", "reply": "service",
         "request": "client"}
# An empty node with a publisher: what the middleware itself opens.
EMPTY = ("import rclpy; from rclpy.node import Node; rclpy.init(); node = Node('empty');"
         "rclpy.spin(node)")

Allowed = dict[str, dict[str, set[str]]]


def allowed(text: str) -> Allowed:
    """What a policy allows, by node with its namespace."""
    found = {}
    for enclave in ElementTree.fromstring(text).iter("enclave"):
        (profile,) = enclave.iter("profile")
        node = f"{profile.get('ns').rstrip('/')}/{profile.get('node')}"
        assert enclave.get("path") == f"/lnn_ros{node}"
        rules = found.setdefault(node, {what: set() for what in ASKED})
        for group in profile:
            for what, verdict in group.attrib.items():
                assert verdict == "ALLOW"
                rules[what] |= {entry.text for entry in group}
    return found


def script(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    return subprocess.run([sys.executable, str(SCRIPT), *words], text=True, capture_output=True,
                          check=False)


POLICY = allowed((ROOT / "security" / "policy.xml").read_text())


def done(bench: Bench, node: str) -> dict[str, set[str]]:
    """What a running node does, as every other participant sees it."""
    namespace, _, name = node.rpartition("/")
    return {what: {topic for topic, _ in getattr(
        bench.node, f"get_{word}_names_and_types_by_node")(name, namespace or "/")}
        for what, word in ASKED.items()}


def there(bench: Bench) -> dict[str, str]:
    """Return the enclave of each node that runs."""
    return {f"{namespace.rstrip('/')}/{name}": enclave for name, namespace, enclave
            in bench.node.get_node_names_and_namespaces_with_enclaves()}


@pytest.fixture(scope="module", params=[ONE, TWO], ids=["one drone", "two drones"])
def running(request, tmp_path_factory):
    """What launch starts, with everything that the nodes can be told to do, and its policy."""
    folder = tmp_path_factory.mktemp("security")
    bench = Bench(folder)
    more = {"simulator": SLOW, "controller": ALL_SENSORS,
            "companion": {"record": True, "folder": folder / "bags"}}
    for spec in table.nodes(request.param):
        bench.run(spec.name, *spec.command()[1:], **more.get(spec.name, {}))
    policy = POLICY if request.param is ONE else allowed(
        script("--drones", "2", "--namespace", "fleet").stdout)
    yield bench, policy
    bench.close()


def unused(bench: Bench, policy: Allowed) -> dict[str, set[str]]:
    """Permissions of which no running node makes use, by node."""
    found = {}
    for node in policy.keys() & there(bench).keys():
        does, elsewhere = done(bench, node), ELSEWHERE.get(node.rpartition("/")[2], "")
        found[node] = {entry for what, entries in policy[node].items() for entry in entries
                       if not fnmatch.filter(does[what], entry)
                       and not re.fullmatch(elsewhere, entry)}
    return found


def test_nodes_do_all_that_the_policy_allows_and_no_more(running) -> None:
    bench, policy = running
    ours = [node for node in policy if not node.endswith("/operator")]
    try:
        bench.until(lambda: unused(bench, policy) == {node: set() for node in ours}, "all nodes")
    except AssertionError:
        pytest.fail(f"the policy allows what no node does: {unused(bench, policy)}")
    for node in ours:
        for what, names in done(bench, node).items():
            refused = {name for name in names if not any(
                fnmatch.fnmatch(name, entry) for entry in policy[node][what])}
            assert not refused, f"{node} would not be allowed to {what}"
        assert there(bench)[node] == f"/lnn_ros{node}"


def test_compressed_images_are_allowed(bench) -> None:
    bench.start("controller", autostart=True, image_transport="compressed")
    bench.until(lambda: bench.node.count_subscribers("/image/compressed"), "a reader of images")
    bench.until(lambda: "/controller" in there(bench), "its name")
    assert done(bench, "/controller")["subscribe"] <= POLICY["/controller"]["subscribe"]


@pytest.mark.parametrize("words", [(), ("--drones", "4", "--namespace", "fleet")], ids=str)
def test_nobody_but_its_adapter_may_speak_to_a_vehicle(words: tuple[str, ...]) -> None:
    policy = allowed(script(*words).stdout) if words else POLICY

    def who(topic: str) -> list[str]:
        return [node for node in policy if topic in policy[node]["publish"]]

    drones = [node.removesuffix("/controller") for node in policy if node.endswith("/controller")]
    assert len(drones) == (4 if words else 1)
    for drone in drones:
        assert who(f"{drone}/vehicle/cmd_vel") == [f"{drone}/vehicle_adapter"]
        assert who(f"{drone}/cmd_vel") == [f"{drone}/controller"]
        # Nor does any of them hear what another one sees.
        for node in ("controller", "vehicle_adapter"):
            names = set().union(*policy[f"{drone}/{node}"].values())
            assert not [name for name in names for other in drones
                        if other != drone and name.startswith(f"{other}/")]
    run = "/fleet" if words else ""
    assert [node for node in policy if policy[node]["request"]] == [
        f"{run}/companion", f"{run}/operator"]
    assert policy[f"{run}/companion"]["request"] == {f"{run}/controller/swap"}


@pytest.mark.parametrize("running", [ONE], indirect=True, ids=["one drone"])
def test_a_node_opens_no_socket_that_an_empty_one_has_not(running) -> None:
    bench, policy = running
    bench.until(lambda: len(policy.keys() & there(bench).keys()) == len(table.MODULES), "all nodes")
    domain = bench.node.context.get_domain_id()
    empty = bench.run("empty", "-c", EMPTY)
    bench.until(lambda: "/empty" in there(bench), "an empty node")

    def kinds(pid: int) -> Counter[tuple[str, bool]]:
        return Counter((s.protocol, of_dds(s, domain)) for s in sockets(pid))

    usual = kinds(empty.pid)
    assert usual["udp", True]
    for process in bench.processes:
        assert kinds(process.pid) <= usual, process.name
        assert not [s for s in sockets(process.pid) if s.protocol.startswith(("tcp", "raw"))]


def test_policy_file_is_as_the_script_writes_it(tmp_path: Path) -> None:
    checked = script("--check")
    assert checked.returncode == 0, checked.stderr
    assert script("--out", str(tmp_path / "policy.xml")).stdout == ""
    assert (tmp_path / "policy.xml").read_text() == (ROOT / "security/policy.xml").read_text()


def test_policy_of_a_drone_in_a_namespace() -> None:
    found = allowed(script("--namespace", "drone1").stdout)
    assert "/drone1/cmd_vel" in found["/drone1/controller"]["publish"]
    assert "/drone1/controller/status" in found["/drone1/operator"]["subscribe"]
    assert "/clock" in found["/drone1/controller"]["subscribe"]


@pytest.mark.parametrize(("words", "sentence"), [
    (("--drones", "9"), "drones:=9: expected a whole number from 1 to 4"),
    (("--drones", "2", "--robot", "px4"), "drones:=2 belongs to sim:=embedded"),
    (("--namespace", "a-b"), "namespace:=a-b is not a ROS namespace"),
    (("--robot", "nobody"), "nobody"),
    (("--out", "/no/such/policy.xml"), "--out /no/such/policy.xml: No such file or directory"),
])
def test_what_launch_cannot_start_has_no_policy(words: tuple[str, ...], sentence: str) -> None:
    refused = script(*words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert sentence in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.parametrize("robot", robots.names())
def test_policy_of_every_robot_lets_the_adapter_speak_to_its_vehicle(robot: str) -> None:
    policy = allowed(script("--robot", robot).stdout)
    profile = robots.load(robot)
    vehicle = vehicles.make(profile.vehicle)
    ours = [*vehicle.takes, *vehicle.says]
    theirs = {profile.remaps.get(topic, topic) for topic in ours}
    adapter = policy["/vehicle_adapter"]
    found = {name.lstrip("/") for name in adapter["publish"] | adapter["subscribe"]}
    assert {name.lstrip("/") for name in theirs} <= found
    assert "/simulator" not in policy
