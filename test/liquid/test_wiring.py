import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.wiring import Wiring, ncp

SIZES = st.integers(1, 20)


@given(SIZES, SIZES, SIZES, SIZES, st.integers(1, 8), st.integers(0, 8), st.integers(0, 1000))
def test_every_neuron_hears_its_fan_in_and_every_source_is_heard(
    sensory, inter, command, motor, fan, recurrent, seed
):
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
        )

    wiring = draw()
    assert wiring.sizes == (inter, command, motor)
    for mask, sources in (
        (wiring.inter, sensory),
        (wiring.command[:inter], inter),
        (wiring.motor, command),
    ):
        assert mask.shape[0] == sources
        assert (mask.sum(axis=0) >= min(fan, sources)).all()
        assert (mask.sum(axis=1) >= 1).all()
        assert set(np.unique(mask)) <= {0, 1}
    again = draw()
    assert all(np.array_equal(again.masks()[name], mask) for name, mask in wiring.masks().items())
    assert wiring.synapses == sum(int(m.sum()) for m in wiring.masks().values())


def test_another_seed_wires_differently():
    one, other = (
        ncp(
            20,
            12,
            8,
            4,
            inter_fan_in=6,
            command_fan_in=4,
            recurrent_fan_in=3,
            motor_fan_in=3,
            seed=seed,
        )
        for seed in (0, 1)
    )
    assert not np.array_equal(one.inter, other.inter)


def test_layers_that_do_not_join_are_refused():
    ones = np.ones((3, 2), np.uint8)
    with pytest.raises(LnnError, match="do not join"):
        Wiring(ones, ones, ones)
    with pytest.raises(LnnError, match="at least 1"):
        ncp(
            0, 1, 1, 1, inter_fan_in=1, command_fan_in=1, recurrent_fan_in=1, motor_fan_in=1, seed=0
        )
