"""Print what is in a policy's or a cell's file, and draw its wiring."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lnn_ros.liquid import container
from lnn_ros.liquid.bound import bound
from lnn_ros.liquid.cells import Cell
from lnn_ros.liquid.checkpoint import (
    CELL_FORMAT,
    POLICY_FORMAT,
    CellCheckpoint,
    Checkpoint,
    load,
    load_cell,
)
from lnn_ros.liquid.spec import COMMAND, SUMMARY

INTERVAL = 1 / 30
"""Seconds between updates for which bounds on the rate are shown beside those for any."""
NOTED = ("training", "evaluation", "calibration", "novelty")
"""What is shown of a card as it stands there."""
LONG = 12
"""Longer lists are cut where they are printed; ``--json`` holds them whole."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help="checkpoint of a policy, or of a cell alone")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--wiring", type=Path, help="draw the wiring into this .png or .svg")


def run(args: argparse.Namespace) -> int:
    """Check the file as for flight, and show what it holds."""
    checkpoint = read(args.file)
    found = describe(checkpoint)
    found["file"] = {"path": str(args.file), "bytes": os.path.getsize(args.file)}
    if args.wiring:
        draw_wiring(args.wiring, checkpoint)
    text = json.dumps(found, indent=1) if args.json else "\n".join(lines(found))
    # A name from a hostile file must not fail the terminal's encoding, nor steer the terminal.
    sys.stdout.write("".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text))
    sys.stdout.write("\n")
    return 0


def read(path: str | os.PathLike[str]) -> Checkpoint | CellCheckpoint:
    """Load a file of either format.

    Raises
    ------
    LnnError
        When it is none, or damaged.
    """
    return load_cell(path) if container.file_format(path) == CELL_FORMAT else load(path)


def describe(checkpoint: Checkpoint | CellCheckpoint) -> dict[str, Any]:
    """Everything in a checkpoint, as plain data.

    Returns
    -------
    dict
        ``name``, ``architecture``, ``parameters`` (of each part), ``wiring`` (neurons and synapses
        of each layer), ``digests``, and what its card says; for a policy also the bound.
    """
    cell = checkpoint.cell if isinstance(checkpoint, CellCheckpoint) else checkpoint.spec.core
    found: dict[str, Any] = {
        "format": "cell" if isinstance(checkpoint, CellCheckpoint) else "policy",
        "version": container.version(
            CELL_FORMAT if isinstance(checkpoint, CellCheckpoint) else POLICY_FORMAT
        ),
        "digests": {
            "weights_sha256": checkpoint.weights_digest(),
            "tensors": {
                name: container.digest("", {name: array})[:16]
                for name, array in sorted(checkpoint.arrays.items())
            },
        },
        "parameters": _counts(checkpoint),
        "wiring": _layers(cell, checkpoint.arrays),
    }
    if isinstance(checkpoint, CellCheckpoint):
        return {
            "name": checkpoint.name,
            **found,
            "architecture": {"cell": cell.to_json()},
            "outputs": checkpoint.outputs,
            "presence": checkpoint.presence,
            "first_interval": checkpoint.first_interval,
            "source": checkpoint.source,
        }
    spec, card = checkpoint.spec, checkpoint.card
    proven = bound(spec, checkpoint.arrays)
    apart = bound(spec, checkpoint.arrays, INTERVAL).to_json()
    data = spec.to_json()
    normalisation = {
        name: data.pop(name) for name in ("summary_scale", "summary_offset", "summary_limit")
    }
    for name in ("pixel_scale", "pixel_offset"):
        if name in data["encoder"]:
            normalisation[name] = data["encoder"][name]
    return {
        "name": card["name"],
        "task": card["task"],
        **found,
        "architecture": data,
        "streams": card["streams"],
        "camera": card["camera"],
        "normalisation": normalisation,
        "bound": {
            **proven.to_json(),
            "apart": {"seconds": INTERVAL, **{name: apart[name] for name in ("rate", "reading")}},
            "outputs": list(COMMAND),
        },
        **{key: card[key] for key in NOTED if key in card},
    }


def _counts(checkpoint: Checkpoint | CellCheckpoint) -> dict[str, int]:
    """Parameters of each part, and how many of them the wiring lets act."""
    owner = checkpoint if isinstance(checkpoint, CellCheckpoint) else checkpoint.spec
    cell = checkpoint.cell if isinstance(checkpoint, CellCheckpoint) else checkpoint.spec.core
    found: dict[str, int] = {}
    for name, shape in owner.parameters().items():
        part = "head.spread" if name.startswith("head.spread") else name.partition(".")[0]
        found[part] = found.get(part, 0) + math.prod(shape)
    total = sum(found.values())
    masks = {name: checkpoint.arrays[name] for name in cell.masks()}
    closed = sum(int((mask == 0).sum()) for mask in cell.allowed(masks).values())
    return {**found, "total": total, "closed_by_wiring": closed, "active": total - closed}


