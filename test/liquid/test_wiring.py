"""Drawn wirings: who hears whom, and that equal arguments draw equal ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense, ncp

SIZES = st.integers(1, 20)
FANS = {"inter_fan_in": 6, "command_fan_in": 4, "recurrent_fan_in": 3, "motor_fan_in": 3}


def same(one, other):
    return all(
        np.array_equal(a.signs, b.signs) for a, b in zip(one.layers, other.layers, strict=True)
    )


@given(
    SIZES, SIZES, SIZES, SIZES, st.integers(1, 8), st.integers(0, 8), st.integers(0, 1000),
    st.booleans(),
)  # fmt: skip
def test_every_neuron_hears_its_fan_in_and_every_source_is_heard(
    sensory, inter, command, motor, fan, recurrent, seed, paired
):
    command += paired

    def draw():
        return ncp(
            sensory,
            inter,
            command,
            motor,
            inter_fan_in=fan,
            command_fan_in=fan,
            recurrent_fan_in=recurrent,
            motor_fan_in=fan,
            seed=seed,
            paired=paired,
        )

    wiring = draw()
    assert wiring.sizes == (inter, command, motor) and wiring.units == inter + command + motor
    assert [layer.loop is not None for layer in wiring.layers] == [False, True, False]
    for layer, sources in zip(wiring.layers, (sensory, inter, command), strict=True):
        heard = np.abs(layer.feed)
        assert heard.shape[0] == sources
        assert (heard.sum(axis=0) >= min(fan, sources)).all()
        assert (heard.sum(axis=1) >= 1).all()
        assert set(np.unique(layer.signs)) <= {-1, 0, 1}
        np.testing.assert_array_equal(layer.mask, np.abs(layer.signs))
    assert (np.abs(wiring.layers[1].loop).sum(axis=0) >= min(recurrent, command)).all()
    assert not paired or wiring.layers[1].pairs
    assert same(draw(), wiring)
    assert wiring.synapses == sum(int(m.sum()) for m in wiring.masks().values())
    sensed, heard = wiring.adjacency()
    assert (sensed != 0).sum() + (heard != 0).sum() == wiring.synapses


@given(st.integers(1, 30), st.integers(1, 6), st.integers(3, 40), st.booleans(), st.integers(0, 9))
def test_auto_ncp_has_as_many_neurons_as_asked(inputs, outputs, others, paired, seed):
    def draw():
        return auto_ncp(inputs, outputs + others, outputs, seed=seed, paired=paired)

    wiring = draw()
    assert wiring.units == outputs + others and wiring.sizes[-1] == outputs
    assert wiring.inputs == inputs
    assert not paired or wiring.layers[1].pairs
    assert same(draw(), wiring)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 1000))
def test_masks_bring_the_wiring_back(sensory, inter, command, motor, seed):
    wiring = ncp(sensory, inter, command, motor, **FANS, seed=seed)
    layers = tuple((layer.name, layer.loop is not None) for layer in wiring.layers)
    back = Wiring.from_masks(layers, wiring.masks())
    for one, other in zip(back.layers, wiring.layers, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert (one.loop is None) == (other.loop is None)


def test_a_dense_layer_hears_everything():
    wiring = dense(3, 4)
    assert wiring.sizes == (4,) and wiring.synapses == 4 * (3 + 4)
    assert wiring.layers[0].pairs


def test_another_seed_wires_differently():
    one, other = (ncp(20, 12, 8, 4, **FANS, seed=seed) for seed in (0, 1))
    assert not same(one, other)


def test_what_cannot_be_wired_is_refused():
    ones = np.ones((3, 2), np.int8)
    with pytest.raises(LnnError, match="hears 3 neurons, but layer a has 2"):
        Wiring((WiredLayer("a", ones), WiredLayer("b", ones)))
    with pytest.raises(LnnError, match="at least one"):
        Wiring(())
    with pytest.raises(LnnError, match="loop of layer a has shape"):
        WiredLayer("a", ones, ones)
    with pytest.raises(LnnError, match="-1, 0 and 1"):
        WiredLayer("a", 2 * ones)
    with pytest.raises(LnnError, match="at least 1"):
        ncp(0, 1, 1, 1, **FANS, seed=0)
    with pytest.raises(LnnError, match="at least 2 to pair"):
        ncp(5, 4, 1, 2, **FANS, seed=0, paired=True)
    with pytest.raises(LnnError, match="3 neurons more"):
        auto_ncp(5, 6, 4)
    with pytest.raises(LnnError, match="sparsity"):
        auto_ncp(5, 9, 4, sparsity=1.0)
    with pytest.raises(LnnError, match="at least 1"):
        dense(0, 4)
