"""The architectures that training makes: an NCP or layers in which everybody hears everybody."""

from __future__ import annotations

import numpy as np
import pytest

from lnn_ros.errors import LnnError
from lnn_ros.learning.architecture import CoreShape, make_policy
from lnn_ros.liquid.cells import kinds
from lnn_ros.liquid.torch_policy import TorchPolicy
from lnn_ros.simulation.task import Task

TASK = Task.load("fly_to_target")


@pytest.mark.parametrize("core", kinds())
def test_any_cell_can_have_layers_in_place_of_an_ncp(core: str) -> None:
    spec, wiring = make_policy(core, TASK, 0, shape=CoreShape(hidden=(12,)))
    assert wiring.sizes == (12,) and all(mask.all() for mask in wiring.masks().values())
    assert (wiring.layers[0].loop is not None) == spec.core.memory
    assert spec.core.read == 12, "the head reads all of them"
    assert spec.core.learnable(wiring.masks()) == spec.core.count()
    TorchPolicy(spec, wiring, 0)


def test_what_a_wiring_allows_is_what_can_be_learned() -> None:
    spec, wiring = make_policy("flow", TASK, 0)
    arrays = TorchPolicy(spec, wiring, 0).arrays()
    core = {name: a for name, a in arrays.items() if name.startswith("core.")}
    allowed = spec.core.allowed(wiring.masks())
    closed = sum(int((mask == 0).sum()) for mask in allowed.values())
    assert 0 < spec.core.learnable(wiring.masks()) == spec.core.count() - closed
    for name, mask in allowed.items():
        assert not np.any(core[f"core.{name}"][mask == 0]), name


def test_a_transformer_is_made_of_layers_only() -> None:
    with pytest.raises(LnnError, match="core 'transformer' found, expected one of cfc, "):
        make_policy("transformer", TASK, 0)
    with pytest.raises(LnnError, match="2 layers found, expected one, dense"):
        make_policy("transformer", TASK, 0, shape=CoreShape(hidden=(8, 8)))
