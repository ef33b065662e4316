"""How unlike training the frames are, filtered over time: a function of the samples."""

import math

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting, Sample, feed
from hypothesis import given
from hypothesis import strategies as st

from lnn_ros.timeline.timeline import OutOfHistory, Timeline


class Brightness:
    """A judge that counts: the score is the first pixel."""

    memory = 0.2

    def __init__(self):
        self.asked = 0

    def score(self, frame, features):
        assert features.shape == (8,)
        self.asked += 1
        return float(frame.flat[0])


def expected(samples, at_ns):
    """The filter by its definition: each score's weight is what no later one has taken."""
    value, last = 0.0, None
    for sample in sorted(samples, key=lambda s: s.stamp_ns):
        if sample.stream == "camera" and sample.stamp_ns <= at_ns:
            dt = FIRST_S if last is None else (sample.stamp_ns - last) * 1e-9
            keep = math.exp(-dt / Brightness.memory)
            value, last = keep * value + (1 - keep) * sample.content, sample.stamp_ns
    return value


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 9)), min_size=1, max_size=12),
       st.booleans(), st.randoms())
def test_it_is_the_filter_of_the_frames_whatever_order_they_came_in(gaps, inertial, random):
    stamps = START + MS * np.cumsum([gap for gap, _ in gaps]) % (480 * MS)
    contents = dict(zip(stamps.tolist(), [content for _, content in gaps], strict=True))
    samples = [Sample("camera", stamp, content) for stamp, content in contents.items()]
    if inertial:
        samples += [Sample("imu", START + k * 5 * MS) for k in range(96)]
    shuffled = list(samples)
    random.shuffle(shuffled)
    judge = Brightness()
    timeline = Timeline(Digesting(), SHAPE, FIRST_S, judge=judge)
    for sample in shuffled:
        feed(timeline, [sample])
        if random.random() < 0.3 and (span := timeline.span()) is not None:
            timeline.novelty(random.randint(*span))
    first, last = timeline.span()
    for at in (first, last, *(random.randint(first, last) for _ in range(4))):
        assert timeline.novelty(at) == pytest.approx(expected(samples, at), abs=1e-12)
    assert judge.asked <= len(contents), "each frame is judged once, however often it is replayed"


def test_what_comes_late_counts_and_what_never_came_does_not():
    timeline = Timeline(Digesting(), SHAPE, FIRST_S, judge=Brightness())
    assert timeline.novelty(START) is None
    feed(timeline, [Sample("camera", START, 2), Sample("camera", START + 100 * MS, 2)])
    before = timeline.novelty(START + 150 * MS)
    feed(timeline, [Sample("camera", START + 50 * MS, 9)])
    assert timeline.novelty(START + 150 * MS) > before
    with pytest.raises(OutOfHistory):
        timeline.novelty(START - 1)
    timeline.reset()
    assert timeline.novelty(START) is None


def test_without_a_judge_there_is_no_score():
    timeline = Timeline(Digesting(), SHAPE, FIRST_S)
    feed(timeline, [Sample("camera", START)])
    assert timeline.novelty(START) is None
