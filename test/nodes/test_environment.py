"""What a node's process is given before it begins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lnn_ros.nodes import distributions

PAGES = """
import resource
from lnn_ros.nodes import environment

if {keep}:
    environment.keep_memory()

def images():
    for _ in range(20):
        copies = [bytes(1) * 1_000_000 for _ in range(3)]

images()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
images()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(keep):
    """Return how often the kernel had to give a page of memory to a process with large images."""
    found = subprocess.run([sys.executable, "-c", PAGES.format(keep=keep)], capture_output=True,
                           text=True, check=True)
    return int(found.stdout)


def test_memory_of_large_images_is_kept():
    assert pages(keep=True) < 100 < pages(keep=False)


DDS = """
import os
from lnn_ros.nodes import environment

environment.use_dds_profile("robot.xml")
print(os.environ.get("FASTDDS_BUILTIN_TRANSPORTS", "-"),
      *(os.environ[name] for name in {names!r} if name in os.environ))
"""


def dds(**given):
    """Return the transports and the profiles that a node's process has with some variables set."""
    names = tuple(distributions.DDS_PROFILES)
    own = {key: value for key, value in os.environ.items()
           if key not in (*names, "FASTDDS_BUILTIN_TRANSPORTS")}
    found = subprocess.run([sys.executable, "-c", DDS.format(names=names)], env={**own, **given},
                           capture_output=True, text=True, check=True)
    return found.stdout.split()


def test_nodes_are_heard_over_udp_by_the_profile_of_the_package():
    transports, profile = dds()
    assert transports == "UDPv4" and profile.endswith("robot.xml")
    assert dds(FASTDDS_BUILTIN_TRANSPORTS="UDPv4") == [transports, profile]


@pytest.mark.parametrize("variable", distributions.DDS_PROFILES)
def test_a_profile_of_the_user_is_left_alone(variable):
    assert dds(**{variable: "/own.xml"}) == ["-", "/own.xml"]


def test_transports_of_the_user_leave_the_profile_out_that_would_contradict_them():
    assert dds(FASTDDS_BUILTIN_TRANSPORTS="SHM") == ["SHM"]
