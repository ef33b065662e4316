"""What a node's process is given before it begins."""

from __future__ import annotations

import subprocess
import sys

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
