"""Recurrences solved in parallel equal the loop, in values and in gradients."""

import pytest
import torch
from cell_cases import CASES, build, random_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from lnn_ros.liquid.kernels.scan import WIDE, flow_scan_states, linear_scan
from lnn_ros.liquid.ops import TorchOps

OPS = TorchOps()


def coefficients(steps, width, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(steps, width, dtype=dtype, generator=generator) for _ in range(2))
    return 0.5 * a, b, torch.randn(width, dtype=dtype, generator=generator)


def one_by_one(a, b, x):
    found = []
    for t in range(len(a)):
        x = a[t] * x + b[t]
        found.append(x)
    return torch.stack(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@settings(max_examples=30)
@given(steps=st.integers(1, 70), width=st.sampled_from([1, 3, WIDE]))
def test_any_length_equals_the_loop(dtype, steps, width):
    a, b, first = coefficients(steps, width, dtype, steps)
    torch.testing.assert_close(linear_scan(a, b, first), one_by_one(a, b, first))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("steps", [1, 2, 5, 12, 13])
def test_gradients_are_those_of_finite_differences(dtype, steps):
    arguments = [x.requires_grad_() for x in coefficients(steps, 2, dtype)]
    assert torch.autograd.gradcheck(linear_scan, arguments)


def run(case, sequence, masked):
    """States and all gradients of a random sum of them."""
    cell, _ = build(case)
    generator = torch.Generator().manual_seed(1)
    w = {n: torch.tensor(v, requires_grad=True) for n, v in random_weights(case, 1).items()}
    steps, batch = 9, 3
    inputs = torch.randn(steps, batch, cell.inputs, dtype=torch.float64, generator=generator)
    dt = torch.rand(steps, batch, dtype=torch.float64, generator=generator)
    state = torch.tensor(cell.initial_state(0.3)).repeat(batch, 1)
    present = torch.rand(steps, batch, generator=generator) < 0.6
    keep = torch.rand(steps, batch, generator=generator) < 0.7
    weight = torch.randn(steps, batch, cell.state_size, dtype=torch.float64, generator=generator)
    for x in (inputs, dt, state):
        x.requires_grad_()
    masks = (present, keep) if masked else (None, None)
    states = sequence(cell, w, inputs, dt, state, *masks)
    gradients = torch.autograd.grad(
        (weight * states).sum(), [inputs, dt, state, *w.values()], allow_unused=True
    )
    return states, gradients


def loop(cell, w, inputs, dt, state, present, keep):
    states, initial = [], torch.tensor(cell.initial_state())
    for t in range(len(inputs)):
        if keep is not None:
            state = torch.where(keep[t, :, None], state, initial)
        state = cell.predict(OPS, w, state, dt[t, :, None])
        updated = cell.update(OPS, w, state, inputs[t])
        state = updated if present is None else torch.where(present[t, :, None], updated, state)
        states.append(state)
    return torch.stack(states)


def scan(*arguments):
    return torch.cat(flow_scan_states(*arguments)).permute(1, 2, 0)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", [c for c in CASES if c.kind == "flow_scan"], ids=str)
def test_a_flow_scan_in_parallel_is_its_loop(case, masked):
    for one, other in zip(run(case, scan, masked), run(case, loop, masked), strict=True):
        torch.testing.assert_close(one, other)
