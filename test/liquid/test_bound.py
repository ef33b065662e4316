"""The bound on the command and its rates holds for whatever an adversary observes, and is no idle
number."""

import importlib.util
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policies_for_tests import FEATURES, HEIGHT, WIDTH, frame, small_checkpoint

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.liquid import container
from lnn_ros.liquid.bound import Bound, bound
from lnn_ros.liquid.boxes import input_box
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.checkpoint import POLICY_FORMAT, Checkpoint, load, save
from lnn_ros.liquid.engine import Engine, effective
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import CAMERA_PRESENT, COMMAND, SUMMARY, part
from lnn_ros.pilot import Pilot
from lnn_ros.timeline.samples import MAX_FORCE, MAX_RATE

FLOWS = ({}, {"event": True}, {"rotating": ()}, {"rate_min": 5.0, "rate_max": 5.0})


def random_policy(kind, seed, strength, options):
    """Weights from tame to wild, and heads from narrow to wide."""
    checkpoint = small_checkpoint(kind, seed, **options)
    rng = np.random.default_rng(seed)
    arrays = {
        name: a if a.dtype == np.uint8 else (a * strength).astype(np.float32)
        for name, a in checkpoint.arrays.items()
    }
    head = replace(
        checkpoint.spec.head,
        low=tuple((-rng.uniform(0, 3, 4)).tolist()),
        high=tuple(rng.uniform(0.1, 3, 4).tolist()),
        headroom=float(rng.uniform(1, 2)),
    )
    return Checkpoint(replace(checkpoint.spec, head=head), arrays, checkpoint.card)


def wide(checkpoint):
    arrays = effective(checkpoint.spec, checkpoint.arrays)
    return {name: a.astype(np.float64) for name, a in arrays.items()}


