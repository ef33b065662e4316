"""Outputs and gradients of our compat cells against ncps 1.0.1, over 100 random configurations."""

import numpy as np
import pytest
import torch
from ncps.torch import LTC, CfC
from ncps.wirings import NCP, AutoNCP, FullyConnected, Random

from lnn_ros.liquid.importing.ncps_import import from_ncps

TOLERANCE = 1e-5
STEPS = 5


def draw_wiring(rng):
    """Draw any of the wirings that ncps has."""
    seed = int(rng.integers(1 << 16))
    kind = rng.choice(["AutoNCP", "NCP", "FullyConnected", "Random"])
    if kind == "AutoNCP":
        sparsity = float(rng.uniform(0.1, 0.9))
        return AutoNCP(int(rng.integers(9, 20)), int(rng.integers(1, 5)), sparsity, seed)
    if kind == "NCP":
        inter, command, motor = (int(rng.integers(2, 7)) for _ in range(3))
        fan = [int(rng.integers(1, n + 1)) for n in (inter, command, command, command)]
        return NCP(inter, command, motor, *fan, seed=seed)
    units = int(rng.integers(2, 9))
    outputs = int(rng.integers(1, units + 1))
    if kind == "FullyConnected":
        return FullyConnected(units, outputs, seed, bool(rng.random() < 0.5))
    return Random(units, outputs, float(rng.uniform(0.0, 0.8)), seed)


def draw_module(kind, inputs, rng):
    """Draw a network of ncps, and say what it is."""
    mixed = bool(rng.random() < 0.4)
    mode = str(rng.choice(["default", "no_gate", "pure"]))
    if kind == "dense":
        units, outputs = int(rng.integers(1, 9)), None if rng.random() < 0.5 else 3
        layers = int(rng.integers(0, 3))
        activation = str(rng.choice(["lecun_tanh", "relu", "tanh", "silu", "gelu"]))
        return CfC(
            inputs, units, outputs, mixed_memory=mixed, mode=mode, activation=activation,
            backbone_units=int(rng.integers(1, 12)), backbone_layers=layers,
        )  # fmt: skip
    if kind == "wired":
        return CfC(inputs, draw_wiring(rng), mixed_memory=mixed, mode=mode)
    return LTC(
        inputs,
        draw_wiring(rng),
        input_mapping=rng.choice(["affine", "linear", None]),
        output_mapping=rng.choice(["affine", "linear", None]),
        ode_unfolds=int(rng.integers(1, 8)),
        implicit_param_constraints=bool(rng.random() < 0.5),
    )


def rattle(module, rng):
    """Move every parameter from where it starts, in float64, within ncps's domain."""
    module.double()
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.requires_grad:
                noise = torch.tensor(rng.uniform(-0.3, 0.3, tuple(p.shape)))
                positive = name.rsplit(".", 1)[-1] in ("w", "sensory_w", "cm", "gleak")
                p.copy_((p + noise).abs() + 0.01 if positive else p + noise)
    return module


def run_theirs(module, x, dt, hidden, memory):
    """Outputs (B, T, O) and last states; a batch of times only its cells can do, as columns."""
    state = (hidden, memory) if memory is not None else hidden
    if dt is None or len(x) == 1:
        y, last = module(x, state, dt)
        return y, *(last if memory is not None else (last, None))
    outputs = []
    for t in range(x.shape[1]):
        if memory is not None:
            hidden, memory = module.lstm(x[:, t], (hidden, memory))
        y, hidden = module.rnn_cell(x[:, t], hidden, dt[:, t, None])
        outputs.append(module.fc(y) if hasattr(module, "fc") else y)
    return torch.stack(outputs, 1), hidden, memory


def run_ours(imported, rnn, x, dt, hidden, memory):
    """Run a ``LiquidRNN`` from a state of ncps, and return what ``run_theirs`` does."""
    cell = rnn.core.cell
    order = torch.from_numpy(imported.order)
    pieces = {"elapsed": torch.zeros(len(x), 1, dtype=x.dtype), "memory": memory}
    parts = [pieces.get(name, hidden[:, order]) for name in cell.parts()]
    dt = torch.ones(x.shape[:2], dtype=x.dtype) if dt is None else dt
    y, last = rnn(x, dt, torch.cat(parts, 1))
    inside = rnn.inspect(last)
    back = torch.argsort(order)
    return y, inside.get("potential", inside["x"])[:, back], inside.get("memory")


