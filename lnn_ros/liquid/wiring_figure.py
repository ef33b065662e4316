"""A network's wiring as a picture: layers in columns, synapses coloured by their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import Cell

_INK, _POSITIVE, _NEGATIVE, _PLAIN = "#263238", "#c44536", "#2f6fa7", "#78909c"
_COLUMN = {"inputs": "#cfd8dc", "outputs": "#ffe0b2"}
_NEURON = "#ffffff"
_GAP, _RADIUS = 9.0, 0.36
"""Distance of columns and radius of a neuron, in neurons' distances."""
_WIDEST = 2.0
_LOOP = 3.4
"""How far loops of a layer reach to the right."""
MAX_NEURONS = 2000
"""More are no picture."""


@dataclass(frozen=True)
class Outputs:
    """A linear read-out: names, and weights (read, outputs)."""

    names: Sequence[str]
    weight: NDArray[Any]


@dataclass(frozen=True)
class _Column:
    name: str
    labels: Sequence[str]
    order: NDArray[np.intp]
    """Which neuron stands at each place, from the top."""
    x: float
    step: float
    """From one neuron to the next: small layers are drawn further apart."""

    def heights(self) -> NDArray[np.float64]:
        """Vertical place of each neuron, by its own number."""
        count = len(self.order)
        places = np.empty(count)
        places[self.order] = self.step * ((count - 1) / 2 - np.arange(count))
        return places


def draw(
    path: Path,
    cell: Cell,
    arrays: Mapping[str, NDArray[Any]],
    inputs: Sequence[str],
    outputs: Outputs | None,
) -> None:
    """Draw a wiring.

    Parameters
    ----------
    path : Path
        A .png or .svg to write.
    cell : Cell
    arrays : mapping of str to ndarray
        The cell's parameters and masks, by the cell's names.
    inputs : sequence of str
        Names of the cell's inputs.
    outputs : Outputs, optional
        What reads the last ``cell.read`` activities.

    Raises
    ------
    LnnError
        When the file's name ends otherwise, it cannot be written, or there are too many neurons.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise LnnError(f"{path}: ends with {path.suffix or 'nothing'!r}, expected .png or .svg")
    if cell.units + len(inputs) > MAX_NEURONS:
        raise LnnError(
            f"{path}: {cell.units} neurons and {len(inputs)} inputs to draw, expected at most "
            f"{MAX_NEURONS} together"
        )
    columns = _columns(cell, inputs, outputs)
    tallest = max(len(column.order) for column in columns)
    size = 0.3 * (columns[-1].x + 7.0), 1.4 + 0.3 * (tallest + 2.2)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    synapses, shown = _synapses(cell, arrays, columns, outputs)
    for lines in synapses:
        axes.add_collection(lines)
    _mark_pairs(axes, cell, columns)
    for column in columns:
        _neurons(axes, column, tallest)
    count = sum(int(arrays[name].sum()) for name in cell.masks())
    axes.set_title(
        f"{cell.kind}: {cell.units} neurons, {count} synapses", color=_INK, fontsize=13, pad=16
    )
    axes.legend(handles=_legend(cell, shown), loc="upper center", bbox_to_anchor=(0.5, -0.01),
                ncol=4, frameon=False, fontsize=9, labelcolor=_INK)  # fmt: skip
    axes.set_xlim(-3.8, columns[-1].x + 3.2)
    axes.set_ylim(-tallest / 2 - 0.6, tallest / 2 + 1.6)
    axes.set_aspect("equal")
    axes.set_axis_off()
    try:
        figure.savefig(path, dpi=130, facecolor="white")
    except OSError as error:
        raise LnnError(f"{path}: cannot be written ({error.strerror or error})") from None


def _columns(cell: Cell, inputs: Sequence[str], outputs: Outputs | None) -> list[_Column]:
    named: list[tuple[str, Sequence[str], int]] = [("inputs", inputs, 0)]
    for layer, pairs in zip(cell.layers, _pairs(cell), strict=True):
        named.append((layer.name, [str(i) for i in range(layer.units)], pairs))
    if outputs is not None:
        named.append(("outputs", outputs.names, 0))
    tallest = max(len(labels) for _, labels, _ in named)
    columns: list[_Column] = []
    for name, labels, pairs in named:
        # Mates stand side by side.
        mates = np.stack([np.arange(pairs), np.arange(pairs, 2 * pairs)], 1).ravel()
        order = np.concatenate([mates, np.arange(2 * pairs, len(labels))])
        step = min(_WIDEST, (tallest - 1) / max(1, len(labels) - 1))
        columns.append(_Column(name, labels, order, _GAP * len(columns), max(1.0, step)))
    return columns


def _pairs(cell: Cell) -> tuple[int, ...]:
    return getattr(cell, "pairs", None) or (0,) * len(cell.layers)


def _weights(cell: Cell, arrays: Mapping[str, NDArray[Any]], layer: str) -> NDArray[Any] | None:
    """Signed weights of a layer's synapses (sources, units), where the cell has one for each."""
    mask = arrays[f"wiring.{layer}"]
    allowed = cell.allowed({name: arrays[name] for name in cell.masks()})
    for name in (f"{layer}.target.weight", f"{layer}.weight"):
        weight = arrays.get(name)
        if weight is not None and weight.shape == mask.shape:
            return np.asarray(weight * allowed.get(name, mask), np.float64)
    return None


