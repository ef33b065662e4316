"""What holds for all tests: threads would only fight over the cores, and no test is timed."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("lnn_ros", deadline=None)
settings.load_profile("lnn_ros")

HERE = Path(__file__).parent
LIVE = ("nodes", "launch")
"""Folders whose own tests, not those of folders in them, run real processes and mostly wait."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share the tests out among two processes, as ``make test`` has it.

    What runs in real time takes turns in one of them, and begins first; the other computes
    meanwhile, a file at a time.
    """
    def group(item: pytest.Item) -> str:
        where = item.path.relative_to(HERE)
        return "live" if where.parent.as_posix() in LIVE else where.as_posix()

    items.sort(key=lambda item: group(item) != "live")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