def _layers(cell: Cell, arrays: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = getattr(cell, "pairs", (0,) * len(cell.layers))
    return [
        {
            "layer": layer.name,
            "neurons": layer.units,
            "sources": sources,
            "recurrent": layer.recurrent,
            "turning_pairs": turning,
            "synapses": int(arrays[f"wiring.{layer.name}"].sum()),
            "possible": int(arrays[f"wiring.{layer.name}"].size),
        }
        for (layer, sources), turning in zip(cell.sources(), pairs, strict=True)
    ]


def draw_wiring(path: Path, checkpoint: Checkpoint | CellCheckpoint) -> None:
    """Draw a checkpoint's wiring.

    Raises
    ------
    LnnError
        When the name does not end with .png or .svg, or the file cannot be written.
    """
    from lnn_ros.liquid.wiring_figure import Outputs, draw  # matplotlib costs half a second

    arrays = {
        name.removeprefix("core."): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(("core.", "wiring."))
    }
    if isinstance(checkpoint, CellCheckpoint):
        names = [f"input {i}" for i in range(checkpoint.cell.inputs)]
        outputs = None
        if checkpoint.outputs:
            said = [f"output {i}" for i in range(checkpoint.outputs)]
            outputs = Outputs(said, checkpoint.arrays["readout.weight"])
        draw(path, checkpoint.cell, arrays, names, outputs)
        return
    features = checkpoint.spec.encoder.features
    names = [f"feature {i}" for i in range(features)] + [n.replace("_", " ") for n in SUMMARY]
    if checkpoint.spec.core.presence:
        names += [f"{name} {what}" for what in ("there", "age") for name in names]
    read_out = Outputs([n.replace("_", " ") for n in COMMAND], checkpoint.arrays["head.weight"])
    draw(path, checkpoint.spec.core, arrays, names, read_out)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What ``describe`` found, for people."""
    yield f"{found['name']}: {found['format']} file, version {found['version']}" + (
        f", {found['file']['bytes']} bytes" if "file" in found else ""
    )
    yield from _section("architecture", found["architecture"])
    counts = found["parameters"]
    yield "parameters: " + ", ".join(f"{name} {count}" for name, count in counts.items())
    for layer in found["wiring"]:
        turning = f" ({layer['turning_pairs']} pairs turn)" if layer["turning_pairs"] else ""
        loop = " and itself" if layer["recurrent"] else ""
        yield (
            f"wiring of {layer['layer']}: {layer['neurons']} neurons{turning}, "
            f"{layer['synapses']} of {layer['possible']} synapses from {layer['sources']} "
            f"sources{loop}"
        )
    if "bound" in found:
        yield from _bound_lines(found["bound"])
    shown = ("name", "task", "format", "version", "architecture", "parameters", "wiring", "bound")
    for key, value in found.items():
        if key not in (*shown, "digests", "file"):
            yield from _section(key, value)
    yield f"digest of the weights: {found['digests']['weights_sha256']}"


def _bound_lines(data: Mapping[str, Any]) -> Iterator[str]:
    yield "bound, proven from the weights:"
    words = {"rate": "by the flow alone", "reading": "since the last update, as it is read"}
    apart = data["apart"]
    for i, output in enumerate(data["outputs"]):
        unit = "rad/s" if output == "yaw_rate" else "m/s"
        yield f"  {output}: {data['low'][i]:.4g} to {data['high'][i]:.4g} {unit}"
        for name, when in words.items():
            change = "no bound is known"
            if data[name] is not None:
                change = (
                    f"at most {data[name][i]:.4g} {unit}^2 "
                    f"({apart[name][i]:.4g} with {apart['seconds'] * 1e3:.0f} ms and more between "
                    "updates)"
                )
            yield f"    changes {when}: {change}"


def _section(name: str, value: object, depth: int = 0) -> Iterator[str]:
    """Plain data as indented lines."""
    indent = "  " * depth
    if isinstance(value, Mapping) and value:
        yield f"{indent}{name}:"
        for key, entry in value.items():
            yield from _section(str(key), entry, depth + 1)
    elif isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        yield f"{indent}{name}:"
        for entry in value:
            yield f"{indent}  - {_short(entry)}"
    else:
        yield f"{indent}{name}: {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        cut = [_short(v) for v in value[:LONG]]
        more = [f"... ({len(value)} in all)"] if len(value) > LONG else []
        return "[" + ", ".join(cut + more) + "]"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)
