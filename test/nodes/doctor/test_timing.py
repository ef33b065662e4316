"""Rhythm: rates, gaps, repeats, losses, silences, and a clock that stands or goes back."""

from __future__ import annotations

import dataclasses
import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seen_robots import START_NS, TOLD, clock, guarded, having, heard, hearing, simulated, well
from verdicts import bad, only

from lnn_ros.nodes.doctor.checks import judge, timing
from lnn_ros.nodes.doctor.findings import Verdict
from lnn_ros.nodes.doctor.snapshot import Heard


@pytest.mark.parametrize(("stream", "rate_hz", "verdict", "word"), [
    ("image", 1.5, Verdict.FAIL, "limits.max_age"), ("image", 5.0, Verdict.WARN, "8 and 60"),
    ("image", 30.0, Verdict.OK, ""), ("image", 90.0, Verdict.FAIL, "60 Hz or less"),
    ("imu", 50.0, Verdict.WARN, "100 and 1000"), ("imu", 400.0, Verdict.OK, ""),
    ("imu", 4000.0, Verdict.FAIL, "refused")])
def test_rate(stream, rate_hz, verdict, word) -> None:
    known = well().listened(stream)
    now = heard(rate_hz)
    seen = hearing(well(), stream, arrivals_ns=now.arrivals_ns, stamps_ns=now.stamps_ns,
                   sequence=now.sequence, readings=None, frames=known.frames)
    finding = next(f for f in judge(seen) if f.what == f"{stream} rate")
    assert finding.verdict is verdict and f"{rate_hz:.1f} Hz" in finding.found
    assert word in finding.remedy


def test_rates_are_those_of_the_simulator_that_policies_are_trained_in() -> None:
    sensors = importlib.import_module("lnn_ros.simulation.sensors")
    assert {name: rate.trained for name, rate in timing.RATES.items()} == {
        "camera": sensors.CAMERA.rate_hz, "imu": sensors.IMU.rate_hz}


def test_silent_publisher() -> None:
    seen = hearing(well(), "imu", arrivals_ns=(), stamps_ns=(), readings=None)
    only(seen, "imu rate", Verdict.FAIL, "though it has a publisher")


def test_gap() -> None:
    now = heard(20.0)
    arrivals = tuple(t + (600_000_000 if k > 50 else 0) for k, t in enumerate(now.arrivals_ns))
    seen = hearing(well(), "image", arrivals_ns=arrivals,
                   stamps_ns=tuple(t - 3_000_000 for t in arrivals))
    only(seen, "image gaps", Verdict.FAIL, "650 ms", "limits.max_age")


def test_repeated_stamps() -> None:
    stamps_ns = well().listened("image").stamps_ns
    seen = hearing(well(), "image", stamps_ns=tuple(np.repeat(stamps_ns[::2], 2).tolist()))
    assert "50%" in bad(seen)["image repeats"].found


@given(st.sets(st.integers(1, 998), max_size=900))
def test_counted_losses_are_exact(missing) -> None:
    left = tuple(k for k in range(1000) if k not in missing)
    share = timing.lost(Heard(sequence=left, arrivals_ns=left))
    assert share is not None and share[1]
    assert share[0] == pytest.approx(len(missing) / 1000)


@given(st.sets(st.integers(1, 98), max_size=25), st.floats(0.0, 0.05))
def test_losses_are_guessed_from_gaps_where_nothing_counts(missing, jitter) -> None:
    times = [round((k + jitter * math.sin(k)) * 50e6) + START_NS for k in range(100)
             if k not in missing]
    share = timing.lost(Heard(stamps_ns=tuple(times), arrivals_ns=tuple(times)))
    assert share is not None and not share[1]
    assert share[0] == pytest.approx(len(missing) / 100, abs=0.02)


def test_large_images_that_are_lost() -> None:
    known = well().listened("image")
    keep = [k for k in range(len(known)) if k % 10]
    seen = hearing(well(), "image", size=1_200_000, **{
        name: tuple(getattr(known, name)[k] for k in keep)
        for name in ("arrivals_ns", "stamps_ns", "sequence")})
    only(seen, "image losses", Verdict.WARN, "1,200,000 bytes", "compressed")


def test_clock_that_stands() -> None:
    seen = simulated(well(), clock([1.0 + 0.05 * k for k in range(50)] + [3.5] * 50))
    found = bad(seen)
    assert found["clock"].verdict is Verdict.FAIL and "stood still for 2.5" in found["clock"].found


def test_clock_that_goes_back_or_says_nothing() -> None:
    seen = simulated(well(), clock([1.0 + 0.05 * (k % 50) for k in range(100)]))
    assert "back 1 times" in bad(seen)["clock"].found
    assert bad(simulated(well(), ()))["clock"].verdict is Verdict.FAIL
    missing = having(simulated(well(), ()), "/clock", ())
    assert "use_sim_time" in bad(missing)["/clock topic"].remedy


def test_what_the_guard_is_told_has_to_come_often_enough() -> None:
    assert bad(guarded()) == {}
    assert {w.name for w in guarded().inputs if w.limit_s} == set(TOLD)
    for name, parameter in TOLD.items():
        only(guarded(**{name: 0.4}), f"{name} gaps", Verdict.FAIL, "2.50 s", parameter)
        silent = guarded()
        silent = dataclasses.replace(silent, heard={
            key: what for key, what in silent.heard.items() if key != name})
        only(silent, f"{name} gaps", Verdict.FAIL, "though it has a publisher")
