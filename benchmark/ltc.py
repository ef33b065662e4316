"""How far solutions of the LTC's ODE are from the exact one: this package's and that of ncps.

    python benchmark/ltc.py [--networks N] [--json FILE]

Random networks with parameters as they start (wirings of 8 to 32 neurons, dense and NCP), random
states and a random observation that is held. scipy's LSODA (relative tolerance 1e-8) is taken for
exact. Reported is the largest difference over a network's neurons after each time: the median over
networks, the value that 99 of 100 stay below, and the worst; then how often a solver evaluates the
synapses. Potentials are of the order of 1. "strong" networks have three times the conductances.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # before numpy reads them
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from scipy.integrate import solve_ivp  # noqa: E402

from lnn_ros.learning.jobs import provenance  # noqa: E402
from lnn_ros.liquid.cells.base import Cell  # noqa: E402
from lnn_ros.liquid.cells.ltc import CM_MIN, GLEAK_MIN, LTC  # noqa: E402
from lnn_ros.liquid.ops import NUMPY  # noqa: E402
from lnn_ros.liquid.wiring import Wiring, auto_ncp, dense  # noqa: E402

TIMES = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
STRENGTHS = {"as drawn": 1.0, "strong": 3.0}
EVALUATIONS = 3
"""Of the synapses, in one of our steps; ncps makes one in each of its 6 unfolds."""


def softplus(x: np.ndarray) -> np.ndarray:
    """``log(1 + exp(x))``."""
    return np.logaddexp(x, 0.0)


def network(seed: int, strength: float) -> tuple[Wiring, Cell, dict[str, np.ndarray]]:
    """Draw a wiring, and our cell on it with its parameters."""
    rng = np.random.default_rng(seed)
    inputs, units = int(rng.integers(1, 17)), int(rng.integers(8, 33))
    wiring = dense(inputs, units) if seed % 2 else auto_ncp(inputs, units, 4, seed=seed)
    cell = LTC.wired(inputs, wiring, wiring.layers[-1].units)
    w = cell.initialise(rng, wiring.masks())
    for name in w:
        if name.endswith(".w"):  # stored as its root
            w[name] = w[name] * np.sqrt(strength)
    return wiring, cell, w


def as_ncps(w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same conductances and capacities where ncps has no least value for them."""

    def raw(y: np.ndarray) -> np.ndarray:
        return np.log(np.expm1(y))

    return {
        **w,
        "cm": raw(softplus(w["cm"]) + CM_MIN),
        "gleak": raw(softplus(w["gleak"]) + GLEAK_MIN),
    }


def exact(wiring: Wiring, w: dict[str, np.ndarray], v: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Potentials (times, neurons) by scipy, from the equation as it is written in the papers."""
    cm, gleak = softplus(w["cm"]) + CM_MIN, softplus(w["gleak"]) + GLEAK_MIN
    bounds = [slice(a, b) for a, b in pairwise(np.cumsum([0, *wiring.sizes]))]

    def current(block: str, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        strength, sigma, mu, erev = (w[f"{block}.{n}"] for n in ("w", "sigma", "mu", "erev"))
        open_ = strength**2 / (1.0 + np.exp(-sigma * (before[:, None] - mu)))
        return (open_ * (erev - after)).sum(0)

    def slope(_: float, v: np.ndarray) -> np.ndarray:
        total = gleak * (w["vleak"] - v)
        total[bounds[0]] += current("sensory", u, v[bounds[0]])
        for i, (layer, here) in enumerate(zip(wiring.layers, bounds, strict=True)):
            heard = [v[bounds[i - 1]]] if i else []
            heard += [v[here]] if layer.loop is not None else []
            if heard:
                total[here] += current(layer.name, np.concatenate(heard), v[here])
        return total / cm

    return solve_ivp(slope, (0, TIMES[-1]), v, "LSODA", TIMES, rtol=1e-8, atol=1e-10).y.T


def errors(networks: int, strength: float) -> dict[str, np.ndarray]:
    """Largest difference over neurons, (networks, times), by solver."""
    found: dict[str, list[np.ndarray]] = {"lnn_ros": [], "ncps": []}
    for seed in range(networks):
        wiring, cell, w = network(seed, strength)
        rng = np.random.default_rng([seed, 1])
        v, u = rng.uniform(-1, 1, wiring.units), rng.normal(size=wiring.inputs)
        reference = exact(wiring, w, v, u)
        state = np.tile(np.concatenate([v, v, [0.0]]), (len(TIMES), 1))
        state[:, -1] = TIMES
        theirs = LTC.wired(wiring.inputs, wiring, cell.read, compat="ncps")
        for name, solver, weights in (("lnn_ros", cell, w), ("ncps", theirs, as_ncps(w))):
            after = solver.update(NUMPY, weights, state, np.tile(u, (len(TIMES), 1)))
            found[name].append(np.abs(after[:, cell.where("potential")] - reference).max(1))
    return {name: np.array(rows) for name, rows in found.items()}


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", type=int, default=300)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    grid = np.array(LTC.wired(1, dense(1, 1), 1).grid())
    evaluations = {
        "lnn_ros": [EVALUATIONS * int((grid[:-1] < t).sum()) for t in TIMES],
        "ncps": [6] * len(TIMES),
    }
    results: dict[str, Any] = {}
    for kind, strength in STRENGTHS.items():
        print(f"{args.networks} networks, {kind}; after s: {', '.join(map(str, TIMES))}")
        for solver, rows in errors(args.networks, strength).items():
            table = {
                "median": np.median(rows, 0).tolist(),
                "99 of 100": np.quantile(rows, 0.99, axis=0).tolist(),
                "worst": rows.max(0).tolist(),
            }
            results[f"{solver}, {kind}"] = table
            for name, numbers in table.items():
                print(f"  {solver:8} {name:10}", " ".join(f"{n:8.1e}" for n in numbers))
    for solver, counts in evaluations.items():
        print(f"  {solver:8} evaluations", " ".join(f"{n:7}" for n in counts))
    if args.json:
        report = {
            "provenance": provenance(f"python benchmark/ltc.py --networks {args.networks}"),
            "times_s": TIMES,
            "errors": results,
            "evaluations": evaluations,
        }
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
