"""Help that does not fit itself is found out, and what fits is let pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lnn_ros import policies
from lnn_ros.geometry import VirtualCamera
from lnn_ros.learning.consistency import consistent
from lnn_ros.learning.flights import read_flight
from lnn_ros.learning.helping import Helped, HelpRule, fly_helped
from lnn_ros.liquid.checkpoint import load

RNG = np.random.default_rng(0)
OFTEN = HelpRule(near_m=1.2, contact_s=2.0)
"""It helps a lot, so that few flights will do."""


@pytest.fixture(scope="module")
def flights(tmp_path_factory):
    """Flights of the policy that ships, with help."""
    folder, policy = tmp_path_factory.mktemp("help"), str(policies.path("fly_to_target"))
    camera = VirtualCamera.from_card(load(policy).card)
    for seed in range(300_060, 300_063):
        fly_helped(Helped(seed, str(folder / str(seed)), policy, rule=OFTEN))
    return [read_flight(bag, camera, motion=True) for bag in sorted(Path(folder).iterdir())]


def failed(flights):
    return {finding.name for finding in consistent(flights) if not finding.passed}


def relabelled(flights, change):
    return [replace(f, labels=change(f.labels.copy()).astype(np.float32)) for f in flights]


def flipped(labels):
    labels[:, 1] *= -1.0
    return labels


def corrupted(labels):
    some = RNG.random(len(labels)) < 0.3
    labels[some] = RNG.normal(0.0, (0.8, 0.5, 0.3, 0.8), (some.sum(), 4))
    return labels


def test_what_was_done_is_consistent(flights):
    found = consistent(flights)
    assert all(finding.passed for finding in found), [f.said for f in found]
    assert [finding.name for finding in found] == ["flown", "moved", "turned"]
    assert found[0].numbers["commands"] > 100 and found[2].numbers["correlation"] > 0.5
    assert set(found[1].numbers) >= {"forwards", "sideways", "turning"}


@pytest.mark.parametrize(("change", "found"), [
    (flipped, {"moved"}), (corrupted, {"flown"}),
    (lambda labels: 0.0 * labels, {"flown", "moved"}),
    (lambda labels: 0.0 * labels + (1.0, 0.0, 0.0, 0.0), {"flown", "moved"}),
    (lambda labels: RNG.normal(0.0, 0.6, labels.shape), {"flown", "moved"}),
], ids=["sideways flipped", "30 % corrupted", "zero", "constant", "random"])
def test_other_labels_than_what_was_done_are_found_out(flights, change, found):
    assert failed(relabelled(flights, change)) >= found


@pytest.mark.parametrize("late_s", [0.3, -0.3])
def test_labels_of_another_clock_are_found_out(flights, late_s):
    moved = [replace(f, label_stamps=f.label_stamps + round(late_s * 1e9)) for f in flights]
    (finding,) = [f for f in consistent(moved) if f.name == "flown"]
    assert not finding.passed and "0.30 s" in finding.said and "two clocks" in finding.said
    assert ("before its stamps" in finding.said) == (late_s > 0)


def test_mirrored_pictures_are_found_out(flights):
    assert failed([replace(f, frames=f.frames[:, :, ::-1]) for f in flights]) == {"turned"}


def test_of_what_was_not_recorded_nothing_is_said(flights):
    bare = [replace(f, flown_stamps=f.flown_stamps[:0], flown=f.flown[:0],
                    motion_stamps=f.motion_stamps[:0], motion=f.motion[:0]) for f in flights]
    assert not failed(bare) and not failed([])
    assert "too little was recorded" in consistent(bare)[0].said
    assert "moved" in failed(relabelled([replace(f, flown_stamps=f.flown_stamps[:0],
                                                 flown=f.flown[:0]) for f in flights], flipped))
