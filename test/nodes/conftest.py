"""A bench of its own for every test of processes."""

from __future__ import annotations

import pytest
from ros import Bench


@pytest.fixture
def bench(tmp_path):
    """Processes over DDS on a domain of their own; all ended afterwards."""
    found = Bench(tmp_path)
    yield found
    found.close()
