"""Sequences through kernels: the same numbers and gradients as the plain loop, step by step."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lnn_ros.errors import LnnError
from lnn_ros.liquid import kernels
from lnn_ros.liquid.cells import cell_type
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.torch_cell import CellModule
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

torch.set_num_threads(1)
INPUTS = 6
PERCEPTRON = Wiring(
    (
        WiredLayer("first", np.ones((INPUTS, 3), np.int8)),
        WiredLayer("last", np.ones((3, 2), np.int8)),
    )
)
WIRINGS = {
    "dense": dense(INPUTS, 6),
    "odd": dense(INPUTS, 5),
    "ncp": auto_ncp(INPUTS, 13, 3),
    "paired": auto_ncp(INPUTS, 12, 2, paired=True),
    "perceptron": PERCEPTRON,
}
CELLS = {
    "flow": {},
    "flow event": {"event": True},
    "flow fast": {"frequency_max": 5.0, "rate_min": 0.1, "rate_max": 200.0},
    "flow still": {"frequency_max": 0.0, "rate_min": 1.0, "rate_max": 1.0},
    "cfc": {},
    "cfc no_gate": {"mode": "no_gate"},
    "cfc pure": {"mode": "pure"},
    "cfc ncps": {"compat": "ncps"},
    "cfc_mixed": {},
    "cfc_mixed no_gate": {"mode": "no_gate"},
    "cfc_mixed pure": {"mode": "pure"},
    "cfc_mixed ncps": {"compat": "ncps"},
    "gru": {"dt_input": True},
    "gru_d": {},
    "lstm": {"dt_input": True},
    "ltc": {"first_step": 0.1, "longest": 0.4, "growth": 1.5},
}
FUSED = [
    (cell, wiring)
    for cell in CELLS
    for wiring in WIRINGS
    # No layer that could hold a memory; one memory over several layers, which no kernel knows.
    if not (cell.startswith("cfc_mixed") and wiring == "perceptron")
    if not (cell == "cfc_mixed ncps" and wiring in ("ncp", "paired"))
]
KINDS = ["flow", "cfc", "cfc_mixed", "gru", "gru_d", "lstm", "ltc"]
SHAPES = {"steps": st.integers(4, 9), "batch": st.integers(1, 40), "seed": st.integers(0, 2**31)}


def module(cell, wiring, dtype=torch.float64, **options):
    """Return a cell with random parameters."""
    wiring = WIRINGS[wiring]
    built = cell_type(cell.split()[0]).wired(INPUTS, wiring, 1, **CELLS[cell], **options)
    made = CellModule(built, wiring, seed=1, dtype=dtype)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return made


def sequences(made, steps, batch, seed, masks):
    """Return inputs, dt, a state that the cell can be in, present and keep; dt is often zero."""
    rng = np.random.default_rng(seed)
    dtype = next(made.parameters()).dtype

    def tensor(values):
        return torch.tensor(values, dtype=dtype)

    x = rng.normal(0, 1, (steps, batch, INPUTS))
    if made.cell.presence:
        third = INPUTS // 3
        x[..., third : 2 * third] = x[..., third : 2 * third] > 0
        x[..., 2 * third :] = np.log1p(np.abs(x[..., 2 * third :]))
    x = tensor(x)
    dt = tensor(rng.exponential(0.3, (steps, batch)) * (rng.random((steps, batch)) < 0.8))
    made.fused = False
    with torch.no_grad():
        state = made.states(x[-2:] + 1.0, dt[:2], made.initial(batch))[-1]
        state[:, -1] = tensor(rng.exponential(0.3, batch))
    drawn = [torch.tensor(rng.random((steps, batch)) < 0.7) if masks else None for _ in range(2)]
    return x, dt, state, *drawn


def run(made, fused, x, dt, state, present, keep):
    """Return states, and gradients of a random function of them: by the name of what they move."""
    made.fused = fused
    made.zero_grad()
    moved = {"inputs": x.clone(), "dt": dt.clone(), "state": state.clone()}
    for tensor in moved.values():
        tensor.requires_grad_()
    states = made.states(*moved.values(), present, keep)
    generator = torch.Generator().manual_seed(7)
    (states * torch.randn(states.shape, generator=generator, dtype=states.dtype)).sum().backward()
    gradients = {name: tensor.grad for name, tensor in moved.items()}
    if "rate" in made.cell.parts():
        # Neurons of a pair have one rate: which of the two copies a gradient goes to is free.
        d, rate, start = gradients["state"], made.cell.where("rate").start, 0
        for layer, pairs in zip(made.cell.layers, made.cell.pairs, strict=True):
            a = slice(rate + start, rate + start + pairs)
            b = slice(a.stop, a.stop + pairs)
            d[:, a] += d[:, b]
            d[:, b] = 0.0
            start += layer.units
    gradients |= {name: parameter.grad for name, parameter in made.named_parameters()}
    return states.detach(), gradients


def kernel_of(made, x, dt, state, present, keep):
    """Return what the cell's kernel answers: None where it leaves the cell to the loop."""
    kernel = kernels.find(made.cell.kind, x, dt, state)
    return kernel(made.cell, made.weights(), x, dt, state, present, keep)


