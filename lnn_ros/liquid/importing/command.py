"""Take over a network of ncps or keras-ncp as a cell file, and check that it computes the same."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells.cfc import ACTIVATIONS, CfC
from lnn_ros.liquid.cells.ltc import LTC
from lnn_ros.liquid.checkpoint import load_cell, save_cell
from lnn_ros.liquid.importing.ncps_import import Imported, from_ncps
from lnn_ros.liquid.importing.ncps_weights import SAMPLE, Arrays, Weights, read_weights

Array = NDArray[np.float64]

TOLERANCE = 1e-4
"""Largest difference of outputs, relative to their largest, that float32 weights excuse."""
STEPS = 32
MAX_WIRING_BYTES = 64_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "weights", type=Path, metavar="FILE",
        help="weights by name, .safetensors or .npz (see docs/explanation/published-cells.md)",
    )  # fmt: skip
    parser.add_argument(
        "--wiring", type=Path, metavar="JSON", help="what get_config() of the ncps wiring returns"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="cell file")
    parser.add_argument("--mode", choices=("default", "no_gate"), help="of a CfC that is not pure")
    parser.add_argument("--activation", choices=ACTIVATIONS, help="of a CfC's backbone")
    parser.add_argument("--unfolds", type=int, metavar="N", help="of an LTC, by default 6")
    parser.add_argument("--epsilon", type=float, help="of an LTC, by default 1e-8")
    parser.add_argument(
        "--unconstrained", dest="constrained", action="store_const", const=False,
        help="an LTC of torch without implicit_param_constraints",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import, check, write, read back."""
    arrays = read_weights(args.weights)
    sample = {name: arrays.pop(name) for name in SAMPLE if name in arrays}
    names = ("mode", "activation", "unfolds", "epsilon", "constrained")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    wiring = None if args.wiring is None else read_wiring(args.wiring)
    imported = from_ncps(arrays, wiring, **options)
    cell = imported.cell
    layers = ", ".join(f"{layer.units} {layer.name}" for layer in cell.layers)
    print(
        f"{args.weights}: {cell.kind} of {cell.units} neurons ({layers}), {cell.inputs} inputs, "
        f"{imported.wiring.synapses} synapses, {len(imported.readout[1])} outputs"
    )
    source = {
        "package": "ncps",
        "weights": args.weights.name,
        "sha256": hashlib.sha256(args.weights.read_bytes()).hexdigest(),
        "parity": check(imported, arrays, sample),
    }
    save_cell(args.out, imported.checkpoint(args.weights.stem, source))
    load_cell(args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")
    return 0


def read_wiring(path: Path) -> dict[str, Any]:
    """Read a wiring's settings.

    Raises
    ------
    LnnError
        When the file cannot be read or holds no JSON mapping.
    """
    try:
        with open(path, "rb") as file:
            blob = file.read(MAX_WIRING_BYTES + 1)
    except OSError as error:
        raise LnnError(f"{path}: cannot be read ({error.strerror}), expected a wiring") from None
    if len(blob) > MAX_WIRING_BYTES:
        raise LnnError(f"{path}: larger than {MAX_WIRING_BYTES} bytes, expected a wiring")
    try:
        found = json.loads(blob)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise LnnError(f"{path}: no JSON mapping found, expected what a wiring's get_config() gave")
    return found


def check(imported: Imported, arrays: Arrays, sample: Arrays) -> dict[str, float]:
    """Compare outputs with stored ones, and with ncps where it is installed; print what was done.

    Returns
    -------
    dict of str to float
        What was compared with, and the largest difference relative to the largest output.

    Raises
    ------
    LnnError
        When outputs differ, or the stored sample is malformed.
    """
    found: dict[str, float] = {}
    if sample:
        inputs, timespans, outputs = _sample(imported, sample)
        found["the stored sample"] = difference(imported.run(inputs, timespans), outputs)
    # Keras's CfC has linear heads and signed synapses, which ncps.torch has not.
    other = Weights(arrays).keras and isinstance(imported.cell, CfC)
    if not other and find_spec("ncps") and find_spec("torch"):
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(STEPS, imported.cell.inputs))
        timespans = 10 ** rng.uniform(-2, 0, STEPS)
        theirs = _run_ncps(rebuild(imported, arrays), inputs, timespans)
        ours = imported.run(inputs, timespans)
        # Torch's CfC gives out its whole last layer, of which keras's gives the motor neurons.
        found["ncps.torch"] = difference(ours, theirs[:, : ours.shape[1]])
    if not found:
        why = "ncps.torch has no CfC as keras has" if other else "ncps is not installed"
        print(f"parity: not checked: {why}, and the file holds no sample.inputs, sample.outputs")
    for peer, error in found.items():
        if not error <= TOLERANCE:
            raise LnnError(
                f"parity: outputs differ from those of {peer} by {error:.1e} of the largest, "
                f"expected at most {TOLERANCE:.0e}: nothing was written"
            )
        print(f"parity: outputs agree with those of {peer} to {error:.1e} of the largest")
    return found


