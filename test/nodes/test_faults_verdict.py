"""What counts as safe, on commands and reports that are written down here."""

from __future__ import annotations

import math

import pytest

from lnn_ros.nodes.faults.verdict import (
    Bounds,
    Command,
    Expectation,
    Failed,
    Heard,
    Report,
    always,
    expected,
    flies,
    halted_after,
)

BOUNDS = Bounds((-1.0,) * 4, (2.0, 1.0, 1.0, 1.0), (3.0,) * 4, 0.1)
PERIOD = 0.05


def commands(*speeds: float, since: float = 0.0, turn: float = 0.0) -> list[Command]:
    """Return commands every 50 ms, from a stamp of 1 s on."""
    return [Command(since + i * PERIOD, 1_000_000_000 + round(i * PERIOD * 1e9),
                    (v, 0.0, 0.0, turn)) for i, v in enumerate(speeds)]


def checks(failed: list[Failed]) -> set[str]:
    return {f.check for f in failed}


def told(mode: str, at: float = -1.0) -> list[Report]:
    return [Report(at, mode, "", "status")]


def test_flight_inside_its_limits_is_safe() -> None:
    heard = Heard(commands(0.0, 0.1, 0.2, 0.3, 0.2), commands(0.0, 0.1), told("engaged"))
    assert always(heard, BOUNDS) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("topic", ["commands", "vehicle"])
def test_number_that_is_not_finite_is_found_wherever_it_leaves(topic: str, value: float) -> None:
    heard = Heard(reports=told("engaged"))
    getattr(heard, topic).extend(commands(0.0, 0.1, value, 0.1))
    assert "finite" in checks(always(heard, BOUNDS))


@pytest.mark.parametrize("values", [(2.1, 0.0, 0.0, 0.0), (0.0, -1.1, 0.0, 0.0),
                                    (0.0, 0.0, 1.1, 0.0), (0.0, 0.0, 0.0, 1.1)])
def test_command_above_a_ceiling_is_found(values: tuple[float, float, float, float]) -> None:
    heard = Heard([Command(0.0, 1, values)], reports=told("engaged"))
    assert checks(always(heard, BOUNDS)) == {"ceilings"}


def test_command_without_stamp_or_frame_is_found() -> None:
    for command in (Command(0.0, 0, (0.0,) * 4), Command(0.0, 1, (0.0,) * 4, "map")):
        assert checks(always(Heard([command]), BOUNDS)) == {"framed"}


def test_step_is_held_to_the_time_between_two_stamps() -> None:
    assert always(Heard(commands(0.0, 0.15), reports=told("engaged")), BOUNDS) == []
    assert checks(always(Heard(commands(0.0, 0.16), reports=told("engaged")), BOUNDS)) == {"steps"}
    late = [Command(0.0, 1, (0.0,) * 4), Command(0.1, 1, (0.1, 0.0, 0.0, 0.0))]
    assert checks(always(Heard(late, reports=told("engaged")), BOUNDS)) == {"steps"}


@pytest.mark.parametrize(("stops", "found"), [(0, {"steps"}), (1, set())])
def test_zero_outside_of_the_loop_is_known_by_the_next_trace(stops: int, found: set[str]) -> None:
    """The limiter begins at rest again: that is no step if it was put to rest, and one if not."""
    heard = Heard(reports=told("engaged"))
    for i, (speed, count) in enumerate(((1.0, 0), (1.0, 0), (0.05, stops), (0.1, stops))):
        heard.trace(Command(i * PERIOD, 1_000_000_000 + round(i * PERIOD * 1e9),
                            (speed, 0.0, 0.0, 0.0)), count)
    assert checks(always(heard.by_trace(), BOUNDS)) == found


def test_pause_buys_no_jump() -> None:
    pair = [Command(0.0, 1, (0.0,) * 4), Command(9.0, 9 * 10**9, (0.31, 0.0, 0.0, 0.0))]
    assert checks(always(Heard(pair, reports=told("engaged")), BOUNDS)) == {"steps"}


@pytest.mark.parametrize("mode", ["disengaged", "fault"])
@pytest.mark.parametrize("at", [-1.0, 0.2])
def test_zero_at_once_is_allowed_where_it_stops_and_is_told_before_or_next(
        mode: str, at: float) -> None:
    heard = Heard([Command(-0.1, 1, (0.9, 0.0, 0.0, 0.0)), *commands(0.0, 0.0)],
                  reports=told(mode, at))
    assert "steps" not in checks(always(heard, BOUNDS))
    heard.reports = [*told("hold", at), *told("hold", 0.3)]
    assert "steps" in checks(always(heard, BOUNDS))


def test_zero_at_once_is_allowed_as_the_last_word() -> None:
    stop = [Command(0.0, 1, (0.9, 0.0, 0.0, 0.0)), Command(0.1, 2, (0.0,) * 4)]
    last = [Report(0.12, "engaged", "", "trace")]
    assert always(Heard(stop, reports=last), BOUNDS) == []
    more = [*last, Report(0.3, "engaged", "", "trace")]
    assert checks(always(Heard(stop, reports=more), BOUNDS)) == {"steps"}


