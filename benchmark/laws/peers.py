"""The networks of ncps 1.0.1, as the laws want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from laws.ours import INPUTS, MOTOR, UNITS, Array, Ours, batch

NCPS = ("ncps CfC", "ncps CfC mixed", "ncps CfC dense", "ncps LTC")


class Theirs:
    """A network of ncps, its output layer left out: the state is all of it."""

    def __init__(self, row: str, seed: int) -> None:
        from ncps.torch import LTC, CfC
        from ncps.wirings import AutoNCP

        torch.manual_seed(seed)
        wiring = UNITS if row == "ncps CfC dense" else AutoNCP(UNITS, MOTOR, seed=seed)
        mixed = row == "ncps CfC mixed"
        kind = LTC if row == "ncps LTC" else CfC
        self.net = kind(INPUTS, wiring, mixed_memory=mixed).double()
        self.mixed = mixed
        self.readout = torch.nn.Linear(UNITS, 2, dtype=torch.float64)

    def freeze(self) -> None:
        """Nothing to do: the module itself is run."""

    def start(self, rows: int = 1) -> Array:
        return np.zeros((rows, UNITS * (2 if self.mixed else 1)))

    def _step(self, state: torch.Tensor, u: torch.Tensor, dt: Any) -> torch.Tensor:
        if self.mixed:
            h, c = self.net.lstm(u, (state[:, :UNITS], state[:, UNITS:]))
            _, h = self.net.rnn_cell(u, h, dt)
            return torch.cat([h, c], 1)
        return self.net.rnn_cell(u, state, dt)[1]

    @torch.no_grad()
    def observe(self, state: Array, u: Array, dt: float) -> Array:
        u = np.broadcast_to(u, (len(state), INPUTS)).copy()
        return self._step(torch.from_numpy(state), torch.from_numpy(u), dt).numpy()

    def activity(self, state: Array) -> Array:
        return state[:, :UNITS]

    def train_step(self, u: torch.Tensor, dt: torch.Tensor) -> torch.Tensor:
        state, out = torch.from_numpy(self.start(len(u))), []
        for t in range(u.shape[1]):
            state = self._step(state, u[:, t], float(dt[0, t]))
            out.append(self.readout(state[:, :UNITS]))
        return torch.stack(out, 1)

    def _run(self, u: torch.Tensor, dt: torch.Tensor | None = None) -> torch.Tensor:
        """Sequences by its own forward; its own first state would be float32."""
        h = torch.zeros(len(u), UNITS, dtype=u.dtype)
        return self.net(u, (h, h) if self.mixed else h, timespans=dt)[0]

    def parameters(self) -> list[torch.nn.Parameter]:
        return [p for p in [*self.net.parameters(), *self.readout.parameters()] if p.requires_grad]

    def batched_dt(self) -> str:
        u, dt = batch()
        try:
            together = self._run(u, dt)
        except RuntimeError:
            return "raises"
        alone = torch.cat([self._run(u[i : i + 1], dt[i : i + 1]) for i in range(len(u))])
        return "equal" if torch.allclose(together, alone, rtol=1e-9, atol=1e-11) else "differs"

    def nan(self) -> tuple[str, str]:
        u, _ = batch()
        clean = self._run(u)
        u = u.clone()
        u[1, 3] = torch.nan
        kept = torch.equal(self._run(u)[[0, 2]], clean[[0, 2]])
        return "kept" if kept else "reached", "no mask"

    def negative(self) -> str:
        u, dt = batch()
        try:
            self._run(u[:1], -dt[:1])
        except Exception:  # whatever it says
            return "raises"
        return "accepted"


Subject = Ours | Theirs
