"""Who is there at all: graph, ROS, policy and parameters."""

from __future__ import annotations

import dataclasses

import pytest
from seen_robots import well
from verdicts import bad, only

from lnn_ros.nodes.doctor.checks import judge
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Policy, Snapshot, System


def test_nobody_is_there() -> None:
    seen = dataclasses.replace(well(), topics={}, nodes=frozenset(), heard={})
    finding = bad(seen)["graph"]
    assert finding.verdict is Verdict.FAIL
    assert "ROS_DOMAIN_ID 7" in finding.found and "RMW_IMPLEMENTATION" in finding.remedy


def test_python_that_cannot_use_messages_is_all_that_is_said() -> None:
    seen = Snapshot(system=System("humble", "rmw_fastrtps_cpp", numpy="2.1.0",
                                  problem="numpy.core.multiarray failed to import"))
    (finding,) = judge(seen)
    assert finding.verdict is Verdict.FAIL
    assert "constraints/ros.txt" in finding.remedy and "2.1.0" in finding.found


@pytest.mark.parametrize("changes", [{"distribution": "iron"}, {"distribution": "humble"},
                                     {"middleware": "rmw_zenoh_cpp"}])
def test_untested_ros_is_a_warning(changes) -> None:
    seen = well()
    seen = dataclasses.replace(seen, system=dataclasses.replace(seen.system, **changes))
    only(seen, "ros", Verdict.WARN, *changes.values())


def test_policy_that_does_not_load() -> None:
    seen = dataclasses.replace(well(), policy=Policy("mine", problem="mine.safetensors is cut"))
    only(seen, "policy", Verdict.FAIL, "mine.safetensors is cut")


def test_running_node_with_other_parameters_than_the_files() -> None:
    seen = dataclasses.replace(well(), differs=("/controller runs with rate_hz 20.0",))
    only(seen, "parameters", Verdict.WARN, "rate_hz 20.0", "--params-file")
