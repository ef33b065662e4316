"""``LiquidRNN``: a liquid network over sequences at irregular times, as a torch module."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from lnn_ros.errors import LnnError
from lnn_ros.liquid.cells import Cell, cell_type
from lnn_ros.liquid.cells.base import MAX_UNITS, integer, number
from lnn_ros.liquid.torch_cell import OPS, CellModule
from lnn_ros.liquid.wiring import Wiring, dense, pairs_of

FIRST_INTERVAL = 1.0
"""Seconds that the very first observation speaks for, besides the time before it, by default."""


class LiquidRNN(nn.Module):
    """A recurrent network whose state is a function of the true elapsed time.

    The very first observation of a sequence speaks for ``first_interval + dt`` seconds, ``dt``
    being the time before it: 1 s more than it is given, unless ``first_interval`` says otherwise.
    So a network that is told of no time before its first observation still hears it.

    Parameters
    ----------
    input_size : int
        Features of an observation, F.
    output_size : int
        Outputs O: a linear read-out of the last layer of the wiring.
    cell : str
        A name of ``lnn_ros.liquid.cells.kinds()``.
    units : int, optional
        Number of neurons of a dense network; or
    wiring : Wiring, optional
        The network's wiring; its inputs are F, or 3 F with ``presence``.
    presence : bool
        Show the cell, besides each feature, whether it is there and how long ago it last was
        (log(1 + seconds)): what sequences with missing features need.
    first_interval : float
        Seconds that the first observation speaks for besides the time before it, 0 to 10; also
        the features' first age. A network's file says it, and so do its exports.
    seed : int
        Of the initial parameters.
    dtype : torch.dtype
        float32 or float64.
    **options
        Fields of the cell, such as ``frequency_max`` of "flow".

    Raises
    ------
    LnnError
        When the cell or an option is unknown, or not exactly one of units and wiring is given.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        cell: str = "flow",
        units: int | None = None,
        wiring: Wiring | None = None,
        *,
        presence: bool = False,
        first_interval: float = FIRST_INTERVAL,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        **options: Any,
    ) -> None:
        super().__init__()
        integer("LiquidRNN: input_size", input_size, 1, MAX_UNITS)
        integer("LiquidRNN: output_size", output_size, 1, MAX_UNITS)
        number("LiquidRNN: first_interval", first_interval, 0.0, 10.0)
        self.first_interval = first_interval
        inputs = input_size * (3 if presence else 1)
        if (units is None) == (wiring is None):
            raise LnnError("LiquidRNN: give either units or a wiring, exactly one of them")
        if wiring is None:
            assert units is not None
            wiring = dense(inputs, units)
        if not isinstance(wiring, Wiring):
            raise LnnError(
                f"LiquidRNN: wiring is of type {type(wiring).__name__}, expected a Wiring, such as "
                f"lnn_ros.liquid.wiring.auto_ncp({inputs}, units, outputs) draws"
            )
        if wiring.inputs != inputs:
            raise LnnError(
                f"LiquidRNN: the wiring has {wiring.inputs} inputs, expected {inputs} "
                f"({input_size} features{', their presence and age' if presence else ''})"
            )
        self.input_size, self.output_size, self.presence = input_size, output_size, presence
        built = cell_type(cell).wired(inputs, wiring, wiring.layers[-1].units, **options)
        if "rotating" not in options:
            _say_if_nothing_turns(built, wiring)
        self.core = CellModule(built, wiring, seed, dtype)
        # Not initialised by torch, which would draw from the global generator.
        self.readout = nn.utils.skip_init(nn.Linear, built.read, output_size, dtype=dtype)
        generator = torch.Generator().manual_seed(seed)
        bound = built.read**-0.5
        with torch.no_grad():
            self.readout.weight.uniform_(-bound, bound, generator=generator)
            self.readout.bias.zero_()
        self._said = False

    @property
    def state_size(self) -> int:
        """Numbers in the state: the cell's, then the ages of the features with ``presence``."""
        return self.core.cell.state_size + (self.input_size if self.presence else 0)

    def initial(self, batch: int) -> Tensor:
        """Return the state before anything was seen, shape (batch, state_size)."""
        state = self.core.initial(batch, self.first_interval)
        if not self.presence:
            return state
        ages = state.new_full((batch, self.input_size), self.first_interval)
        return torch.cat([state, ages], -1)

    def forward(
        self,
        x: Tensor,
        dt: Tensor | None = None,
        state: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run over a batch of sequences; the same numbers as running step by step.

        Parameters
        ----------
        x : Tensor, shape (B, T, F)
            Observations; what a mask hides may be anything, NaN too.
        dt : Tensor, shape (B, T), optional
            Seconds before each observation, finite, zero or more. None: 1 s each, said once.
            Before the first one, ``first_interval`` more.
        state : Tensor, shape (B, state_size), optional
            As returned by the call before; None: nothing seen yet.
        mask : Tensor of bool, shape (B, T) or (B, T, F), optional
            False where nothing was observed (the state flows on, the output is read then), or
            where a feature is missing (needs ``presence``).

        Returns
        -------
        y : Tensor, shape (B, T, O)
        state : Tensor, shape (B, state_size)

        Raises
        ------
        LnnError
            When a shape is wrong, or a time is negative or not finite.
        """
        _tensors(x=x, dt=dt, state=state, mask=mask)
        if x.ndim != 3 or x.shape[-1] != self.input_size or 0 in x.shape:
            raise LnnError(
                f"LiquidRNN: x has shape {tuple(x.shape)}, expected (B, T, {self.input_size}), "
                "at least one sequence of at least one step"
            )
        batch, steps = x.shape[:2]
        if dt is None:
            if not self._said:
                warnings.warn("LiquidRNN: no dt given, taking 1 s a step", stacklevel=2)
                self._said = True
            dt = x.new_ones(batch, steps)
        if dt.shape != (batch, steps):
            raise LnnError(f"LiquidRNN: dt has shape {tuple(dt.shape)}, expected {(batch, steps)}")
        if not bool((torch.isfinite(dt) & (dt >= 0)).all()):
            raise LnnError("LiquidRNN: a negative or non-finite dt found, expected seconds >= 0")
        if state is None:
            state = self.initial(batch)
        if state.shape != (batch, self.state_size):
            raise LnnError(
                f"LiquidRNN: state has shape {tuple(state.shape)}, expected "
                f"{(batch, self.state_size)}"
            )
        for name, given in (("x", x), ("state", state)):
            if given.dtype != self.readout.weight.dtype:
                raise LnnError(
                    f"LiquidRNN: {name} is {given.dtype}, expected {self.readout.weight.dtype}, "
                    f"the type of the parameters: hand in {name}.to({self.readout.weight.dtype})"
                )
        dt = dt.to(x.dtype)
        observed, features = self._presence(x, mask)
        core_state, ages = state[:, : self.core.cell.state_size], None
        if features is None:
            inputs = x if observed is None else torch.where(observed[..., None], x, 0.0)
        else:
            inputs, ages = self._shown(x, dt, features, state[:, self.core.cell.state_size :])
        activity, core_state = self.core(
            inputs.transpose(0, 1),
            dt.transpose(0, 1),
            core_state,
            None if observed is None else observed.transpose(0, 1),
        )
        y = self.readout(activity[..., -self.core.cell.read :]).transpose(0, 1)
        return y, core_state if ages is None else torch.cat([core_state, ages], -1)

    def _presence(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Which steps (B, T) and features (B, T, F) are there; None: all."""
        if mask is not None and (
            mask.dtype != torch.bool or mask.shape not in (x.shape[:2], x.shape)
        ):
            raise LnnError(
                f"LiquidRNN: mask is {mask.dtype} {tuple(mask.shape)}, expected bool "
                f"{tuple(x.shape[:2])} or {tuple(x.shape)}"
            )
        if not self.presence:
            if mask is not None and mask.ndim == 3:
                raise LnnError(
                    "LiquidRNN: a mask of single features found, expected presence=True: "
                    "a missing feature is never silently filled"
                )
            return mask, None
        if mask is None:
            return None, torch.ones_like(x, dtype=torch.bool)
        if mask.ndim == 2:
            return mask, mask[..., None].expand_as(x)
        return mask.any(-1), mask

    @staticmethod
    def _shown(x: Tensor, dt: Tensor, there: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """Values (zero where missing), presence and log age, (B, T, 3 F); and the last ages."""
        seen = []
        for t in range(x.shape[1]):
            ages = ages + dt[:, t, None]
            seen.append(ages)
            ages = torch.where(there[:, t], 0.0, ages)
        log_age = torch.log1p(torch.stack(seen, 1))
        return torch.cat([torch.where(there, x, 0.0), there.to(x.dtype), log_age], -1), ages

    def read(self, state: Tensor, dt: Tensor | float = 0.0) -> Tensor:
        """Outputs (B, O) ``dt`` seconds (a number or (B,)) after ``state``; changes nothing."""
        _tensors(state=state)
        elapsed = torch.as_tensor(dt, dtype=state.dtype, device=state.device)
        if not bool((torch.isfinite(elapsed) & (elapsed >= 0)).all()):
            raise LnnError("LiquidRNN: a negative or non-finite dt found, expected seconds >= 0")
        if elapsed.shape not in ((), (len(state),)):
            raise LnnError(
                f"LiquidRNN: dt has shape {tuple(elapsed.shape)}, expected a number or "
                f"{(len(state),)}"
            )
        cell = self.core.cell
        core = state[:, : cell.state_size]
        core = cell.predict(OPS, self.core.weights(), core, elapsed.expand(len(state))[:, None])
        return self.readout(cell.activity(OPS, core)[..., -cell.read :])

    def inspect(self, state: Tensor) -> dict[str, Tensor]:
        """Pieces of a state by name, such as "x", "target", "rate" (1/s), "elapsed" (s)."""
        cell = self.core.cell
        parts = {name: state[..., cell.where(name)] for name in cell.parts()}
        if self.presence:
            parts["age"] = state[..., cell.state_size :]
        return parts


def _tensors(**given: object) -> None:
    """Refuse arrays, lists and numbers where a tensor belongs."""
    for name, value in given.items():
        if value is not None and not isinstance(value, Tensor):
            raise LnnError(
                f"LiquidRNN: {name} is of type {type(value).__name__}, expected a torch tensor: "
                f"hand in torch.as_tensor({name})"
            )


def _say_if_nothing_turns(cell: Cell, wiring: Wiring) -> None:
    """Warn of a flow cell none of whose neurons turn though its wiring has room for pairs."""
    could = any(layer.loop is not None and pairs_of(layer.units) for layer in wiring.layers)
    if could and not any(getattr(cell, "pairs", (1,))):
        warnings.warn(
            f"LiquidRNN: no two neurons of this wiring form a pair, so none of the {cell.kind} "
            "cell turns, and it cannot count: draw it with paired=True (or say rotating=())",
            stacklevel=3,
        )
