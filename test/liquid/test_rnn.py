"""LiquidRNN keeps its promises, whatever the cell."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import kinds
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

F, O, N = 3, 2, 8  # noqa: E741
NEEDS_PRESENCE = {"gru_d"}
WITHOUT_LOOP = {"feedforward"}
every_cell = pytest.mark.parametrize("kind", kinds())
seeds = st.integers(0, 2**32 - 1)


def network(kind="flow", presence=None, **options):
    presence = kind in NEEDS_PRESENCE if presence is None else presence
    options.setdefault("dtype", torch.float64)
    inputs = F * (3 if presence else 1)
    if kind in WITHOUT_LOOP:
        wiring = Wiring((WiredLayer("hidden", np.ones((inputs, N), np.int8)),))
        return LiquidRNN(F, O, kind, wiring=wiring, presence=presence, **options)
    return LiquidRNN(F, O, kind, units=N, presence=presence, **options)


def stream(seed=0, batch=3, steps=8):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, steps, F, dtype=torch.float64, generator=generator)
    dt = torch.rand(batch, steps, dtype=torch.float64, generator=generator)
    mask = torch.rand(batch, steps, generator=generator) < 0.6
    features = torch.rand(batch, steps, F, generator=generator) < 0.5
    return x, dt * (dt > 0.2), mask, features


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


# -- what comes out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "presence"),
    [(k, p) for k in kinds() for p in (False, True) if p or k not in NEEDS_PRESENCE],
)
def test_shapes(kind, presence):
    rnn = network(kind, presence)
    x, dt, _, _ = stream()
    y, state = rnn(x, dt)
    assert y.shape == (3, 8, O)
    assert state.shape == (3, rnn.state_size) == rnn.initial(3).shape
    assert rnn.state_size == rnn.core.cell.state_size + F * presence
    assert rnn.read(state).shape == (3, O)


@every_cell
def test_float32_in_float32_out(kind):
    rnn = network(kind, dtype=torch.float32)
    x, dt, _, _ = stream()
    y, state = rnn(x.float(), dt)  # float64 seconds are welcome
    assert y.dtype == state.dtype == torch.float32


def test_no_dt_means_a_second_and_is_said_once():
    rnn = network()
    x, _, _, _ = stream()
    with pytest.warns(UserWarning, match="1 s"):
        y, _ = rnn(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rnn(x)
    close(y, rnn(x, torch.ones(3, 8, dtype=torch.float64))[0])


@every_cell
def test_the_seed_decides_the_parameters(kind):
    one, same, other = (network(kind, seed=seed).state_dict() for seed in (1, 1, 2))
    assert list(one) == list(same)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    first = torch.rand(3)
    torch.manual_seed(7)
    network()
    assert torch.equal(first, torch.rand(3))


@every_cell
def test_parameters_go_to_a_file_and_back(kind, tmp_path):
    rnn, other = network(kind, seed=1), network(kind, seed=2)
    torch.save(rnn.state_dict(), tmp_path / "rnn.pt")
    other.load_state_dict(torch.load(tmp_path / "rnn.pt", weights_only=True))
    x, dt, _, _ = stream()
    assert torch.equal(rnn(x, dt)[0], other(x, dt)[0])


def test_weights_of_another_wiring_are_refused():
    def wired(seed):
        return LiquidRNN(F, O, "flow", wiring=auto_ncp(F, 14, O, seed=seed, paired=True), seed=seed)

    rnn, same, other = wired(1), wired(1), wired(2)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    saved = rnn.state_dict()
    with pytest.raises(LnnError, match=r"core\.wiring_sha256 is that of another wiring") as caught:
        other.load_state_dict(saved)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    with pytest.raises(LnnError, match="of another wiring"):
        other.load_state_dict(saved, strict=False)
    same.load_state_dict(saved)
    without = {name: value for name, value in saved.items() if "wiring" not in name}
    with pytest.raises(RuntimeError, match=r"Missing key.*core\.wiring_sha256"):
        same.load_state_dict(without)
    same.load_state_dict(without, strict=False)  # whoever asks for that knows
    assert copy.deepcopy(rnn).double().load_state_dict(saved)  # and it knows no dtype


@every_cell
def test_it_learns(kind):
    """A few steps of gradient descent fit a few sequences better."""
    rnn = network(kind)
    x, dt, mask, _ = stream()
    wanted = torch.tanh(x.cumsum(1))[..., :O]
    optimiser = torch.optim.Adam(rnn.parameters(), 0.05)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = (rnn(x, dt, mask=mask)[0] - wanted)[mask].square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


# -- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*kinds(), "flow of events"])
def test_an_observation_after_no_time_moves_what_the_documentation_says(kind):
    """docs/how-to/use-the-library.md: nothing in flow and ltc, but for the very first one."""
    rnn = network(kind.split()[0], **({"event": True} if "events" in kind else {}))
    x, dt, _, _ = stream()
    _, state = rnn(x, dt)
    none = torch.zeros(3, 1, dtype=torch.float64)
    y, after = rnn(2.0 + x[:, :1], none, state)

    def apart(a, b):
        return float((a - b).detach().abs().max())

    moved = apart(y[:, 0], rnn.read(state))
    assert moved < 1e-12 if kind in ("flow", "ltc") else moved > 1e-3
    if kind == "flow":
        assert apart(rnn.read(after, 0.1), rnn.read(state, 0.1)) > 1e-3
    first, _ = rnn(x[:, :1], none)
    assert apart(first[:, 0], rnn.read(rnn.initial(3))) > 1e-3


@every_cell
@settings(max_examples=5)
@given(seed=seeds, cut=st.integers(1, 7))
def test_a_sequence_in_two_calls_is_the_sequence(kind, seed, cut):
    rnn = network(kind)
    x, dt, mask, _ = stream(seed)
    y, state = rnn(x, dt, mask=mask)
    first, between = rnn(x[:, :cut], dt[:, :cut], mask=mask[:, :cut])
    second, last = rnn(x[:, cut:], dt[:, cut:], between, mask[:, cut:])
    close(torch.cat([first, second], 1), y)
    close(last, state)


@every_cell
def test_ragged_batches_equal_single_sequences(kind):
    """Padding that the mask hides, with no time, changes nothing."""
    rnn = network(kind)
    x, dt, _, _ = stream()
    lengths = [8, 5, 2]
    mask = torch.arange(8) < torch.tensor(lengths)[:, None]
    x, dt = torch.where(mask[..., None], x, torch.nan), torch.where(mask, dt, 0.0)
    y, state = rnn(x, dt, mask=mask)
    for i, n in enumerate(lengths):
        alone, last = rnn(x[i : i + 1, :n], dt[i : i + 1, :n])
        close(y[i : i + 1, :n], alone)
        close(state[i : i + 1], last)
        close(y[i, n:], alone[0, -1].expand(8 - n, O))


@every_cell
def test_an_output_between_observations_is_read(kind):
    """Where nothing was observed, the output is that of ``read`` so much later."""
    rnn = network(kind)
    x, dt, _, _ = stream()
    _, state = rnn(x, dt)
    later = torch.tensor([0.0, 0.3, 2.0], dtype=torch.float64)
    nothing = torch.zeros(3, 1, dtype=torch.bool)
    y, _ = rnn(torch.full_like(x[:, :1], torch.nan), later[:, None], state, nothing)
    before = state.clone()
    close(rnn.read(state, later), y[:, 0])
    close(rnn.read(state, 0.3)[1], y[1, 0])
    assert torch.equal(state, before)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_time_that_cannot_be_is_an_error(bad):
    rnn = network()
    x, dt, _, _ = stream()
    dt[1, 3] = bad
    with pytest.raises(LnnError, match="dt"):
        rnn(x, dt)
    with pytest.raises(LnnError, match="dt"):
        rnn.read(rnn.initial(3), bad)
    with pytest.raises(LnnError, match="dt"):
        rnn.read(rnn.initial(3), torch.ones(2))


# -- what is missing ----------------------------------------------------------------------------


@every_cell
@settings(max_examples=3)
@given(seed=seeds)
def test_what_a_mask_hides_may_be_anything(kind, seed):
    rnn = network(kind)
    x, dt, mask, features = stream(seed)
    for hidden in [mask, *([features] if rnn.presence else [])]:
        shown = (hidden if hidden.ndim == 3 else hidden[..., None]).expand_as(x)
        found = []
        for junk in (0.0, torch.nan, torch.inf):
            filled = torch.where(shown, x, junk).requires_grad_()
            rnn.zero_grad()
            y, state = rnn(filled, dt, mask=hidden)
            (y.square().sum() + state.square().sum()).backward()
            grads = [p.grad for p in rnn.parameters() if p.grad is not None]
            found.append([y, state, filled.grad, *grads])
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
        assert all(torch.isfinite(a).all() for a in found[0])
        assert not found[0][2][~shown].any()


@every_cell
@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_a_sample_never_reaches_another(kind, poison):
    rnn = network(kind)
    x, dt, _, _ = stream()
    clean, _ = rnn(x, dt)
    x = x.clone()
    x[1, 2] = poison
    x.requires_grad_()
    y, state = rnn(x, dt)
    assert torch.equal(y[[0, 2]], clean[[0, 2]])
    assert torch.isfinite(state[[0, 2]]).all()
    y[[0, 2]].sum().backward()
    assert torch.isfinite(x.grad[[0, 2]]).all()


def test_ages_are_those_of_the_features():
    rnn = network(presence=True)
    x, _, _, _ = stream()
    dt = torch.full((1, 4), 0.5, dtype=torch.float64)
    mask = torch.tensor([[[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]]], dtype=torch.bool)
    initial = rnn.inspect(rnn.initial(1))["age"]
    _, state = rnn(x[:1, :4], dt, mask=mask)
    close(rnn.inspect(state)["age"], torch.tensor([[0.0, 1.5, 0.0]], dtype=torch.float64))
    _, state = rnn(x[:1, :3], dt[:, :3], mask=mask[:, :3])
    unseen = 1.5 + float(initial[0, 2])
    close(rnn.inspect(state)["age"], torch.tensor([[0.5, 1.0, unseen]], dtype=torch.float64))


@pytest.mark.parametrize("kind", [k for k in kinds() if k not in ("feedforward",)])
def test_presence_tells_a_zero_from_nothing(kind):
    rnn = network(kind, presence=True)
    x, dt, _, _ = stream()
    x[..., 0] = 0.0
    everything = torch.ones(3, 8, F, dtype=torch.bool)
    without = everything.clone()
    without[..., 0] = False
    assert not torch.equal(rnn(x, dt, mask=everything)[0], rnn(x, dt, mask=without)[0])
    close(rnn(x, dt, mask=everything)[0], rnn(x, dt)[0])


# -- looking inside, and mistakes ---------------------------------------------------------------


@every_cell
def test_a_state_has_names(kind):
    rnn = network(kind, presence=True)
    x, dt, _, _ = stream()
    _, state = rnn(x, dt)
    parts = rnn.inspect(state)
    assert list(parts)[-2:] == ["elapsed", "age"]
    assert torch.equal(torch.cat(list(parts.values()), -1), state)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"cell": "flaw", "units": 4}, "flaw"),
        ({"units": 4, "colour": "red"}, "colour"),
        ({}, "exactly one"),
        ({"units": 4, "wiring": dense(F, 4)}, "exactly one"),
        ({"wiring": dense(F + 1, 4)}, "inputs"),
        ({"wiring": dense(F, 4), "presence": True}, "presence"),
        ({"wiring": "ncp"}, "wiring is of type str, expected a Wiring, such as"),
        ({"wiring": dense(F, 4).masks()}, "wiring is of type dict"),
        ({"units": 0}, "units"),
        ({"units": 4, "rate_max": -1.0}, "rate_max"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, word):
    with pytest.raises(LnnError, match=word):
        LiquidRNN(F, O, **arguments)


@pytest.mark.parametrize("sizes", [(0, 2), (3, 0), (-1, 2), (3, -2)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(LnnError, match="size"):
        LiquidRNN(*sizes, units=4)


def test_what_does_not_fit_is_refused():
    rnn = network()
    x, dt, mask, features = stream()
    for wrong, word in [
        ((x[0], dt[0]), "x has shape"),
        ((x[..., :2], dt), "x has shape"),
        ((x, dt[:, :5]), "dt has shape"),
        ((x, dt[0]), "dt has shape"),
        ((x[:, :0], dt[:, :0]), "step"),
        ((x, dt, rnn.initial(2)), "state has shape"),
        ((x, dt, rnn.initial(3)[:, :-1]), "state has shape"),
        ((x, dt, None, mask.double()), "mask"),
        ((x, dt, None, mask[:, :2]), "mask"),
        ((x, dt, None, features), "presence"),
        ((x.float(), dt), r"x.to\(torch.float64"),
        ((x, dt, rnn.initial(3).float()), r"state.to\(torch.float64"),
        ((x.numpy(), dt), r"x is of type ndarray.* torch.as_tensor\(x"),
        ((x, dt.numpy()), "dt is of type ndarray, expected a torch tensor"),
        ((x, dt, rnn.initial(3).detach().numpy()), "state is of type ndarray"),
        ((x, dt, None, mask.tolist()), "mask is of type list"),
        ((x, 0.1), "dt is of type float"),
    ]:
        with pytest.raises(LnnError, match=word):
            rnn(*wrong)
    with pytest.raises(LnnError, match="state is of type ndarray"):
        rnn.read(rnn.initial(3).detach().numpy())


def test_a_flow_in_which_nothing_turns_says_so():
    plain, paired = (auto_ncp(F, 14, O, seed=3, paired=paired) for paired in (False, True))
    with pytest.warns(UserWarning, match="none of the flow cell turns.*paired=True") as said:
        LiquidRNN(F, O, "flow", wiring=plain)
    assert len(said) == 1 and said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LiquidRNN(F, O, "flow", wiring=paired)
        LiquidRNN(F, O, "flow", wiring=plain, rotating=())  # somebody knows
        LiquidRNN(F, O, "flow", units=8)
        LiquidRNN(F, O, "cfc", wiring=plain)
        LiquidRNN(F, O, "flow", wiring=Wiring((WiredLayer("a", np.ones((F, 4), np.int8)),)))


def test_the_wiring_decides_the_layers():
    wiring = auto_ncp(F, 14, O, seed=3, paired=True)
    rnn = LiquidRNN(F, O, "flow", wiring=wiring)
    assert rnn.core.cell.read == O
    assert [layer.name for layer in rnn.core.cell.layers] == ["inter", "command", "motor"]
