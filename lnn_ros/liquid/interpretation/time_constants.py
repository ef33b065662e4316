"""How quickly a network forgets, at every observation.

What a time constant is depends on the cell, and ``TimeConstants.method`` says which it is:

``rate`` (flow)
    One per neuron, exact: the flow after an observation pulls the activity to its target as
    ``exp(-r t)``, so the time constant is ``1 / r``. A turning pair has the period ``1 / |f|``,
    too. An observation itself pulls once more, by ``1 - exp(-r D)``: a network that is observed all
    the time forgets what was before twice as fast as the flow alone says.
``liquid`` (ltc)
    One per neuron, the liquid time constant ``tau / (1 + tau f)`` of Hasani et al., "Liquid
    time-constant networks", AAAI 2021 (arXiv 2006.04439), with ``tau = cm / gleak`` and ``f`` the
    sum of ``w sigmoid(sigma (v - mu)) / cm`` over the neuron's synapses: that is
    ``cm / (gleak + sum of w sigmoid(..))``, at the potentials after the observation.
``linearised`` (all other cells)
    One per mode, not per neuron: J is the Jacobian of the state after an observation by the state
    after the one before, all else held, by central differences. A mode with eigenvalue ``k`` of J
    fades as ``k^n`` over n such observations, each ``dt`` apart: its time constant is
    ``-dt / ln |k|``, infinite if it does not fade, and its period ``2 pi dt / |arg k|``. Cells that
    forget per observation, as published, owe these seconds to the rate at which they are observed.
    J includes the wiring's loops, which the other two leave out.
``none`` (transformer)
    Cells with more than ``MAX_MODES`` numbers in their state, which keep a list of what they have
    seen: nothing in it fades, it is there or it is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lnn_ros.liquid.cells.base import Cell
from lnn_ros.liquid.cells.flow import Flow
from lnn_ros.liquid.cells.ltc import CM_MIN, GLEAK_MIN, LTC
from lnn_ros.liquid.interpretation.history import Floats, History, Network, turning
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.spec import part

STEP = 1e-5
"""Of the central differences: states are of order one."""
SMALLEST = 1e-6
"""Eigenvalues below it are rounding: such a mode is forgotten at once."""

MAX_MODES = 1024
"""Largest state that is linearised."""


@dataclass(frozen=True)
class TimeConstants:
    """Time constants and periods at K observations, in seconds.

    Attributes
    ----------
    method : str
        "rate", "liquid", "linearised" or "none", as above.
    names : list of str
        Of the N neurons; of the modes "mode_00" and so on, the slowest first at each observation.
    seconds : ndarray, shape (K, N)
        Infinite where nothing is forgotten; NaN where a linearised step took no time.
    turning : list of str
        Names of the P pairs or modes that have a period.
    periods : ndarray, shape (K, P)
        Infinite where nothing turns.
    """

    method: str
    names: list[str]
    seconds: Floats
    turning: list[str]
    periods: Floats


def of_history(network: Network, history: History) -> TimeConstants:
    """Time constants of a policy's core over recorded intervals."""
    inputs = network.spec.inputs(NUMPY, history.features, history.summaries)
    w = part(network.w, "core")
    dt = network.spec.elapsed(history.dt)
    return time_constants(history.cell, w, history.before, history.after, inputs, dt)


def time_constants(
    cell: Cell,
    w: Mapping[str, Floats],
    before: Floats,
    after: Floats,
    inputs: Floats,
    dt: Floats,
) -> TimeConstants:
    """Time constants of a cell over K observations.

    Parameters
    ----------
    cell : Cell
    w : mapping of str to ndarray of float64
        Named as ``cell.parameters()``, forbidden weights zero.
    before, after : ndarray, shape (K, state_size)
        States after the observation before, and after this one.
    inputs : ndarray, shape (K, inputs)
        What was observed.
    dt : ndarray, shape (K,)
        Seconds before each observation.
    """
    if type(cell) is Flow:
        names = cell.names()
        with np.errstate(divide="ignore"):
            periods = 1.0 / np.abs(after[:, cell.where("frequency")])
        return TimeConstants(
            "rate",
            names,
            1.0 / after[:, cell.where("rate")],
            [f"{names[a]}+{names[b]}" for a, b in turning(cell)],
            periods,
        )
    if isinstance(cell, LTC):
        potential = after[:, cell.where("potential")]
        seconds = _liquid(cell, w, potential, inputs)
        return TimeConstants("liquid", cell.names(), seconds, [], np.zeros((len(after), 0)))
    if cell.state_size > MAX_MODES:
        nothing = np.zeros((len(after), 0))
        return TimeConstants("none", [], nothing, [], nothing)
    return _linearised(cell, w, before, inputs, dt)


