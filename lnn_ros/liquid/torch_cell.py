"""Any cell as a torch module: parameters, masks, and whole sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lnn_ros.errors import LnnError
from lnn_ros.liquid import container, kernels
from lnn_ros.liquid.cells.base import Cell, Mask
from lnn_ros.liquid.ops import TorchOps
from lnn_ros.liquid.wiring import Wiring

OPS = TorchOps()
WIRING = "wiring_sha256"
"""What a state dict calls the digest of the wiring's masks."""


def nest(module: nn.Module, name: str, value: nn.Parameter | Tensor) -> None:
    """Register a parameter, or a buffer, under a dotted name: the name that state_dict shows."""
    *path, last = name.split(".")
    for step in path:
        if step not in module._modules:
            module.add_module(step, nn.Module())
        module = getattr(module, step)
    if isinstance(value, nn.Parameter):
        module.register_parameter(last, value)
    else:
        module.register_buffer(last, value)


def _same_wiring(module: CellModule, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Refuse weights that were trained under another wiring: under this one they mean nothing.

    Where there is no digest, torch itself says that it is missing, unless told not to.
    """
    name = prefix + WIRING
    found, expected = state.get(name, module.wiring_sha256), module.wiring_sha256
    if not isinstance(found, Tensor) or not torch.equal(found.cpu(), expected.cpu()):
        raise LnnError(f"state dict: {name} is that of another wiring, expected this network's own")


class CellModule(nn.Module):
    """A cell with its numbers.

    Its state dict holds a digest of the wiring beside them, and only that of an equal wiring is
    loaded.

    Parameters
    ----------
    cell : Cell
        Architecture and maths.
    wiring : Wiring
        With the cell's layers.
    seed : int
        Of the initial parameters.
    dtype : torch.dtype
        float32 or float64.

    Attributes
    ----------
    fused : bool
        Run sequences through the cell's own scan or a kernel, where there is one. False: always
        through the plain loop, the reference, in which everything can be differentiated twice.
    """

    fused = True
    wiring_sha256: Tensor

    def __init__(
        self, cell: Cell, wiring: Wiring, seed: int = 0, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        masks = wiring.masks()
        for name, shape in cell.masks().items():
            if name not in masks or masks[name].shape != shape:
                found = masks[name].shape if name in masks else "none"
                raise LnnError(f"{name}: mask of shape {found} found, expected {shape}")
        self.cell = cell
        self.wiring = wiring
        signs = {f"wiring.{layer.name}": layer.signs for layer in wiring.layers}
        values = cell.polarised(cell.initialise(np.random.default_rng(seed), masks), signs)
        for name, value in values.items():
            nest(self, name, nn.Parameter(torch.tensor(value, dtype=dtype)))
        # Buffers, so that no optimiser can open a forbidden connection.
        self._allowed = nn.Module()
        self._mask_names: dict[str, str] = {}
        self._set_allowed(cell.allowed(masks), dtype)
        digest = bytearray.fromhex(container.digest("", masks))
        self.register_buffer(WIRING, torch.frombuffer(digest, dtype=torch.uint8).clone())
        self.register_load_state_dict_pre_hook(_same_wiring)

    def _set_allowed(self, allowed: Mapping[str, Mask], dtype: torch.dtype) -> None:
        for name, mask in allowed.items():
            if not mask.all():
                buffer = name.replace(".", "_")
                self._mask_names[name] = buffer
                self._allowed.register_buffer(
                    buffer, torch.tensor(mask, dtype=dtype), persistent=False
                )

    def weights(self) -> dict[str, Tensor]:
        """Parameters by name, forbidden connections exactly zero."""
        found: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            mask = self._mask_names.get(name)
            found[name] = parameter if mask is None else parameter * getattr(self._allowed, mask)
        return found

    def initial(self, batch: int, first_interval: float = 0.0) -> Tensor:
        """Return the state before anything was seen, shape (batch, state_size)."""
        parameter = next(self.parameters())
        state = self.cell.initial_state(first_interval)
        return torch.as_tensor(state, dtype=parameter.dtype, device=parameter.device).repeat(
            batch, 1
        )

    def states(
        self,
        inputs: Tensor,
        dt: Tensor,
        state: Tensor,
        present: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """Run over sequences and return every state.

        Parameters
        ----------
        inputs : Tensor, shape (T, B, inputs)
        dt : Tensor, shape (T, B)
            Seconds before each observation.
        state : Tensor, shape (B, state_size)
            After what came before.
        present : Tensor of bool, shape (T, B), optional
            False where nothing was observed: the state flows on.
        keep : Tensor of bool, shape (T, B), optional
            False where an episode begins: the state before it is dropped.

        Returns
        -------
        Tensor, shape (T, B, state_size)
            After each observation.
        """
        rows = self._rows(inputs, dt, state, present, keep)
        return rows if isinstance(rows, Tensor) else torch.cat(rows).permute(1, 2, 0)

    def _rows(
        self,
        inputs: Tensor,
        dt: Tensor,
        state: Tensor,
        present: Tensor | None,
        keep: Tensor | None,
        whole: bool = True,
    ) -> Tensor | list[Tensor]:
        """Run over sequences: the states, or their pieces, each (size, T, B), in order.

        Not ``whole``: of pieces behind the activities, the last step may be enough.
        """
        cell, w = self.cell, self.cell.derived(OPS, self.weights())
        if self.fused:
            scan = getattr(cell, "sequence", None)
            if scan is not None:
                found: list[Tensor] = scan(w, inputs, dt, state, present, keep, whole)
                return found
            kernel = kernels.find(cell.kind, inputs, dt, state)
            rows = None if kernel is None else kernel(cell, w, inputs, dt, state, present, keep)
            if rows is not None:
                return rows
        initial = self.initial(state.shape[0])
        states = []
        for t in range(inputs.shape[0]):
            if keep is not None:
                state = torch.where(keep[t, :, None], state, initial)
            state = cell.predict(OPS, w, state, dt[t, :, None])
            updated = cell.update(OPS, w, state, inputs[t])
            if present is not None:
                updated = torch.where(present[t, :, None], updated, state)
            state = updated
            states.append(state)
        return torch.stack(states)

    def forward(
        self, inputs: Tensor, dt: Tensor, state: Tensor, present: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run over sequences, as ``states`` does.

        Returns
        -------
        activity : Tensor, shape (T, B, neurons)
            After each observation.
        state : Tensor, shape (B, state_size)
            After the last one.
        """
        rows = self._rows(inputs, dt, state, present, None, whole=False)
        if isinstance(rows, Tensor):
            return self.cell.activity(OPS, rows), rows[-1]
        # Not by way of the whole states: their gradient is several times as large.
        last = torch.cat([row[:, -1].t() for row in rows], 1)
        activity, size = [], 0
        for row in rows:
            activity.append(row)
            size += len(row)
            if size >= len(self.cell.names()):
                break
        joined = activity[0] if len(activity) == 1 else torch.cat(activity)
        return self.cell.activity(OPS, joined.permute(1, 2, 0)), last
