"""A controller that leaves a trace, and the replay of what it left."""

from __future__ import annotations

import pytest
from bags import Live, small_policy
from lives import Replay, decode


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return small_policy(tmp_path_factory.mktemp("policy") / "small.safetensors")


@pytest.fixture
def live(policy):
    return Live(policy, decode)


@pytest.fixture
def replay(policy, tmp_path):
    return Replay(policy, tmp_path)
