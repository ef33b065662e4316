"""Work and memory are bounded, however many samples come, and however late."""

import sys
import weakref

import numpy as np
import pytest
from histories import FIRST_S, MS, SHAPE, START, Digesting, Sample
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.timeline.samples import Verdict
from lnn_ros.timeline.timeline import AHEAD_NS, Timeline, capacity

IMU = Sample("imu", 0).value()
FRAME = Sample("camera", 0).value()


def running(frames=20, horizon_s=0.5):
    """A timeline in the middle of a flight, 20 Hz and 200 Hz, and the stamp it has come to."""
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S, horizon_s)
    for k in range(10 * frames + 1):
        timeline.observe("imu", START + 5 * MS * k, IMU)
        if k % 10 == 0:
            timeline.observe("camera", START + 5 * MS * k, Sample("camera", 0, k % 250).value())
    timeline.last()
    network.steps.clear()
    return timeline, network, START + 50 * MS * frames


@pytest.mark.parametrize("count", [1, 10, 3000])
def test_a_flood_of_late_samples_costs_one_replay_a_read(count):
    timeline, network, now = running()
    for k in range(count):
        taken = timeline.observe("imu", now - 499 * MS + 1001 * k, IMU)
        assert taken or (k > 1000 and taken is Verdict.OVERFLOW)
        assert not network.steps  # taking a sample runs nothing
    timeline.read(now)
    # The boundaries inside the horizon; `now` is one of them.
    assert len(network.steps) == 10
    assert timeline.counts["rewinds"] == 1 and timeline.counts["replayed_updates"] == 10
    timeline.read(now), timeline.read(now - 100 * MS), timeline.last()
    assert len(network.steps) == 10


def test_only_what_a_late_sample_touches_is_made_again():
    timeline, network, now = running()
    late = [(10, "imu", 1), (60, "imu", 2), (49, "camera", 2), (150, "imu", 4), (150, "camera", 5)]
    for late_ms, stream, replayed in [*late, (500, "imu", 12)]:
        network.steps.clear()
        assert timeline.observe(stream, now - late_ms * MS + 1, IMU if stream == "imu" else FRAME)
        timeline.last()
        assert len(network.steps) == replayed


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_frames_are_encoded_once_however_often_they_are_replayed(seed):
    rng = np.random.default_rng(seed)
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    samples = [Sample("camera", START + 33 * MS * k, k) for k in range(12)]
    samples += [Sample("imu", START + 7 * MS * k) for k in range(60)]
    for i in np.argsort([s.stamp_ns + rng.integers(0, 500 * MS) for s in samples]):
        timeline.observe(samples[i].stream, samples[i].stamp_ns, samples[i].value())
        if (span := timeline.span()) is not None:
            timeline.read(int(rng.integers(*span)))
    assert timeline.counts["replayed_updates"] > 0
    assert len(network.encoded) == 12 and set(network.encoded.values()) == {1}


def test_a_frame_that_loses_before_anybody_asks_is_not_encoded():
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    for content in range(50):
        timeline.observe("camera", START, Sample("camera", START, content).value())
    timeline.last()
    assert sum(network.encoded.values()) == 1


