"""``LiquidRNN`` to and from a cell file."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from lnn_ros.errors import LnnError
from lnn_ros.liquid.checkpoint import CellCheckpoint, load_cell, save_cell
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.wiring import Wiring


def save_rnn(
    path: str | os.PathLike[str], rnn: LiquidRNN, name: str, source: dict[str, Any]
) -> None:
    """Write a network as a cell file; numbers are stored as float32.

    Parameters
    ----------
    path : path
    rnn : LiquidRNN
    name : str
        For the card.
    source : dict
        Plain data: training data and seeds.

    Raises
    ------
    LnnError
        When a number is not finite, or the file cannot be written.
    """
    values = {f"core.{key}": value for key, value in rnn.core.weights().items()}
    values["readout.weight"], values["readout.bias"] = rnn.readout.weight.T, rnn.readout.bias
    arrays: dict[str, Any] = {
        key: np.array(value.detach().to(torch.float32).numpy(), order="C")
        for key, value in values.items()
    }
    arrays.update(rnn.core.wiring.masks())
    cell, first_interval = rnn.core.cell, rnn.first_interval
    checkpoint = CellCheckpoint(
        cell, arrays, rnn.output_size, name, source, rnn.presence, first_interval
    )
    save_cell(path, checkpoint)


def load_rnn(path: str | os.PathLike[str]) -> LiquidRNN:
    """Build the network of a cell file.

    Raises
    ------
    LnnError
        When ``load_cell`` refuses the file, or it holds a cell without a read-out of its last
        layer.
    """
    checkpoint = load_cell(path)
    cell, arrays = checkpoint.cell, checkpoint.arrays
    if not checkpoint.outputs or cell.read != cell.layers[-1].units:
        raise LnnError(
            f"{path}: a cell without a read-out of its last layer found, expected a LiquidRNN"
        )
    if checkpoint.presence and cell.inputs % 3:
        raise LnnError(
            f"{path}: {cell.inputs} inputs found, expected features, presence and age: 3 times "
            "their number"
        )
    layers = tuple((layer.name, layer.recurrent) for layer in cell.layers)
    options = {
        field.name: getattr(cell, field.name)
        for field in fields(cell)
        if field.name not in ("inputs", "layers", "read")
    }
    rnn = LiquidRNN(
        cell.inputs // 3 if checkpoint.presence else cell.inputs,
        checkpoint.outputs,
        cell.kind,
        wiring=Wiring.from_masks(layers, arrays),
        presence=checkpoint.presence,
        first_interval=checkpoint.first_interval,
        **options,
    )
    with torch.no_grad():
        for name, parameter in rnn.core.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[f"core.{name}"]))
        rnn.readout.weight.copy_(torch.from_numpy(arrays["readout.weight"].T.copy()))
        rnn.readout.bias.copy_(torch.from_numpy(arrays["readout.bias"]))
    return rnn