def close(found, expected, tolerance):
    """Difference relative to max(1, size of the largest number)."""
    assert torch.isfinite(found).all()
    assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(("cell", "wiring"), FUSED)
@settings(max_examples=2, deadline=None)
@example(steps=6, batch=20, seed=1)
@given(**SHAPES)
def test_the_same_as_the_loop(cell, wiring, steps, batch, seed):
    made = module(cell, wiring)
    for masks in (False, True):
        arguments = sequences(made, steps, batch, seed, masks)
        assert kernel_of(made, *arguments) is not None
        expected, gradients = run(made, False, *arguments)
        found, theirs = run(made, True, *arguments)
        close(found, expected, 1e-12)
        for name, gradient in gradients.items():
            close(theirs[name], gradient, 1e-11)


@pytest.mark.parametrize("wiring", ["dense", "paired"])
@pytest.mark.parametrize("cell", ["flow", "cfc", "cfc_mixed", "gru_d"])
@settings(max_examples=2, deadline=None)
@example(steps=6, batch=20, seed=1)
@given(**SHAPES)
def test_the_same_as_the_loop_in_single_precision(cell, wiring, steps, batch, seed):
    made = module(cell, wiring, torch.float32)
    for masks in (False, True):
        arguments = sequences(made, steps, batch, seed, masks)
        expected, gradients = run(made, False, *arguments)
        found, theirs = run(made, True, *arguments)
        close(found, expected, 2e-6)
        for name, gradient in gradients.items():
            # Sums over all steps and sequences, rounded in another order.
            close(theirs[name], gradient, 5e-5)


@pytest.mark.parametrize(
    "cell",
    ["flow", "flow event", "cfc", "cfc pure", "cfc_mixed", "gru", "gru_d", "lstm", "ltc"],
)
def test_gradients_are_those_of_finite_differences(cell):
    made = module(cell, "paired")
    x, dt, state, present, keep = sequences(made, 5, 2, 3, masks=True)
    made.fused = True
    names = [name for name, _ in made.named_parameters()]

    def states(x, dt, state, *parameters):
        weights = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(_States(made), weights, (x, dt, state, present, keep))

    moved = [tensor.detach().clone().requires_grad_() for tensor in (x, dt, state)]
    parameters = [parameter.detach().clone().requires_grad_() for parameter in made.parameters()]
    names = [f"made.{name}" for name in names]
    # dt of zero stands at the edge of its domain.
    moved[1].data.clamp_(min=0.05)
    assert torch.autograd.gradcheck(states, (*moved, *parameters), fast_mode=True)


class _States(torch.nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, *arguments):
        return self.made.states(*arguments)


@pytest.mark.parametrize("cell", KINDS)
def test_a_sequence_may_be_cut(cell):
    made = module(cell, "paired")
    x, dt, state, present, keep = sequences(made, 11, 3, 5, masks=True)
    made.fused = True
    x.requires_grad_()
    whole = made.states(x, dt, state, present, keep)
    whole[-1].sum().backward()
    expected, x.grad = x.grad, None
    first = made.states(x[:5], dt[:5], state, present[:5], keep[:5])
    second = made.states(x[5:], dt[5:], first[-1], present[5:], keep[5:])
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=0, atol=1e-12)
    second[-1].sum().backward()
    torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", KINDS)
def test_activities_and_the_last_state_alone(cell):
    made = module(cell, "paired")
    x, dt, state, present, _ = sequences(made, 6, 3, 5, masks=True)
    found = []
    for fused in (False, True):
        made.fused = fused
        made.zero_grad()
        activity, last = made(x, dt, state, present)
        (activity.square().sum() + last.sum()).backward()
        found.append([activity, last, *(parameter.grad for parameter in made.parameters())])
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", ["flow", "cfc", "cfc_mixed", "gru_d"])
def test_nan_stays_in_its_own_sequence(cell):
    made = module(cell, "paired", torch.float32)
    x, dt, state, *_ = sequences(made, 6, 20, 5, masks=False)
    made.fused = True
    expected = made.states(x, dt, state)
    x[2, 7] = torch.nan
    x.requires_grad_()
    states = made.states(x, dt, state)
    states.sum().backward()
    others = [b for b in range(20) if b != 7]
    assert states[2, 7, : made.cell.units].isnan().all()
    torch.testing.assert_close(states[:, others], expected[:, others], rtol=0, atol=0)
    assert x.grad[:, others].isfinite().all()


