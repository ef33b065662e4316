"""Parameters of the guard are refused with a sentence, as a whole, and fit the nodes' settings."""

import dataclasses
import math

import pytest

from lnn_ros.errors import LnnError
from lnn_ros.guard.limits import UNLIMITED, Slew
from lnn_ros.guard.parameters import (
    OFFLINE,
    FenceParameters,
    GuardParameters,
    LimitParameters,
    ModeParameters,
    NoveltyParameters,
    ObstacleParameters,
    SensorParameters,
    SlewParameters,
    StoppingParameters,
    TakeoverParameters,
)
from lnn_ros.nodes.parameter_rows import rows

GROUPS = (LimitParameters, SlewParameters, StoppingParameters, ObstacleParameters,
          SensorParameters, FenceParameters, ModeParameters, TakeoverParameters,
          NoveltyParameters)


@pytest.mark.parametrize("group", GROUPS)
def test_every_field_is_a_parameter_with_range_unit_and_sentence(group):
    found = {row.name: row for row in rows(group)}
    assert set(found) == {item.name for item in dataclasses.fields(group)}
    for row in found.values():
        assert row.description.endswith(".") and row.check(row.default) == row.default
        if isinstance(row.default, float):
            assert row.low is not None and row.low <= row.default <= row.high


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e300, "1", None, True, 7])
def test_nonsense_is_refused_by_name(group, value):
    for item in dataclasses.fields(group):
        if isinstance(item.default, bool) and isinstance(value, bool):
            continue
        low, high = item.metadata["low"], item.metadata["high"]
        if type(value) is int and low is not None and low <= value <= high:
            continue
        with pytest.raises(LnnError, match=rf"\.{item.name} is .*expected"):
            group(**{item.name: value})


@pytest.mark.parametrize("make, words", [
    (lambda: SlewParameters(jerk_vertical=5.0, up=1.0), "slew.down is 0"),
    (lambda: ObstacleParameters(lowest=1.0, highest=0.5), "expected the first to be lower"),
    (lambda: SensorParameters(near=2.0, far=1.0), "expected the first to be smaller"),
    (lambda: FenceParameters(y_low=3.0, y_high=3.0), "fence.y_low is 3 and fence.y_high 3"),
    (lambda: GuardParameters(normal=SlewParameters(up=2.0), braking=SlewParameters(up=1.0)),
     "braking.up is 1 and normal.up 2"),
    (lambda: GuardParameters(normal=SlewParameters(lateral=0.5),
                             braking=SlewParameters(lateral=0.5),
                             fence=FenceParameters(enabled=True)), "nothing stops in time"),
    (lambda: GuardParameters(sensors={"front": SensorParameters(max_age=1.0)}),
     "sensors.front.max_age is 1 and obstacles.memory 0.5"),
    (lambda: Slew((1.0,) * 4, (1.0,) * 4, (1.0, 1.0, math.nan, 1.0)), "slew: jerk is"),
])
def test_what_does_not_fit_together_is_refused(make, words):
    with pytest.raises(LnnError, match=words):
        make()


def test_zero_is_no_limit_of_change_and_offline_has_none():
    assert SlewParameters().slew() == UNLIMITED
    assert OFFLINE.normal.slew() == OFFLINE.braking.slew() == UNLIMITED
    assert not OFFLINE.sensors and not OFFLINE.fence.enabled


def test_parameters_by_axis():
    limits = LimitParameters(forward=1.6, backward=0.5, lateral=1.0, up=0.8, down=0.7, turn=1.5)
    assert limits.limits().low == (-0.5, -1.0, -0.7, -1.5)
    assert limits.limits().high == (1.6, 1.0, 0.8, 1.5)
    slew = SlewParameters(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0).slew()
    assert slew == Slew((1.0, 3.0, 4.0, 6.0), (2.0, 3.0, 5.0, 6.0), (7.0, 8.0, 9.0, 10.0))