@pytest.mark.parametrize("horizon", [0.0, 0.1, 0.5, 1.0, 2.0])
def test_a_camera_at_60_hz_and_an_imu_at_2_khz_find_room(horizon):
    timeline = Timeline(Digesting(), SHAPE, 0.1, horizon)
    for k in range(6000):
        assert timeline.observe("imu", START + k * MS // 2, IMU)
        if k % 32 == 0:
            assert timeline.observe("camera", START + k * MS // 2, FRAME)
        if k % 60 == 0:
            timeline.read(START + k * MS // 2)


@pytest.mark.parametrize("stream", ["imu", "camera"])
def test_a_full_history_refuses_more_counts_it_and_stays_sane(stream):
    timeline, network, now = running(horizon_s=2.0)
    most = capacity(2.0)[stream]
    value = IMU if stream == "imu" else FRAME
    verdicts = [timeline.observe(stream, now - k * 1001 - 1, value) for k in range(2 * most)]
    assert verdicts[-1] is Verdict.OVERFLOW and not network.steps
    refused = sum(v is Verdict.OVERFLOW for v in verdicts)
    assert timeline.counts[f"{stream}.dropped_overflow"] == refused >= most
    assert timeline.last()[0] == now and len(network.steps) <= capacity(2.0)["camera"] + 21
    # The other stream is still taken, and time goes on.
    other, its = ("camera", FRAME) if stream == "imu" else ("imu", IMU)
    assert timeline.observe(other, now + 5 * MS, its)
    assert timeline.span()[1] == now + 5 * MS + AHEAD_NS


@pytest.mark.parametrize("with_frames", [False, True])
def test_a_stream_too_fast_for_the_history_does_not_block_itself(with_frames):
    """16 kHz, several times what the history holds: some are lost, for all time some are taken."""
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    taken_at = []
    for k in range(48_000):
        stamp = START + k * 62_500
        if with_frames and k % 8000 == 0:
            timeline.observe("camera", stamp, FRAME)
        if timeline.observe("imu", stamp, IMU):
            taken_at.append(stamp)
    gaps = np.diff([*taken_at, stamp])
    assert gaps.max() <= 600 * MS and timeline.counts["imu.dropped_overflow"] > 0
    if with_frames:
        assert timeline.last()[0] > stamp - 600 * MS
    # Slowed down, nothing is lost any more.
    for k in range(1, 400):
        verdict = timeline.observe("imu", stamp + k * 5 * MS, IMU)
    assert verdict is Verdict.ACCEPTED and k == 399


def test_a_camera_alone_that_is_too_fast_does_not_block_itself():
    timeline = Timeline(Digesting(), SHAPE, FIRST_S)
    for k in range(3000):
        verdict = timeline.observe("camera", START + k * MS, FRAME)
    taken = timeline.counts["camera.accepted"]
    assert taken > 300 and timeline.counts["camera.dropped_overflow"] == 3000 - taken
    assert verdict in (Verdict.ACCEPTED, Verdict.OVERFLOW)
    assert timeline.last()[0] > START + 2300 * MS


def test_a_full_history_is_not_replayed_for_every_sample_of_a_flood():
    """New contents for the oldest stamp and stamps without room, in turns, nobody asking."""
    timeline, network, now = running()
    for k in range(capacity(0.5)["imu"]):
        timeline.observe("imu", now - 400 * MS + k, IMU)
    timeline.last()
    network.steps.clear()
    rng = np.random.default_rng(0)
    for k in range(1000):
        timeline.observe("imu", now - 450 * MS, IMU + rng.normal(0, 1, 6))
        timeline.observe("imu", now + 1 + k * 50_000, IMU)  # 50 ms in all
    assert timeline.counts["imu.replaced"] > 3 and timeline.counts["imu.dropped_overflow"] > 900
    assert len(network.steps) <= 11  # one replay at most


def test_without_anybody_asking_nothing_is_lost_and_nothing_grows():
    """Recordings are fed without a read for a long time."""
    network = Digesting()
    timeline = Timeline(network, SHAPE, FIRST_S)
    for k in range(40_000):  # 200 s
        assert timeline.observe("imu", START + 5 * MS * k, IMU)
        if k % 10 == 0:
            assert timeline.observe("camera", START + 5 * MS * k, FRAME)
    stamp, _ = timeline.last()
    assert stamp == START + 5 * MS * 39_990
    assert len(network.steps) == 4000 and timeline.counts["rewinds"] == 0


def test_the_history_does_not_grow_in_10_000_seconds():
    class Silent(Digesting):
        def update(self, state, features, summary):
            super().update(state, features, summary)
            self.steps.clear()

    timeline = Timeline(Silent(), SHAPE, FIRST_S)

    def live(seconds, now):
        for k in range(2 * seconds):
            timeline.observe("camera", now + 500 * MS * k, FRAME)
            timeline.observe("imu", now + 500 * MS * k + 200 * MS, IMU)
            timeline.observe("imu", now + 500 * MS * k - 100 * MS, IMU)  # always late
            if k % 3 == 0 and (span := timeline.span()) is not None:
                timeline.read(span[1] - 300 * MS)
        return now + 1000 * MS * seconds

    now = live(1000, START)
    before = sys.getallocatedblocks()
    now = live(9000, now)
    assert sys.getallocatedblocks() - before < 1000  # one object more a second were 9,000
    assert timeline.span()[1] - timeline.span()[0] < 2000 * MS


def test_reset_forgets_samples_and_keeps_counts():
    timeline, _, _ = running()
    timeline.reset()
    assert timeline.newest() == {"imu": None, "camera": None}
    assert timeline.span() is None and timeline.last()[0] == 0
    np.testing.assert_array_equal(timeline.last()[1], np.zeros(8))
    assert timeline.observe("camera", MS, FRAME)  # the time before the reset binds nobody
    assert timeline.counts["camera.accepted"] == 22 and timeline.last()[0] == MS


def test_a_frame_does_not_keep_alive_or_follow_the_picture_that_it_was_cut_from():
    timeline = Timeline(Digesting(), SHAPE, FIRST_S)
    picture = np.zeros((100, 100, 3), np.uint8)
    alive = weakref.ref(picture)
    assert timeline.observe("camera", START, picture[:1, :4:2])
    picture[...] = 255  # the driver uses its buffer again
    assert timeline.observe("camera", START, np.zeros(SHAPE, np.uint8)) is Verdict.DUPLICATE
    del picture
    assert alive() is None