@pytest.mark.parametrize("cell", ["flow", "cfc", "cfc_mixed", "gru_d"])
def test_nan_is_not_lost_on_the_way(cell):
    made = module(cell, "paired")
    x, dt, state, present, keep = sequences(made, 5, INPUTS, 5, masks=True)
    # In the k-th sequence the k-th input.
    x[torch.arange(INPUTS) % 4, torch.arange(INPUTS), torch.arange(INPUTS)] = torch.nan
    found = []
    for fused in (False, True):
        made.fused = fused
        found.append(made.states(x, dt, state, present, keep).isnan())
    assert found[0].any(0).any(1).sum() >= INPUTS / 2
    assert torch.equal(*found)


@pytest.mark.parametrize("cell", KINDS)
def test_a_second_derivative_is_refused(cell):
    made = module(cell, "dense")
    x, dt, state, *_ = sequences(made, 4, 2, 5, masks=False)
    x.requires_grad_()
    made.fused = True
    (slope,) = torch.autograd.grad(made.states(x, dt, state).sum(), x, create_graph=True)
    with pytest.raises(LnnError, match="second derivative"):
        slope.sum().backward()
    made.fused = False
    (slope,) = torch.autograd.grad(made.states(x, dt, state).sum(), x, create_graph=True)
    slope.sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", ["cfc_mixed", "gru_d"])
def test_no_time_and_a_minute(cell, dtype):
    """With the parameters that a training begins with: of those of GRU-D many are zero."""
    wiring = WIRINGS["paired"]
    made = CellModule(cell_type(cell).wired(INPUTS, wiring, 1), wiring, seed=1, dtype=dtype)
    x, dt, state, present, keep = sequences(made, 8, 20, 3, masks=True)
    for seconds in (0.0, 60.0):
        dt[:] = seconds
        if cell == "gru_d":
            x[..., 2 * INPUTS // 3 :] = np.log1p(seconds)
        expected, gradients = run(made, False, x, dt, state, present, keep)
        found, theirs = run(made, True, x, dt, state, present, keep)
        exact = dtype == torch.float64
        close(found, expected, 1e-12 if exact else 1e-5)
        for name, gradient in gradients.items():
            close(theirs[name], gradient, 1e-11 if exact else 1e-4)


@pytest.mark.parametrize("cell", ["cfc_mixed", "gru_d"])
def test_ragged_sequences_with_what_is_missing(cell):
    presence = cell == "gru_d"
    rnn = LiquidRNN(3, 2, cell, units=7, presence=presence, seed=2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 12, 3, generator=generator, dtype=torch.float64)
    dt = torch.rand(5, 12, generator=generator, dtype=torch.float64)
    mask = (torch.arange(12) < torch.tensor([[12], [9], [5], [4], [1]])).clone()
    if presence:
        mask = mask[..., None] & (torch.rand(5, 12, 3, generator=generator) < 0.7)
    x[~mask] = torch.nan
    found = []
    for fused in (False, True):
        rnn.core.fused = fused
        rnn.zero_grad()
        y, state = rnn(x, dt, mask=mask)
        (y.square().sum() + state.sum()).backward()
        gradients = (parameter.grad for parameter in rnn.parameters())
        found.append([y.detach(), state.detach(), *gradients])
    for ours, expected in zip(*found, strict=True):
        close(ours, expected, 1e-12)


def test_what_is_left_to_the_loop():
    for cell, wiring, options in (
        ("cfc_mixed ncps", "ncp", {}),
        ("cfc_mixed", "dense", {"backbone_layers": 1}),
        ("cfc", "dense", {"backbone_layers": 1}),
    ):
        made = module(cell, wiring, **options)
        arguments = sequences(made, 4, 2, 5, masks=False)
        assert kernel_of(made, *arguments) is None
        made.fused = True
        assert made.states(*arguments).isfinite().all()


ALONE = """
import sys
{first}
import torch
from lnn_ros.liquid.rnn import LiquidRNN
rnn = LiquidRNN(3, 2, units=4, dtype=torch.float64)
x = torch.linspace(-1, 1, 3 * 6, dtype=torch.float64).reshape(1, 6, 3)
dt = torch.full((1, 6), 0.1, dtype=torch.float64)
rnn(x[:, :2], dt[:, :2])
assert "numba" not in sys.modules or sys.modules["numba"] is None, "numba imported too early"
print([f"{{v:.12f}}" for v in rnn(x, dt)[0].flatten().tolist()])
"""


def test_numba_is_imported_when_it_is_used_and_not_needed():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", ALONE.format(first=first)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for first in ("", "sys.modules['numba'] = None")
    ]
    assert outputs[0] == outputs[1] != ""


def test_an_hour_of_observations_is_no_burden():
    rnn = LiquidRNN(2, 1, units=6)
    x = torch.randn(1, 10_000, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y, _ = rnn(x, torch.full((1, 10_000), 0.36))
    y[0, -1].sum().backward()
    assert x.grad.isfinite().all() and x.grad[0, -1].abs().sum() > 0
