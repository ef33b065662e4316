"""The rows of the tables: every cell of the registry, and the variants that are worth a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import kinds
from lnn_ros.liquid.rnn import LiquidRNN

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gru_dt": ("gru", {"dt_input": True}),
    "lstm_dt": ("lstm", {"dt_input": True}),
    "cfc_no_gate": ("cfc", {"mode": "no_gate"}),
    "cfc_backbone": ("cfc", {"backbone_layers": 1, "backbone_units": 128}),
    "flow_still": ("flow", {"rotating": (0,)}),
    "flow_turning": ("flow", {"rotating": (64,)}),
}
"""Rows that are not a cell as it comes: name to cell and options. A backbone of one layer of 128
units is what the CfC paper's scripts have for XOR; a cell as it comes has none. Of the flow cell's
64 neurons half turn as it comes; here none does, or all do."""
NEEDED: dict[str, dict[str, Any]] = {"gru_d": {"presence": True}}
"""Options without which a cell does not run: GRU-D is told the ages of its inputs."""
WITHOUT = ("feedforward",)
"""Cells without a memory: no rows here."""


def chosen_rows(text: str | None, left_out: tuple[str, ...] = ()) -> list[str]:
    """Return the rows that ``--cells`` asks for; None: all but those left out.

    Raises
    ------
    LnnError
        When there is no such row.
    """
    rows = sorted({*kinds(), *VARIANTS} - {*WITHOUT})
    names = [r for r in rows if r not in left_out] if text is None else text.split(",")
    for name in names:
        if name not in rows:
            raise LnnError(f"--cells: {name!r} found, expected one of {', '.join(rows)}")
    return names


def build(
    row: str,
    inputs: int,
    outputs: int,
    units: int,
    seed: int,
    options: Mapping[str, Mapping[str, Any]],
) -> nn.Module:
    """Return a row's network; ``options`` are those that a benchmark adds, by cell."""
    kind, own = VARIANTS.get(row, (row, {}))
    given = {**NEEDED.get(kind, {}), **options.get(kind, {}), **own}
    return LiquidRNN(inputs, outputs, cell=kind, units=units, seed=seed, **given)
