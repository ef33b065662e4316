"""A timeline that goes on with another network: where the two are alike, so is all that follows."""

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting
from hypothesis import given, settings
from hypothesis import strategies as st
from test_order import arrivals, history

from lnn_ros.timeline.timeline import Timeline


class Counting(Digesting):
    """Another network with another beginning: its state counts its frames, and keeps the rest."""

    def initial(self):
        return np.full(8, 1000.0, np.float32)

    def predict(self, state, dt, out):
        out[...] = state

    def update(self, state, features, summary):
        state[0] += features is not None


def fed(timeline, samples):
    for s in samples:
        timeline.observe(s.stream, s.stamp_ns, s.value())


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), share=st.floats(0.0, 1.0))
def test_an_heir_of_the_same_network_is_the_same_to_the_last_bit(seed, share):
    rng = np.random.default_rng(seed)
    samples = arrivals(rng, history(rng, 40), 400 * MS)
    old = Timeline(Digesting(), SHAPE, FIRST_S)
    cut = round(share * len(samples))
    fed(old, samples[:cut])
    new = old.heir(Digesting())
    assert new.counts == old.counts and new.newest() == old.newest()
    for timeline in (old, new):
        fed(timeline, samples[cut:])
    assert new.span() == old.span()
    for found, expected in zip(new.last(), old.last(), strict=True):
        np.testing.assert_array_equal(found, expected)
    if span := old.span():
        for at in rng.integers(span[0], span[1] + 1, 5).tolist():
            np.testing.assert_array_equal(new.read(at).copy(), old.read(at))
    kept = ("accepted", "replaced", "duplicate", "conflict", "late", "overflow")
    for key in {*old.counts, *new.counts}:
        if key.endswith(kept):
            assert new.counts[key] == old.counts[key], key


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whether_the_state_is_carried_or_begun_anew(seed):
    rng = np.random.default_rng(seed)
    samples = [s for s in history(rng, 60) if s.stream == "camera"]
    stamps = sorted({s.stamp_ns for s in samples})
    old = Timeline(Counting(), SHAPE, FIRST_S)
    fed(old, samples)
    anew, carried = old.heir(Counting(), carry=False), old.heir(Counting())
    if not stamps:
        assert anew.span() is carried.span() is None
        return
    first = old.span()[0]  # the oldest update that is remembered: its frame is not counted anew
    assert carried.last()[1][0] == 1000.0 + len(stamps)
    assert anew.last()[1][0] == 1000.0 + sum(stamp > first for stamp in stamps)
    assert old.last()[1][0] == 1000.0 + len(stamps)


def test_every_frame_is_encoded_once_by_each_and_neither_sees_what_the_other_is_given():
    networks = Digesting(), Digesting()
    old = Timeline(networks[0], SHAPE, FIRST_S)
    rng = np.random.default_rng(3)
    frames, at = rng.integers(0, 256, (6, *SHAPE), np.uint8), START
    for k in range(4):
        old.observe("camera", at + 50 * MS * k, frames[k])
    before = old.last()[1]
    new = old.heir(networks[1])
    new.observe("camera", at + 250 * MS, frames[4])
    np.testing.assert_array_equal(old.last()[1], before)
    assert new.last()[0] == at + 250 * MS
    frames[:] = 0  # what was given was copied
    assert all(count == 1 for network in networks for count in network.encoded.values())
    assert len(networks[0].encoded) == 4 and len(networks[1].encoded) in (4, 5)


@pytest.mark.parametrize("horizon", [0.0, 0.5, 2.0])
def test_an_heir_of_nothing_begins_as_any(horizon):
    old = Timeline(Digesting(), SHAPE, FIRST_S, horizon)
    new = old.heir(Digesting())
    rng = np.random.default_rng(0)
    samples = history(rng, 30)
    for timeline in (old, new):
        fed(timeline, samples)
    np.testing.assert_array_equal(new.last()[1], old.last()[1])