def _liquid(cell: LTC, w: Mapping[str, Floats], potential: Floats, inputs: Floats) -> Floats:
    """Liquid time constants (K, units)."""
    capacity, leak = w["cm"], w["gleak"]
    if cell.constrained:
        capacity, leak = NUMPY.softplus(capacity), NUMPY.softplus(leak)
    if not cell.compat:
        capacity, leak = capacity + CM_MIN, leak + GLEAK_MIN
    scaled = inputs * w["sensory.scale"] + w["sensory.shift"]
    total, start, previous = [], 0, np.zeros((len(inputs), 0))
    for i, layer in enumerate(cell.layers):
        own = potential[:, start : start + layer.units]
        sums = np.broadcast_to(leak[start : start + layer.units], own.shape)
        if i == 0:
            sums = sums + _conductance(cell, w, "sensory", scaled)
        heard = np.concatenate([previous, own], 1) if layer.recurrent else previous
        if heard.shape[1]:
            sums = sums + _conductance(cell, w, layer.name, heard)
        total.append(sums)
        previous, start = own, start + layer.units
    return np.asarray(capacity / np.concatenate(total, 1))


def _conductance(cell: LTC, w: Mapping[str, Floats], block: str, sources: Floats) -> Floats:
    """Sum of the open synapses' conductances (K, targets); sources (K, n)."""
    weight, sigma, mu = (w[f"{block}.{name}"] for name in ("w", "sigma", "mu"))
    if cell.constrained:
        weight = weight * weight
    return np.asarray((weight * NUMPY.sigmoid(sigma * (sources[:, :, None] - mu))).sum(1))


def _linearised(
    cell: Cell, w: Mapping[str, Floats], before: Floats, inputs: Floats, dt: Floats
) -> TimeConstants:
    modes = cell.state_size - 1
    sizes, angles = np.empty((2, len(before), modes))
    for k in range(len(before)):
        values = np.linalg.eigvals(jacobian(cell, w, before[k], inputs[k], float(dt[k])))
        values = values[np.argsort(-np.abs(values), kind="stable")]
        sizes[k], angles[k] = np.abs(values), np.abs(np.angle(values))
    forgotten = sizes < SMALLEST
    with np.errstate(divide="ignore", invalid="ignore"):
        seconds = np.where(sizes < 1.0 - SMALLEST, -dt[:, None] / np.log(sizes), np.inf)
        periods = np.where(angles > SMALLEST, 2.0 * np.pi * dt[:, None] / angles, np.inf)
    seconds[forgotten], periods[forgotten] = 0.0, np.inf
    seconds[dt == 0.0] = periods[dt == 0.0] = np.nan
    names = [f"mode_{i:02d}" for i in range(modes)]
    return TimeConstants("linearised", names, seconds, list(names), periods)


def jacobian(
    cell: Cell, w: Mapping[str, Floats], state: Floats, inputs: Floats, dt: float
) -> NDArray[np.float64]:
    """Slopes of the state after a step by the state before it.

    Parameters
    ----------
    cell, w
        As for ``time_constants``.
    state : ndarray, shape (state_size,)
    inputs : ndarray, shape (inputs,)
    dt : float
        Seconds between the two.

    Returns
    -------
    ndarray, shape (state_size - 1, state_size - 1)
        (after, before), the elapsed time left out.
    """
    size = cell.state_size - 1
    moves = np.zeros((2 * size, cell.state_size))
    moves[:size, :size] = np.eye(size) * STEP
    moves[size:, :size] = -moves[:size, :size]
    states = cell.predict(NUMPY, w, state + moves, np.full((2 * size, 1), dt))
    states = cell.update(NUMPY, w, states, np.broadcast_to(inputs, (2 * size, len(inputs))))
    slopes: Floats = (states[:size, :size] - states[size:, :size]).T / (2.0 * STEP)
    return slopes