def close(ours, theirs, scale=None):
    """Relative to the largest number of either."""
    scale = max(1e-6, float(theirs.detach().abs().max())) if scale is None else scale
    return float((ours - theirs).detach().abs().max()) <= TOLERANCE * scale


def values_of(imported):
    """All numbers of an import by name."""
    weight, bias = imported.readout
    return {**imported.values, "readout.weight": weight, "readout.bias": bias}


CONFIGURATIONS = [
    (kind, seed) for kind, count in (("dense", 30), ("wired", 35), ("ltc", 35))
    for seed in range(count)
]  # fmt: skip


@pytest.mark.parametrize(("kind", "seed"), CONFIGURATIONS)
def test_outputs_states_and_gradients_are_those_of_ncps(kind, seed):
    rng = np.random.default_rng([seed, len(kind), ord(kind[0])])
    torch.manual_seed(seed)
    inputs = int(rng.integers(1, 6))
    module = rattle(draw_module(kind, inputs, rng), rng)
    imported = from_ncps(module)
    rnn = imported.rnn(torch.float64)
    batch = int(rng.integers(1, 4))
    x = torch.tensor(rng.normal(size=(batch, STEPS, inputs)))
    # Sub-second to minutes; and ncps's own default, 1 s a step.
    dt = torch.tensor(10 ** rng.uniform(-3, 1.8, (batch, STEPS))) if rng.random() < 0.8 else None
    mixed = "memory" in rnn.core.cell.parts()
    hidden = torch.tensor(rng.normal(size=(batch, rnn.core.cell.units)))
    memory = torch.tensor(rng.normal(size=hidden.shape)) if mixed else None

    results, gradients = [], []
    for run in (run_theirs, run_ours):
        given = [v.clone().requires_grad_() if v is not None else None for v in (x, hidden, memory)]
        start = (module,) if run is run_theirs else (imported, rnn)
        found = run(*start, given[0], dt, *given[1:])
        results.append([v for v in found if v is not None])
        weigh = np.random.default_rng(seed)
        loss = sum((v * torch.tensor(weigh.normal(size=v.shape))).sum() for v in results[-1])
        loss.backward()
        gradients.append([v.grad for v in given if v is not None])

    for ours, theirs in zip(results[1], results[0], strict=True):
        assert ours.shape == theirs.shape
        assert close(ours, theirs)
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        assert close(ours, theirs)

    # Parameters, by the chain rule through the import: moving one of ncps's by a step must change
    # the loss as much by our gradients as by its own.
    grads = {name: p.grad.numpy() for name, p in rnn.core.named_parameters()}
    grads["readout.weight"] = rnn.readout.weight.grad.numpy().T
    grads["readout.bias"] = rnn.readout.bias.grad.numpy()
    arrays = {name: p.detach().numpy() for name, p in module.state_dict().items()}
    step = 1e-5
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad or parameter.grad is None:
            continue
        along = rng.normal(size=arrays[name].shape)
        moved = []
        for sign in (1, -1):
            parameter.data += sign * step * torch.tensor(along)
            moved.append(values_of(from_ncps(module)))
            parameter.data -= sign * step * torch.tensor(along)
        by_ours = sum(
            ((moved[0][key] - moved[1][key]) / (2 * step) * grad).sum()
            for key, grad in grads.items()
        )
        theirs = parameter.grad.numpy()
        scale = max(1e-6, float(np.linalg.norm(theirs) * np.linalg.norm(along)))
        assert abs(by_ours - float((theirs * along).sum())) <= TOLERANCE * scale, name


def test_the_wiring_is_taken_over_as_it_is():
    wiring = AutoNCP(20, 4, 0.6, seed=3)
    imported = from_ncps(LTC(7, wiring))
    sensory, neurons = imported.wiring.adjacency()
    order = imported.order
    np.testing.assert_array_equal(sensory, wiring.sensory_adjacency_matrix[:, order])
    np.testing.assert_array_equal(neurons, wiring.adjacency_matrix[np.ix_(order, order)])
    assert from_ncps(CfC(7, wiring)).wiring.masks().keys() == imported.wiring.masks().keys()


def test_the_ltc_is_nan_where_no_time_passes_as_in_ncps():
    module = LTC(3, AutoNCP(12, 2))
    rnn = from_ncps(module).rnn()
    x, dt = torch.ones(1, 1, 3), torch.zeros(1, 1)
    assert torch.isnan(module(x, timespans=dt)[0]).all()
    assert torch.isnan(rnn(x, dt)[0]).all()