def picture(rng):
    """Noise, flat light, and edges: what drives an encoder's units far."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(float)
    if kind == 1:
        return np.full((HEIGHT, WIDTH, 3), float(rng.choice([0, 255])))
    return np.where(rng.random((HEIGHT, 1, 3)) < 0.5, 0.0, 255.0) + np.zeros((1, WIDTH, 1))


def summary(rng, camera=True, *shape):
    """Any numbers at all, but that a frame is there or is not."""
    told = rng.normal(0, 10.0 ** rng.uniform(-1, 3), (*shape, len(SUMMARY)))
    told[..., CAMERA_PRESENT] = camera
    return told


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["flow", "feedforward"]),
    seed=st.integers(0, 10_000),
    strength=st.sampled_from([0.1, 1.0, 5.0]),
    option=st.sampled_from(FLOWS),
    least=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_nothing_observed_breaks_the_bound(kind, seed, strength, option, least):
    options = option if kind != "feedforward" else {}
    checkpoint = random_policy(kind, seed, strength, options)
    spec, w, rng = checkpoint.spec, wide(checkpoint), np.random.default_rng(seed)
    proven = bound(spec, checkpoint.arrays, least)
    state = spec.core.initial_state()
    for _ in range(12):
        dt = least + rng.choice([0.0, 1e-3, 0.02, 0.3, 4.0]) * rng.random()
        state = spec.predict(NUMPY, w, state, np.array([dt]))
        state = spec.update(NUMPY, w, state, picture(rng), summary(rng, rng.random() < 0.7))
        # Dense in time at first, then wide: fast neurons move right after the update.
        offsets = np.concatenate([[0.0, 1e-6], np.geomspace(1e-5, 5.0, 40)])[:, None]
        states = spec.predict(NUMPY, w, np.tile(state, (len(offsets), 1)), offsets)
        commands = spec.command(NUMPY, w, states)
        assert (commands >= np.array(proven.low) - 1e-12).all()
        assert (commands <= np.array(proven.high) + 1e-12).all()
        rates = np.abs(np.diff(commands, axis=0) / np.diff(offsets, axis=0))
        assert (rates <= np.array(proven.rate) * (1 + 1e-6) + 1e-9).all()
        if proven.reading is None:
            assert option.get("event") and kind == "flow"
            continue
        # Read as the pilot does: whatever was measured since, no frame among it.
        none = np.zeros((len(offsets), FEATURES))
        read = spec.observe(NUMPY, w, states, none, summary(rng, False, len(offsets)))
        moved = np.abs(spec.command(NUMPY, w, read) - spec.command(NUMPY, w, state))
        assert (moved <= offsets * np.array(proven.reading) * (1 + 1e-6) + 1e-12).all()


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), strength=st.sampled_from([0.3, 1.0, 3.0]))
def test_inputs_stay_in_their_box(seed, strength):
    checkpoint = random_policy("flow", seed, strength, {})
    spec, w, rng = checkpoint.spec, wide(checkpoint), np.random.default_rng(seed)
    low, high = input_box(spec, w)
    for _ in range(5):
        features = spec.encoder.encode(NUMPY, part(w, "encoder"), picture(rng))
        inputs = spec.inputs(NUMPY, features, summary(rng, rng.random() < 0.5))
        assert (inputs >= low - 1e-9).all() and (inputs <= high + 1e-9).all()


def test_pixels_that_a_border_pads_with_zeros_are_in_the_box():
    """All-positive pixels and negative weights: the largest features are those of the border."""
    checkpoint = small_checkpoint()
    encoder = replace(checkpoint.spec.encoder, pixel_offset=1.0)
    spec = replace(checkpoint.spec, encoder=encoder)
    w = {name: np.abs(a) for name, a in wide(checkpoint).items()}
    w["encoder.conv0.weight"] *= -1.0
    w["encoder.conv0.bias"] += 20.0
    features = encoder.encode(NUMPY, part(w, "encoder"), np.zeros((HEIGHT, WIDTH, 3)))
    assert (features <= input_box(spec, w)[1][: len(features)]).all()


def test_features_that_are_never_zero_are_zero_without_a_frame():
    checkpoint = small_checkpoint()
    arrays = {**checkpoint.arrays, "encoder.linear.bias": np.full(FEATURES, 1e3, np.float32)}
    spec, w = checkpoint.spec, wide(Checkpoint(checkpoint.spec, arrays, checkpoint.card))
    low, high = input_box(spec, w)
    assert (low[:FEATURES] == 0.0).all() and (high[:FEATURES] > 1e3).all()


def flown(checkpoint, seed):
    """Commands of a pilot whose sensors say anything: (at, read), and (stamp, read) of updates."""
    pilot, rng = Pilot(checkpoint), np.random.default_rng(seed)
    most, reads, updates = np.array([MAX_RATE] * 3 + [MAX_FORCE] * 3), [], {}
    for tick in range(1000, 2000, 5):
        now = tick * 1_000_000
        if rng.random() < 0.1:
            pilot.observe("camera", now, frame(rng))
        if rng.random() < 0.8:
            pilot.observe("imu", now, rng.choice([-1.0, 1.0], 6) * rng.random() * most)
        stamp = pilot.state()[0]
        if stamp:
            updates[stamp] = pilot.read(stamp)
            at = now + int(rng.integers(1, 5_000_000))
            reads.append((at, stamp, pilot.read(at)))
    return reads, updates


@pytest.mark.parametrize("options", [{}, {"rate_max": 6.0}, {"rotating": ()}])
def test_what_the_pilot_reads_moves_no_faster_since_its_last_update(options):
    """Whatever the sensors measure, and whenever; and no update does worse."""
    checkpoint = random_policy("flow", 3, 1.5, options)
    reading, worst = np.array(bound(checkpoint.spec, checkpoint.arrays).reading), 0.0
    for seed in range(5):
        reads, updates = flown(checkpoint, seed)
        stamps = sorted(updates)
        pairs = [((at - stamp) * 1e-9, read - updates[stamp]) for at, stamp, read in reads]
        pairs += [((b - a) * 1e-9, updates[b] - updates[a]) for a, b in pairwise(stamps)]
        for seconds, moved in pairs:
            assert (np.abs(moved) <= seconds * reading + 1e-5).all()
            worst = max(worst, float((np.abs(moved) / seconds / reading).max()))
    assert worst > 0.02, "and it does move"


def test_a_policy_that_is_not_told_the_time_has_no_rate():
    checkpoint = small_checkpoint()
    proven = bound(replace(checkpoint.spec, step=0.05), checkpoint.arrays)
    assert proven.rate is proven.reading is None


def test_the_running_network_stays_inside(shipped):
    engine, proven = Engine(shipped.spec, shipped.arrays), bound(shipped.spec, shipped.arrays)
    rng = np.random.default_rng(0)
    state, out = engine.initial(), engine.initial()
    for _ in range(100):
        engine.predict(state, float(rng.uniform(0, 0.1)), state)
        image = rng.integers(0, 256, shipped.spec.encoder.frame_shape, dtype=np.uint8)
        told = summary(rng, rng.random() < 0.7).astype(np.float32)
        engine.update(state, engine.encode(image), told)
        now = engine.command(state)
        engine.predict(state, 0.01, out)
        assert (now >= proven.low).all() and (now <= proven.high).all()
        change = np.abs(engine.command(out) - now)
        assert (change <= 0.01 * np.array(proven.rate) + 1e-5).all()


@pytest.fixture(scope="module")
def shipped():
    return load(policies.path("fly_to_target"))


@pytest.fixture(scope="module")
def adversary():
    path = Path(__file__).parents[2] / "benchmark" / "bound.py"
    spec = importlib.util.spec_from_file_location("benchmark_bound", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Adversary


@pytest.mark.parametrize("options", [{}, {"event": True}])
def test_gradient_ascent_comes_near_the_bound_but_not_beyond(adversary, options):
    checkpoint = small_checkpoint(seed=1, **options)
    proven = bound(checkpoint.spec, checkpoint.arrays, 0.05)
    against = adversary(checkpoint, 0.05)
    reached = against.attack("rate", 3, starts=4, steps=40)
    assert 0.15 * proven.rate[3] < reached <= proven.rate[3] * (1 + 1e-6)
    if not options:
        reached = against.attack("reading", 3, starts=4, steps=40)
        assert 0.1 * proven.reading[3] < reached <= proven.reading[3] * (1 + 1e-6)
    reached = against.attack("high", 2, starts=4, steps=30)
    assert 0.5 * proven.high[2] < reached <= proven.high[2]


def test_it_can_be_tighter_than_the_heads_range():
    lane = load(policies.path("lane"))
    head, proven = lane.spec.head, bound(lane.spec, lane.arrays)
    assert proven.high[3] < 0.9 * head.high[3] and proven.low[3] > 0.9 * head.low[3], "yaw rate"


def test_it_is_tighter_for_slower_streams():
    checkpoint = small_checkpoint()
    proven = [bound(checkpoint.spec, checkpoint.arrays, least) for least in (0.0, 0.02, 0.05, 0.5)]
    for rates in ([p.rate for p in proven], [p.reading for p in proven]):
        assert (np.diff(rates, axis=0) < 0).all()


def test_a_bound_by_hand():
    """One neuron that hears one thing: every step of the proof, on paper."""
    checkpoint = small_checkpoint(rotating=())
    spec, arrays = checkpoint.spec, {k: np.zeros_like(a) for k, a in checkpoint.arrays.items()}
    first = FEATURES  # of the summary
    arrays["wiring.inter"][first, 0] = arrays["wiring.command"][0, 0] = 1
    arrays["core.inter.target.weight"][first, 0] = 0.1
    arrays["core.command.target.weight"][0, 0] = 2.0
    arrays["core.command.rate.bias"][:] = 100.0  # rate_max
    arrays["head.weight"][0, 1] = 0.5
    proven = bound(spec, arrays)
    inter = np.tanh(0.1 * spec.summary_limit)
    command = np.tanh(2.0 * inter)
    assert proven.high[1] == pytest.approx(1.1 * np.tanh(0.5 * command), rel=1e-6)
    assert proven.rate[1] == pytest.approx(1.1 * 0.5 * 60.0 * 2 * command, rel=1e-6)
    assert proven.rate[0] == proven.rate[2] == proven.rate[3] == 0.0
    # A step after the flow pulls once more, and as fast.
    np.testing.assert_allclose(proven.reading, 2 * np.array(proven.rate), rtol=1e-12)
    middle = (np.array(spec.head.low) + spec.head.high) / 2
    np.testing.assert_allclose(np.array(proven.low)[[0, 2, 3]], middle[[0, 2, 3]], atol=1e-8)
    # With any rate possible, 1 / D makes the most of observations D apart.
    arrays["core.command.rate.weight"][0, 0] = 1000.0
    slower = bound(spec, arrays, 0.05).rate[1]
    assert slower == pytest.approx(proven.rate[1] / 60 * 20 * np.exp(-1), rel=1e-6)


def test_a_pair_whose_target_flips_nearly_reaches_its_bound():
    checkpoint = small_checkpoint()
    spec, arrays = checkpoint.spec, {k: np.zeros_like(a) for k, a in checkpoint.arrays.items()}
    pair = [0, spec.core.pairs[1]]
    arrays["wiring.inter"][FEATURES, 0] = 1
    arrays["wiring.command"][0, pair] = 1
    arrays["core.inter.target.weight"][FEATURES, 0] = 100.0
    arrays["core.command.target.weight"][0, pair] = 100.0
    arrays["core.command.frequency.weight"][0, 0] = -50.0
    arrays["core.command.frequency.bias"][0] = 50.0  # 2 Hz for the flipped one, nothing before
    arrays["core.inter.rate.bias"][:] = 100.0
    rate, turn = np.sqrt(0.1 * 60.0), 4 * np.pi
    # The pair at rest at (1, 1), its target flipped at once, and it turns: it sets out like this.
    direction = np.array([-2 * rate - turn, -2 * rate + turn])
    arrays["head.weight"][pair, 1] = 1e-3 * direction
    proven = bound(spec, arrays).rate[1]
    length = float(np.linalg.norm(1e-3 * direction))
    assert proven == pytest.approx(
        1.1 * length * np.sqrt(2) * (rate + np.hypot(rate, turn)), rel=1e-6
    )
    w = {name: a.astype(np.float64) for name, a in effective(spec, arrays).items()}
    state = spec.core.initial_state(1e3)
    for dt, sign in ((0.0, 1.0), (0.012, -1.0)):  # 12 ms: what the pair hears changes its sign
        state = spec.predict(NUMPY, w, state, np.array([dt]))
        inputs = sign * np.ones(spec.core.inputs)
        state = spec.core.update(NUMPY, part(w, "core"), state, inputs)
    soon = spec.predict(NUMPY, w, state, np.array([1e-6]))
    moved = spec.command(NUMPY, w, soon) - spec.command(NUMPY, w, state)
    assert 0.75 * proven < np.abs(moved[1]) / 1e-6 <= proven


def test_a_neuron_whose_target_flips_nearly_reaches_its_bound_as_it_is_read():
    """The flow pulls it away, and the step that reads it pulls as much again."""
    checkpoint = small_checkpoint(rotating=())
    spec, arrays = checkpoint.spec, {k: np.zeros_like(a) for k, a in checkpoint.arrays.items()}
    arrays["wiring.inter"][FEATURES, 0] = arrays["wiring.command"][0, 0] = 1
    arrays["core.inter.target.weight"][FEATURES, 0] = 100.0
    arrays["core.command.target.weight"][0, 0] = 100.0
    arrays["core.inter.rate.bias"][:] = 100.0
    arrays["head.weight"][0, 1] = 1e-3
    proven = bound(spec, arrays, 0.012).reading[1]
    w = {name: a.astype(np.float64) for name, a in effective(spec, arrays).items()}
    state = spec.core.initial_state(1e3)
    for dt, sign in ((0.0, 1.0), (0.012, -1.0), (1e-6, -1.0)):
        before, state = state, spec.predict(NUMPY, w, state, np.array([dt]))
        inputs = sign * np.ones(spec.core.inputs)
        state = spec.core.update(NUMPY, part(w, "core"), state, inputs)
    moved = spec.command(NUMPY, w, state) - spec.command(NUMPY, w, before)
    assert 0.95 * proven < np.abs(moved[1]) / 1e-6 <= proven


@pytest.mark.parametrize("kind", ["feedforward", "gru", "cfc"])
def test_without_a_flow_nothing_moves_between_observations(kind):
    checkpoint = small_checkpoint(kind)
    proven = bound(checkpoint.spec, checkpoint.arrays)
    # Its activity is held: `predict` only counts the time.
    assert proven.rate == (0.0,) * 4
    # A step that forgets whatever the time is jumps; one that is not taken does not.
    assert proven.reading == ((0.0,) * 4 if kind == "feedforward" else None)
    assert (np.array(proven.low) >= checkpoint.spec.head.low).all()


class Unknown(Flow):
    """Some other cell with a flow, about which nothing is proven."""

    kind = "unknown"


def test_nothing_is_claimed_of_a_cell_that_nobody_has_looked_at():
    checkpoint = small_checkpoint()
    core = Unknown(**vars(checkpoint.spec.core))
    proven = bound(replace(checkpoint.spec, core=core), checkpoint.arrays)
    assert proven == Bound(checkpoint.spec.head.low, checkpoint.spec.head.high, None)


def claiming(tmp_path, change):
    """A file whose digest is right, and whose card claims another bound."""
    checkpoint = small_checkpoint()
    save(tmp_path / "good", checkpoint)
    card = load(tmp_path / "good").card
    card["bound"] = change(json.loads(json.dumps(card["bound"])))
    container.write(tmp_path / "claim", POLICY_FORMAT, card, checkpoint.arrays)
    return tmp_path / "claim"


def test_saving_notes_the_bound_and_loading_recomputes_it(tmp_path):
    checkpoint = small_checkpoint()
    save(tmp_path / "policy", checkpoint)
    proven = bound(checkpoint.spec, checkpoint.arrays)
    assert load(tmp_path / "policy").card["bound"] == proven.to_json()
    assert load(claiming(tmp_path, lambda b: {**b, "rate": [r * 2 for r in b["rate"]]}))
    assert load(claiming(tmp_path, lambda b: {**b, "rate": None})), "claims nothing"
    assert load(claiming(tmp_path, lambda b: {k: b[k] for k in ("low", "high", "rate")}))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda b: {**b, "rate": [b["rate"][0] * 0.99, *b["rate"][1:]]}, "rate of vx is claimed"),
        (lambda b: {**b, "high": [*b["high"][:3], 0.1]}, "high of yaw_rate is claimed to be 0.1"),
        (lambda b: {**b, "low": [0.0] * 4}, "low of vx is claimed to be 0"),
        (lambda b: {**b, "rate": [float("nan")] * 4}, "rate of vx is nan"),
        (lambda b: {**b, "rate": [1.0]}, "expected 4 numbers"),
        (lambda b: {**b, "low": None}, "expected 4 numbers"),
        (lambda b: {**b, "rate": ["a"] * 4}, "rate of vx is 'a'"),
        (lambda b: {**b, "reading": [*b["reading"][:2], 0.1, 1e9]}, "reading of vz is claimed"),
        (lambda b: {"rate": b["rate"]}, "expected low, high, rate and reading"),
        (lambda b: 3, "bound is 3"),
    ],
)
def test_a_file_that_claims_a_smaller_bound_is_refused(tmp_path, change, words):
    path = claiming(tmp_path, change)
    with pytest.raises(LnnError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_file_without_a_bound_is_refused(tmp_path):
    checkpoint = small_checkpoint()
    save(tmp_path / "good", checkpoint)
    card = load(tmp_path / "good").card
    del card["bound"]
    container.write(tmp_path / "none", POLICY_FORMAT, card, checkpoint.arrays)
    with pytest.raises(LnnError, match="none: the card lacks bound, expected what its weights"):
        load(tmp_path / "none")


def test_a_claim_about_what_nobody_knows_is_refused():
    known = Bound((-1.0,) * 4, (1.0,) * 4, None)
    known.check({"low": [-1.0] * 4, "high": [1.0] * 4, "rate": None})
    with pytest.raises(LnnError, match=f"rate of {COMMAND[0]} .* give an unknown bound"):
        known.check({"low": [-1.0] * 4, "high": [1.0] * 4, "rate": [1e9] * 4})