def difference(ours: Array, theirs: Array) -> float:
    """Largest difference, relative to the largest number."""
    return float(np.abs(ours - theirs).max() / max(1e-6, np.abs(theirs).max()))


def _sample(imported: Imported, sample: Arrays) -> tuple[Array, Array, Array]:
    """Inputs, seconds and outputs of a stored sequence."""
    if "sample.inputs" not in sample or "sample.outputs" not in sample:
        raise LnnError("ncps: sample.inputs and sample.outputs found apart, expected both")
    inputs, outputs = (sample[name].astype(np.float64) for name in (SAMPLE[0], SAMPLE[2]))
    steps = len(inputs) if inputs.ndim else 0
    timespans = sample.get("sample.timespans", np.ones(steps)).astype(np.float64)
    shapes = ((steps, imported.cell.inputs), (steps,), (steps, len(imported.readout[1])))
    if steps == 0 or (inputs.shape, timespans.shape, outputs.shape) != shapes:
        raise LnnError(
            f"ncps: a sample of inputs {inputs.shape}, timespans {timespans.shape} and outputs "
            f"{outputs.shape} found, expected (T, {imported.cell.inputs}), (T,) and "
            f"(T, {len(imported.readout[1])})"
        )
    return inputs, timespans, outputs


def rebuild(imported: Imported, arrays: Mapping[str, Any]) -> Any:
    """Return the network as a module of ncps.torch, float64, from the weights as they came."""
    import torch

    peer, wirings = import_module("ncps.torch"), import_module("ncps.wirings")
    weights, cell = Weights(arrays), imported.cell
    stored = {
        name if name.startswith(("lstm.", "fc.")) else f"rnn_cell.{name}": array
        for name, array in weights.arrays.items()
    }
    ends = np.cumsum([layer.units for layer in cell.layers]).tolist()
    layers = [
        imported.order[end - layer.units : end].tolist()
        for end, layer in zip(ends, cell.layers, strict=True)
    ]

    class Taken(wirings.Wiring):  # type: ignore[name-defined]
        """The imported synapses, by ncps's numbers of neurons."""

        num_layers = len(layers)

        def get_neurons_of_layer(self, layer_id: int) -> list[int]:
            return layers[layer_id]

    wiring, (sensory, neurons) = Taken(cell.units), imported.wiring.adjacency()
    wiring.build(cell.inputs)
    wiring.sensory_adjacency_matrix[:, imported.order] = sensory
    wiring.adjacency_matrix[np.ix_(imported.order, imported.order)] = neurons
    module: Any
    if isinstance(cell, LTC):
        wiring.set_output_dim(len(imported.readout[1]))
        mappings = {
            f"{part}_mapping": None if not weights.has(f"{part}_w")
            else "affine" if weights.has(f"{part}_b") else "linear"
            for part in ("input", "output")
        }  # fmt: skip
        module = peer.LTC(
            cell.inputs, wiring, ode_unfolds=cell.unfolds, epsilon=cell.epsilon,
            implicit_param_constraints=cell.constrained, **mappings,
        )  # fmt: skip
    else:
        assert isinstance(cell, CfC)
        wiring.set_output_dim(cell.layers[-1].units)
        common = {
            "proj_size": weights.shape("fc.weight")[0] if weights.has("fc.weight") else None,
            "mixed_memory": weights.has("lstm.input_map.weight"),
            "mode": cell.mode,
        }
        wired = weights.has("layer_0.ff1.weight")
        if not wired and not imported.wiring.layers[0].feed.all():
            # Keras does not name the one layer of such a wiring.
            wired = True
            stored = {n.replace("rnn_cell.", "rnn_cell.layer_0."): a for n, a in stored.items()}
        if wired:
            module = peer.CfC(cell.inputs, wiring, **common)
        else:
            module = peer.CfC(
                cell.inputs, cell.units, activation=cell.activation,
                backbone_units=cell.backbone_units, backbone_layers=cell.backbone_layers, **common,
            )  # fmt: skip
    # Not all of them are stored: keras has no masks.
    module.double().load_state_dict(
        {name: torch.tensor(array, dtype=torch.float64) for name, array in stored.items()},
        strict=False,
    )
    return module


def _run_ncps(module: Any, inputs: Array, timespans: Array) -> Array:
    """Outputs of a module of ncps.torch over one sequence, from zeros."""
    import torch

    zeros = torch.zeros(1, module.state_size, dtype=torch.float64)
    with torch.no_grad():
        outputs, _ = module(
            torch.from_numpy(inputs)[None],
            (zeros, zeros) if module.use_mixed else zeros,
            torch.from_numpy(timespans)[None],
        )
    return np.asarray(outputs[0].numpy())
