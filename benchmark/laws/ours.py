"""The cells of this package, as the laws want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

UNITS, INPUTS, MOTOR = 32, 8, 4
DENSE = 64
"""Neurons of the row whose wiring is dense, half of them in turning pairs."""
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in kinds()},
    "flow": ("flow", {"rotating": ()}),
    "flow (pairs)": ("flow", {}),
    "flow (dense)": ("flow", {}),
    # As in the policies of a flight: frames and inertial data are faster than what is remembered.
    "flow (flying)": ("flow", {"rate_min": 0.03, "rate_max": 60.0, "frequency_max": 10.0}),
    "flow (event)": ("flow", {"event": True}),
    "gru (dt)": ("gru", {"dt_input": True}),
    "lstm (dt)": ("lstm", {"dt_input": True}),
}
Array = NDArray[np.float64]


class Ours:
    """A cell of this package, one state a row."""

    def __init__(self, row: str, seed: int) -> None:
        kind, options = ROWS[row]
        self.presence = kind == "gru_d"
        inputs = INPUTS * (3 if self.presence else 1)
        self.rnn = LiquidRNN(
            INPUTS,
            2,
            kind,
            wiring=_wiring(row, inputs, seed),
            presence=self.presence,
            seed=seed,
            dtype=torch.float64,
            **options,
        )
        self.cell = self.rnn.core.cell
        self.freeze()

    def freeze(self) -> None:
        """Take over the parameters of the module, after a training."""
        self.w = {n: v.detach().numpy() for n, v in self.rnn.core.weights().items()}

    def start(self, rows: int = 1) -> Array:
        return np.tile(self.cell.initial_state(), (rows, 1))

    def flow(self, state: Array, dt: float) -> Array:
        return np.asarray(self.cell.predict(NUMPY, self.w, state, np.full((len(state), 1), dt)))

    def observe(self, state: Array, u: Array, dt: float) -> Array:
        state, u = self.flow(state, dt), np.broadcast_to(u, (len(state), INPUTS))
        if self.presence:
            u = np.concatenate([u, np.ones_like(u), np.log1p(state[:, -1:] + 0 * u)], 1)
        return np.asarray(self.cell.update(NUMPY, self.w, state, u))

    def activity(self, state: Array) -> Array:
        return np.asarray(self.cell.activity(NUMPY, state))

    def train_step(self, u: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        return self.rnn(u, dt.expand(len(u), -1))[0]

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self.rnn.parameters())

    def batched_dt(self) -> str:
        u, dt = batch()
        together = self.rnn(u, dt)[0]
        alone = torch.cat([self.rnn(u[i : i + 1], dt[i : i + 1])[0] for i in range(len(u))])
        return "equal" if torch.allclose(together, alone, rtol=1e-9, atol=1e-11) else "differs"

    def nan(self) -> tuple[str, str]:
        u, dt = batch()
        clean = self.rnn(u, dt)[0]
        u = u.clone()
        u[1, 3] = torch.nan
        kept = torch.equal(self.rnn(u, dt)[0][[0, 2]], clean[[0, 2]])
        mask = torch.ones(dt.shape, dtype=torch.bool)
        mask[1, 3] = False
        hidden = bool(torch.isfinite(self.rnn(u, dt, mask=mask)[0]).all())
        return "kept" if kept else "reached", "masked" if hidden else "no mask"

    def negative(self) -> str:
        u, dt = batch()
        try:
            self.rnn(u, -dt)
        except LnnError:
            return "raises"
        return "accepted"


def _wiring(row: str, inputs: int, seed: int) -> Wiring:
    """An NCP; without loops for a cell without memory; dense for one that mixes everything."""
    kind = ROWS[row][0]
    if row == "flow (dense)":
        return dense(inputs, DENSE)
    if row in ("flow (pairs)", "flow (flying)"):
        return auto_ncp(inputs, UNITS, MOTOR, seed=seed, paired=True)
    wiring = auto_ncp(inputs, UNITS, MOTOR, seed=seed)
    try:
        cell_type(kind).wired(inputs, wiring, MOTOR)
    except LnnError:
        wiring = dense(inputs, UNITS)
        try:
            cell_type(kind).wired(inputs, wiring, UNITS)
        except LnnError:
            wiring = Wiring((WiredLayer("hidden", np.ones((inputs, UNITS), np.int8)),))
    return wiring


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three sequences of inputs, each with its own dt."""
    rng = np.random.default_rng(7)
    return torch.tensor(rng.normal(0, 1, (3, 6, INPUTS))), torch.tensor(rng.uniform(0.1, 1, (3, 6)))
