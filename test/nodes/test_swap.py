"""Another policy takes over in flight, as another process sees it."""

from __future__ import annotations

import numpy as np
import pytest
from flight import Flight
from random_policy import random_policy
from ros import is_zero, pairs

from lnn_ros.liquid.checkpoint import load, save


def digest(path):
    return load(path).weights_digest()[:16]


@pytest.fixture
def next_policy(tmp_path):
    """A policy that wants about what the one of ``Flight`` wants."""
    path = random_policy(tmp_path / "next.safetensors")
    checkpoint, rng = load(path), np.random.default_rng(0)
    checkpoint.arrays["head.bias"] += rng.normal(0.0, 0.01, 4).astype(np.float32)
    save(path, checkpoint)
    return path


class Swapped(Flight):
    """A controller that flies, and is asked for another policy."""

    def swap(self, path):
        assert self.bench.set_parameters("controller", policy=str(path)).successful
        return self.bench.trigger("controller/swap", self.sensors)

    def await_policy(self, path):
        wanted = digest(path)
        self.until(lambda: self.traced().get("policy") == wanted, f"commands by {path}")

    def await_news(self, part):
        self.until(lambda: part in self.say().get("swap", ""), f"news of: {part}")


@pytest.fixture
def flight(bench):
    found = Swapped(bench, engage=True)
    found.fly()
    return found


def test_a_policy_takes_over_in_flight_and_one_can_go_back(bench, flight, next_policy):
    began = len(flight.trace)
    answer = flight.swap(next_policy)
    assert answer.success and str(next_policy) in answer.message
    flight.await_policy(next_policy)
    flight.await_news("on trial for 30 s")
    assert flight.say()["policy"] == digest(next_policy)
    assert flight.say()["policy_file"] == str(next_policy)
    said = [pairs(trace.status[0]) for trace in flight.trace[began:]]
    assert {trace["mode"] for trace in said} == {"engaged"}
    assert {trace["reset"] for trace in said} == {said[0]["reset"]}, "nothing was forgotten"

    answer = bench.trigger("controller/rollback", flight.sensors)
    assert answer.success and "flies again" in answer.message
    flight.await_policy(flight.policy)
    assert bench.get_parameter("controller", "policy").string_value == str(flight.policy)
    refused = bench.trigger("controller/rollback", flight.sensors)
    assert not refused.success and "no policy flew before" in refused.message


def test_the_policy_before_flies_on_when_the_guard_trips(bench, flight, next_policy):
    flight.swap(next_policy)
    flight.await_policy(next_policy)
    flight.sensors.silent.add("camera")
    flight.await_news("the guard went to hold")
    assert bench.get_parameter("controller", "policy").string_value == str(flight.policy)
    flight.sensors.silent.clear()
    flight.fly()  # hold ends by itself, once the camera is back
    flight.await_policy(flight.policy)


def test_one_that_must_not_take_over_does_not(bench, flight, tmp_path):
    other = random_policy(tmp_path / "other.safetensors", seed=5)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(other.read_bytes()[:1000])
    for path, why in ((other, "it wants"), (damaged, str(damaged))):
        assert flight.swap(path).success
        flight.await_news(why)
        assert bench.get_parameter("controller", "policy").string_value == str(flight.policy)
    unknown = flight.swap("nobody")
    assert not unknown.success and "does not ship" in unknown.message
    flight.await_policy(flight.policy)
    flight.more(5, lambda command: not is_zero(command))


def test_after_going_back_a_reset_begins_with_the_policy_before(bench, flight, next_policy):
    assert bench.set_parameters("controller", swap__trial_s=0.3).successful
    flight.swap(next_policy)
    flight.await_policy(next_policy)
    flight.await_news("has stood its trial")
    assert bench.trigger("controller/disengage", flight.sensors).success
    assert bench.trigger("controller/rollback", flight.sensors).success
    flight.await_policy(flight.policy)
    assert bench.trigger("controller/reset", flight.sensors).success
    flight.engage()
    flight.fly()
    flight.await_policy(flight.policy)
