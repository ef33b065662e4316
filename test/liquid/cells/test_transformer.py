"""The transformer hears the last K tokens, by their ages in seconds, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.transformer import STEEPEST, Transformer
from lnn_ros.liquid.torch_cell import CellModule
from lnn_ros.liquid.wiring import auto_ncp, dense

F, N, K, B = 3, 8, 4, 2


def module(fused=True, dtype=torch.float64, **options):
    wiring = dense(F, N)
    cell = Transformer.wired(F, wiring, N, **{"window": K, **options})
    core = CellModule(cell, wiring, 1, dtype)
    core.fused = fused
    return core


def stream(steps=11, seed=0):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(0, 1, (steps, B, F)))
    return x, torch.tensor(rng.exponential(0.3, (steps, B)))


def last(core, x, dt):
    return core(x, dt, core.initial(B))[0][-1].detach()


def test_the_attention_is_softmax_of_turned_keys():
    """One block, one step, beside torch's own attention."""
    core = module(blocks=1, heads=2)
    cell = core.cell
    x, dt = stream(K)
    w = {n.removeprefix("blocks.0."): v.detach() for n, v in core.weights().items()}

    def norm(y, gain):
        return torch.nn.functional.rms_norm(y, (N,), gain, 1e-6)

    y = (x @ w["token.weight"] + w["token.bias"]).transpose(0, 1)
    z = norm(y, w["attend.gain"])
    times = dt.T.cumsum(1)[..., None] * 2 * np.pi * torch.tensor(cell.frequencies)
    cos, sin = times.cos(), times.sin()

    def heads(a):
        """Halves of a head lie in the halves of the units."""
        return a.unflatten(-1, (2, 2, -1)).movedim(-2, 1).flatten(-2)

    def turned(a):
        a, b = a[..., : N // 2], a[..., N // 2 :]
        return heads(torch.cat([a * cos - b * sin, a * sin + b * cos], -1))

    scores = turned(z @ w["query.weight"])[..., -1:, :] @ turned(z @ w["key.weight"]).mT
    scores = STEEPEST * torch.tanh(scores / (N // 2) ** 0.5 / STEEPEST)
    mixed = torch.softmax(scores, -1) @ heads(z @ w["value.weight"])
    mixed = mixed[..., 0, :].unflatten(-1, (2, -1)).movedim(1, 2).flatten(1)
    y = y[:, -1] + mixed @ w["out.weight"]
    hidden = torch.relu(norm(y, w["think.gain"]) @ w["first.weight"] + w["first.bias"])
    y = y + hidden @ w["second.weight"] + w["second.bias"]
    torch.testing.assert_close(last(core, x, dt), norm(y, w["last.gain"]))


@pytest.mark.parametrize("fused", [False, True])
def test_what_is_older_than_the_window_is_gone(fused):
    core = module(fused, blocks=1)
    x, dt = stream()
    for age in range(len(x)):
        other = x.clone()
        other[len(x) - 1 - age] += 1.0
        same = torch.equal(last(core, x, dt), last(core, other, dt))
        assert same == (age >= K)


@pytest.mark.parametrize("fused", [False, True])
def test_ages_count_not_positions(fused):
    core = module(fused)
    x, dt = stream(3)
    later = dt.clone()
    later[0] += 5.0  # before everything: ages are the same
    torch.testing.assert_close(last(core, x, dt), last(core, x, later))
    later[1] += 5.0
    assert (last(core, x, dt) - last(core, x, later)).abs().max() > 1e-3


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 11])
def test_whole_sequences_equal_the_loop(steps):
    """Values and gradients, going on from a state that is half full."""
    x, dt = stream(steps)
    start = stream(2, seed=5)
    found = []
    for fused in (False, True):
        core = module(fused)
        state = core.states(*start, core.initial(B))[-1].detach().requires_grad_()
        inputs = x.clone().requires_grad_()
        times = dt.clone().requires_grad_()
        states = core.states(inputs, times, state)
        y, _ = core(inputs, times, state)
        weight = torch.linspace(-1, 1, states[0].numel(), dtype=torch.float64)
        loss = (states.flatten(1) * weight).sum() + y.square().sum()
        found.append([states, y, *torch.autograd.grad(loss, [inputs, times, state])])
        loss = core(inputs, times, state)[0].square().sum()
        found[-1] += torch.autograd.grad(loss, list(core.parameters()), allow_unused=True)
    for loop, whole in zip(*found, strict=True):
        torch.testing.assert_close(loop, whole)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@settings(deadline=None, max_examples=25)
@given(
    steps=st.integers(1, 11),
    before=st.integers(0, K + 1),
    seed=st.integers(0, 2**31),
    masks=st.tuples(st.booleans(), st.booleans()),
    trained=st.booleans(),
)
@example(steps=11, before=K + 1, seed=0, masks=(False, False), trained=False)
@example(steps=11, before=0, seed=1, masks=(True, True), trained=False)
@example(steps=11, before=2, seed=2, masks=(True, True), trained=True)
@example(steps=4, before=5, seed=123, masks=(False, False), trained=False)
def test_whole_sequences_equal_the_loop_with_masks(dtype, tolerance, **case):
    """Missing observations, new episodes, a window that is empty, half full and full."""
    steps, before, seed = case["steps"], case["before"], case["seed"]
    rng = np.random.default_rng(seed)
    # The loop in double precision says what is right: in single it errs more than the kernel.
    x, dt = (part.to(dtype).double() for part in stream(steps + before, seed))
    drawn = torch.tensor(rng.random((2, steps, B)) < 0.7)
    present, keep = (
        part if used else None for part, used in zip(drawn, case["masks"], strict=True)
    )
    plain = module(False, torch.float64)
    begun = plain.initial(B, 0.5)
    if before:
        shown = torch.tensor([[True, i != 1] for i in range(before)])  # unequal
        begun = plain.states(x[:before], dt[:before], begun, shown)[-1].detach()
    found = []
    for core, kind in ((plain, torch.float64), (module(True, dtype), dtype)):
        moved = [part.to(kind).clone() for part in (x[before:], dt[before:], begun)]
        for tensor in moved[: 2 + case["trained"]]:
            tensor.requires_grad_()
        states = core.states(*moved, present, keep)
        y, last = core(*moved, present)
        weight = torch.linspace(-1, 1, states[0].numel(), dtype=kind)
        loss = (states.flatten(1) * weight).sum() + y.square().sum() + (last * last).sum()
        wanted = [*moved[: 2 + case["trained"]], *core.parameters()]
        found.append([states, y, last, *torch.autograd.grad(loss, wanted, allow_unused=True)])
    for i, (loop, whole) in enumerate(zip(*found, strict=True)):
        size = max(1.0, float(loop.detach().abs().max()))
        # Behind the first three are gradients: that by the time turns at 8 Hz.
        error = tolerance * size * (1 if i < 3 else 10)
        torch.testing.assert_close(whole.double(), loop, rtol=0, atol=error)


def test_it_takes_one_dense_layer():
    with pytest.raises(LnnError, match="3 layers found, expected one"):
        Transformer.wired(F, auto_ncp(F, 12, 2), 2)
    with pytest.raises(LnnError, match="multiple of 6"):
        Transformer.wired(F, dense(F, 8), 8, heads=3)


def poisoned(x, place, value):
    x = x.clone()
    x[place] = value
    return x.requires_grad_()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("fused", [False, True])
def test_no_step_hears_a_later_one(fused, blocks):
    core = module(fused, blocks=blocks)
    x, dt = stream()
    y, _ = core(x, dt, core.initial(B))
    for step in range(len(x)):
        later, _ = core(poisoned(x, step, 3.0), dt, core.initial(B))
        torch.testing.assert_close(later[:step], y[:step], rtol=0, atol=1e-12)
        assert (later[step] - y[step]).abs().max() > 1e-3


@pytest.mark.parametrize("masks", [(), ("present",), ("present", "keep")])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("fused", [False, True])
def test_what_is_not_finite_goes_no_further_than_the_window(fused, value, masks):
    """Not back in time, not to other samples or episodes, not beyond two windows; nor backwards."""
    core = module(fused)
    x, dt = stream(17)
    rng = np.random.default_rng(3)
    shown = {name: torch.tensor(rng.random((17, B)) < 0.8) for name in masks}
    for mask in shown.values():
        mask[3] = True
    y = core.states(x, dt, core.initial(B), **shown)
    dirty = poisoned(x, (3, 1), value)
    states = core.states(dirty, dt, core.initial(B), **shown)
    assert not torch.isfinite(states[3, 1]).all()
    good = torch.isfinite(states).all(-1)
    # Two blocks: what hears what has heard it, and is kept as long as a window.
    assert good[:3].all() and good[:, 0].all() and good[-1].all()
    if not masks:
        assert good[:, 1].tolist() == [not 3 <= t <= 3 + 2 * (K - 1) for t in range(17)]
    torch.testing.assert_close(states[good], y[good], rtol=0, atol=1e-12)
    if fused:  # the loop's zero gradients meet the NaN in its products, and become one
        states[good].square().sum().backward()
        grads = [dirty.grad, *(p.grad for p in core.parameters())]
        assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("fused", [False, True])
def test_a_state_that_is_not_finite_is_forgotten(fused):
    """What a state kept of such a token is gone when its window is over."""
    core = module(fused)
    x, dt = stream(14)
    state = core.states(poisoned(x[:2], (1, 1), torch.nan), dt[:2], core.initial(B))[-1].detach()
    assert not torch.isfinite(state[1]).all()
    wanted = core.states(x, dt, core.initial(B))[2:]
    for trained in (False, True):
        states = core.states(x[2:], dt[2:], state.requires_grad_(trained))
        good = torch.isfinite(states).all(-1)
        assert good[:, 0].all() and not good[0, 1] and good[2 * (K - 1) :, 1].all()
        torch.testing.assert_close(states[good], wanted[good], rtol=0, atol=1e-12)