def _synapses(
    cell: Cell,
    arrays: Mapping[str, NDArray[Any]],
    columns: Sequence[_Column],
    outputs: Outputs | None,
) -> tuple[list[LineCollection], bool]:
    """All synapses as lines, and whether all of them show their weights."""
    found, shown = [], True
    for i, (layer, sources) in enumerate(cell.sources()):
        mask = arrays[f"wiring.{layer.name}"]
        weight = _weights(cell, arrays, layer.name)
        shown &= weight is not None
        here, before = columns[i + 1], columns[i]
        found.append(_bundle(before, here, mask[:sources], weight, slice(0, sources)))
        if layer.recurrent and len(mask) > sources:
            found.append(_bundle(here, here, mask[sources:], weight, slice(sources, None)))
    if outputs is not None:
        start = 0
        first = cell.units - cell.read
        for layer, column in zip(cell.layers, columns[1:], strict=False):
            rows = slice(max(0, start - first), max(0, start + layer.units - first))
            if rows.stop > rows.start:
                weight = np.zeros((layer.units, len(outputs.names)))
                weight[layer.units - (rows.stop - rows.start) :] = outputs.weight[rows]
                found.append(_bundle(column, columns[-1], weight != 0, weight, slice(None)))
            start += layer.units
    return found, shown


def _bundle(
    source: _Column,
    target: _Column,
    mask: NDArray[Any],
    weight: NDArray[Any] | None,
    rows: slice,
) -> LineCollection:
    """Synapses from one column to another, or to itself: the stronger, the darker and wider."""
    which = np.argwhere(mask)
    strength = np.ones(len(which))
    sign = np.zeros(len(which))
    if weight is not None:
        values = weight[rows][mask.astype(bool)]
        # Relative to the strongest few: one giant must not make all others invisible.
        scale = np.quantile(np.abs(values), 0.95) if len(values) else 1.0
        strength = np.clip(np.abs(values) / max(scale, 1e-12), 0.0, 1.0)
        sign = np.sign(values)
    t = np.linspace(0.0, 1.0, 24)[:, None]
    start, end = source.heights()[which[:, 0]], target.heights()[which[:, 1]]
    if source is target:
        far = np.abs(start - end) / max(1.0, float(np.ptp(source.heights())))
        lift = _LOOP * (0.3 + 0.7 * far)
        x = source.x + _RADIUS + np.sin(np.pi * t) * lift
        y = start + (end - start) * t
        own = start == end
        y[:, own] += 0.3 * np.sin(2 * np.pi * t)
    else:
        ease = t * t * (3 - 2 * t)
        x = source.x + (target.x - source.x) * np.broadcast_to(t, (len(t), len(which)))
        y = start + (end - start) * ease
    points = np.stack(np.broadcast_arrays(x, y), -1).transpose(1, 0, 2)
    order = np.argsort(strength)
    color = np.array([matplotlib.colors.to_rgba(c) for c in (_NEGATIVE, _PLAIN, _POSITIVE)])
    rgba = color[(sign + 1).astype(int)]
    rgba[:, 3] = 0.05 + 0.75 * strength**2 if weight is not None else 0.25
    return LineCollection(
        list(points[order]),
        colors=list(rgba[order]),
        linewidths=list(0.4 + 1.3 * strength[order]),
        zorder=1,
    )


def _mark_pairs(axes: Any, cell: Cell, columns: Sequence[_Column]) -> None:
    for pairs, column in zip(_pairs(cell), columns[1:], strict=False):
        heights = column.heights()
        for i in range(pairs):
            low = min(heights[i], heights[pairs + i])
            axes.add_patch(
                FancyBboxPatch(
                    (column.x - _RADIUS, low - _RADIUS), 2 * _RADIUS, column.step + 2 * _RADIUS,
                    boxstyle="round,pad=0.1,rounding_size=0.4", facecolor="#fff3c4",
                    edgecolor="#e0a800", linewidth=1.2, zorder=2,
                )
            )  # fmt: skip


def _neurons(axes: Any, column: _Column, tallest: int) -> None:
    heights = column.heights()
    dots = [Circle((column.x, y), _RADIUS) for y in heights]
    axes.add_collection(
        PatchCollection(dots, facecolor=_COLUMN.get(column.name, _NEURON), edgecolor=_INK,
                        linewidth=0.8, zorder=3)
    )  # fmt: skip
    for y, label in zip(heights, column.labels, strict=True):
        if column.name == "inputs":
            axes.text(column.x - 0.6, y, label, ha="right", va="center", fontsize=7, color=_INK)
        elif column.name == "outputs":
            axes.text(column.x + 0.6, y, label, ha="left", va="center", fontsize=9, color=_INK)
        else:
            axes.text(column.x, y, label, ha="center", va="center", fontsize=5.5, color=_INK,
                      zorder=4)  # fmt: skip
    axes.text(column.x, tallest / 2 + 0.5, f"{column.name} ({len(column.order)})", ha="center",
              va="bottom", fontsize=10, color=_INK, fontweight="bold")  # fmt: skip


def _legend(cell: Cell, shown: bool) -> list[Any]:
    entries: list[Any] = []
    if shown:
        entries += [
            Line2D([], [], color=_POSITIVE, label="positive weight"),
            Line2D([], [], color=_NEGATIVE, label="negative weight (the stronger, the wider)"),
        ]
    else:
        entries.append(Line2D([], [], color=_PLAIN, label="synapse"))
    if any(_pairs(cell)):
        entries.append(
            Line2D([], [], color="#e0a800", marker="s", markersize=10, markerfacecolor="#fff3c4",
                   linestyle="none", label="pair that turns")
        )  # fmt: skip
    return entries