def test_zero_at_once_is_allowed_outside_of_the_loop() -> None:
    for stamp, value, safe in ((1, 0.0, True), (1, 0.2, False), (2, 0.0, False)):
        stop = [Command(0.0, 1, (0.9, 0.0, 0.0, 0.0)),
                Command(0.3, stamp, (value, 0.0, 0.0, 0.0))]
        heard = Heard(stop, reports=[*told("hold"), *told("hold", 0.5)])
        assert ("steps" not in checks(always(heard, BOUNDS))) == safe


def test_motion_in_a_stopped_mode_is_found() -> None:
    moving = Heard(commands(0.1, 0.1, 0.1, 0.1, 0.1), reports=told("fault", 0.0))
    assert checks(always(moving, BOUNDS)) == {"stopped"}
    often = Heard(commands(*[0.1] * 9), reports=[told("fault", i / 30)[0] for i in range(12)])
    assert checks(always(often, BOUNDS)) == {"stopped"}
    after = Heard(commands(0.1, 0.1, since=0.5), reports=[*told("fault", 0.0),
                                                          *told("engaged", 0.5)])
    assert always(after, BOUNDS) == []


def test_halting_counts_from_the_injection_and_must_last() -> None:
    heard = Heard(commands(0.5, 0.5, 0.2, 0.0, 0.0))
    assert halted_after(heard, "cmd_vel", 0.05, 1.0) == pytest.approx(0.1)
    assert halted_after(Heard(commands(0.5, 0.0, 0.0, 0.5)), "cmd_vel", 0.0, 1.0) is None
    assert halted_after(Heard(commands(0.5, 0.5)), "cmd_vel", 0.0, 1.0) is None
    assert halted_after(Heard(commands(0.0, 0.0)), "cmd_vel", 0.0, 1.0) == 0.0
    assert halted_after(Heard(), "vehicle/cmd_vel", 0.0, 1.0) is None
    turning = Heard(commands(0.0, 0.0, turn=0.5))
    assert halted_after(turning, "cmd_vel", 0.0, 1.0) is None
    assert halted_after(turning, "ahead", 0.0, 1.0) == 0.0


def test_halting_of_the_vehicle_itself() -> None:
    heard = Heard(speeds=[(0.0, 1.0), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)])
    assert halted_after(heard, "ground_truth", 0.0, 2.0) == 1.0


def test_what_is_expected_of_a_fault_is_held_to_it() -> None:
    heard = Heard(commands(0.5, 0.5, 0.2, 0.0, 0.0), reports=told("hold"))
    wanted = Expectation("cmd_vel", 0.2, modes=("hold",))
    assert expected(heard, wanted, 0.0, 0.2) == []
    assert checks(expected(heard, Expectation("cmd_vel", 0.1), 0.0, 0.2)) == {"halts"}
    assert expected(heard, Expectation("cmd_vel", 0.1), 0.0, 0.2, pace=0.5) == []
    assert checks(expected(heard, Expectation(modes=("fault",)), 0.0, 0.2)) == {"mode"}
    fast = Heard(commands(0.5, 0.5))
    assert checks(expected(fast, Expectation(slow=0.3), 0.0, 0.2)) == {"slow"}
    assert expected(heard, Expectation(slow=0.3), 0.0, 0.2) == []


def test_flying_on_is_to_be_engaged_to_command_and_to_move() -> None:
    fast = commands(*[0.5] * 21)
    wanted = Expectation(flies=True)
    engaged = told("engaged", 0.3)
    assert expected(Heard(fast, reports=engaged), wanted, 0.0, 1.0) == []
    for heard in (
        Heard(fast, reports=told("hold", 0.3)),
        Heard(commands(*[0.0] * 21), reports=engaged),
        Heard(fast[:3] + fast[-3:], reports=engaged),
    ):
        assert checks(expected(heard, wanted, 0.0, 1.0)) == {"flies"}


def test_flight_is_seen_at_the_vehicle() -> None:
    fast, engaged = commands(0.5, 0.5, 0.5, since=1.0), told("engaged", 1.0)
    assert flies(Heard(fast, fast, engaged), 0.9)
    assert not flies(Heard(fast, [], engaged), 0.9)
    assert not flies(Heard(fast, fast, engaged), 1.07)
    assert not flies(Heard(fast, fast, told("hold", 1.0)), 0.9)


def test_pace_of_simulated_time() -> None:
    half = Heard(simulated=[(i / 10, 5.0 + i / 20) for i in range(11)])
    assert half.pace(0.0, 1.0) == pytest.approx(0.5)
    assert half.pace(0.0, 9.0) == 1.0  # it stood still most of the time
    assert Heard().pace(0.0, 1.0) == 1.0
