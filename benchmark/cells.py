# ruff: noqa: E402 - threads must be limited before numpy and torch are imported
"""The laws of time, measured for every cell here and for those of ncps 1.0.1.

    python benchmark/cells.py [--cells a,b] [--seeds N] [--trained N] [--json FILE]

Each cell has 32 neurons and 8 inputs: wired as an NCP with 4 motor neurons where it takes a
wiring, else dense. "random" are initial parameters, "trained" those after a short training
(delayed and filtered values of an irregularly sampled signal). Medians over the seeds, and the
largest. Everything runs in float64. What is measured:

split       predict(a) then predict(b) against predict(a + b), relative to max(1, |x|)
substeps    five observations of a held signal in 0.2 s against one, share of the movement
zero_flow   how far predict(0) moves a state
zero_seen   how far an observation moves it when no time has passed
rate        a held signal observed at 10, 30, 100 and 200 Hz for 2 s: largest difference from the
            state at 200 Hz, relative to max(1, |x|)
forget      time in which two states, shown the same signal, come to 1/e of their distance, at
            each rate; and (largest - smallest) / median of the four
dropped     a moving signal at 30 Hz for 4 s, of which 30 % is not seen: root mean square of the
            difference in activity, relative to how much the activity moves
batch       a batch of different dt: "equal" to one by one, "differs", or "raises"
nan         after one NaN observation in one of a batch: whether the others stay as they are, and
            whether a mask (or leaving the sample out, in ncps) is there to hide it
negative    a negative dt: "raises" or "accepted"
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy and torch read them
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.learning.jobs import provenance
from lnn_ros.liquid.cells import cell_type, kinds
from lnn_ros.liquid.ops import NUMPY
from lnn_ros.liquid.rnn import LiquidRNN
from lnn_ros.liquid.wiring import WiredLayer, Wiring, auto_ncp, dense

UNITS, INPUTS, MOTOR = 32, 8, 4
RATES = (10, 30, 100, 200)
LOOKS, LONGEST = 10, 30
"""Forgetting: looks a second, and seconds after which nobody waits any longer."""
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in kinds()},
    "flow (event)": ("flow", {"event": True}),
    "gru (dt)": ("gru", {"dt_input": True}),
    "lstm (dt)": ("lstm", {"dt_input": True}),
}
NCPS = ("ncps CfC", "ncps CfC mixed", "ncps CfC dense", "ncps LTC")
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
            wiring=_wiring(kind, inputs, seed),
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
        u, dt = _batch()
        together = self.rnn(u, dt)[0]
        alone = torch.cat([self.rnn(u[i : i + 1], dt[i : i + 1])[0] for i in range(len(u))])
        return "equal" if torch.allclose(together, alone, rtol=1e-9, atol=1e-11) else "differs"

    def nan(self) -> tuple[str, str]:
        u, dt = _batch()
        clean = self.rnn(u, dt)[0]
        u = u.clone()
        u[1, 3] = torch.nan
        kept = torch.equal(self.rnn(u, dt)[0][[0, 2]], clean[[0, 2]])
        mask = torch.ones(dt.shape, dtype=torch.bool)
        mask[1, 3] = False
        hidden = bool(torch.isfinite(self.rnn(u, dt, mask=mask)[0]).all())
        return "kept" if kept else "reached", "masked" if hidden else "no mask"

    def negative(self) -> str:
        u, dt = _batch()
        try:
            self.rnn(u, -dt)
        except LnnError:
            return "raises"
        return "accepted"


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
        u, dt = _batch()
        try:
            together = self._run(u, dt)
        except RuntimeError:
            return "raises"
        alone = torch.cat([self._run(u[i : i + 1], dt[i : i + 1]) for i in range(len(u))])
        return "equal" if torch.allclose(together, alone, rtol=1e-9, atol=1e-11) else "differs"

    def nan(self) -> tuple[str, str]:
        u, _ = _batch()
        clean = self._run(u)
        u = u.clone()
        u[1, 3] = torch.nan
        kept = torch.equal(self._run(u)[[0, 2]], clean[[0, 2]])
        return "kept" if kept else "reached", "no mask"

    def negative(self) -> str:
        u, dt = _batch()
        try:
            self._run(u[:1], -dt[:1])
        except Exception:  # whatever it says
            return "raises"
        return "accepted"


Subject = Ours | Theirs


def _wiring(kind: str, inputs: int, seed: int) -> Wiring:
    """An NCP; without loops for a cell without memory; dense for one that mixes everything."""
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


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(7)
    return torch.tensor(rng.normal(0, 1, (3, 6, INPUTS))), torch.tensor(rng.uniform(0.1, 1, (3, 6)))


# -- the laws -----------------------------------------------------------------------------------


def _relative(a: Array, b: Array) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b))))


def _held(subject: Subject, state: Array, u: Array, rate: float, seconds: float) -> Array:
    for _ in range(round(seconds * rate)):
        state = subject.observe(state, u, 1.0 / rate)
    return state


def split(subject: Subject, rng: np.random.Generator) -> float | None:
    """Two flows against one; None for a cell that holds its activity."""
    if isinstance(subject, Theirs) or not subject.cell.split:
        return None
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    worst = 0.0
    for a, b in rng.exponential(1.0, (20, 2)):
        twice = subject.flow(subject.flow(state, a), b)
        worst = max(worst, _relative(twice, subject.flow(state, a + b)))
    return worst


def substeps(subject: Subject, rng: np.random.Generator) -> float:
    """Five observations of a held signal against one, share of the movement."""
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    u = rng.normal(0, 1, INPUTS)
    before = subject.activity(state)
    once = subject.activity(subject.observe(state, u, 0.2))
    five = subject.activity(_held(subject, state, u, 25, 0.2))
    return float(np.linalg.norm(five - once) / np.linalg.norm(once - before))


def zero_flow(subject: Subject, rng: np.random.Generator) -> float | None:
    """Movement of the state where no time passes; None for ncps, which has no flow."""
    if isinstance(subject, Theirs):
        return None
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    return float(np.max(np.abs(subject.flow(state, 0.0) - state)))


def zero_seen(subject: Subject, rng: np.random.Generator) -> float:
    """Movement of the activity by an observation when no time has passed."""
    state = _held(subject, subject.start(), rng.normal(0, 1, INPUTS), 30, 1.0)
    after = subject.observe(state, rng.normal(0, 1, INPUTS), 0.0)
    return float(np.max(np.abs(subject.activity(after) - subject.activity(state))))


def rate(subject: Subject, rng: np.random.Generator) -> float:
    """Difference of states after two seconds of a held signal, seen at several rates."""
    u = rng.normal(0, 1, INPUTS)
    found = [subject.activity(_held(subject, subject.start(), u, r, 2.0)) for r in RATES]
    return max(_relative(x, found[-1]) for x in found)


def forget(subject: Subject, rng: np.random.Generator) -> list[float]:
    """Seconds at each rate; inf where it takes longer than half a minute."""
    history = rng.normal(0, 1, (2, INPUTS))
    u = rng.normal(0, 1, INPUTS)
    states = _held(subject, subject.start(2), history, 100, 2.0)
    if isinstance(subject, Ours) and subject.cell.split:
        # Both see the new signal from now on at any rate, not only at its first observation.
        states = subject.observe(states, u, 0.0)

    def distance(states: Array) -> float:
        x = subject.activity(states)
        return float(np.linalg.norm(x[0] - x[1]))

    first, times = distance(states), []
    if first == 0.0:  # nothing to forget
        return [0.0] * len(RATES)
    for r in RATES:
        now, last, found = states, 1.0, float("inf")
        # Looked at ten times a second at every rate, so that reading it off errs alike for all.
        for k in range(1, LOOKS * LONGEST):
            now = _held(subject, now, u, r, 1.0 / LOOKS)
            left = distance(now) / first
            if left <= 1.0 / np.e:
                # Exponential between two looks.
                share = (1.0 + np.log(last)) / np.log(last / max(left, 1e-300))
                found = (k - 1 + share) / LOOKS
                break
            last = left
        times.append(found)
    return times


def dropped(subject: Subject, rng: np.random.Generator) -> float:
    """Difference in activity when 30 % of the observations of a moving signal are missing."""
    steps, step = 120, 1.0 / 30
    t = step * np.arange(steps)[:, None]
    frequency, phase = rng.uniform(0.1, 0.6, INPUTS), rng.uniform(0, 6.28, INPUTS)
    signal = np.sin(2 * np.pi * frequency * t + phase)
    seen = rng.random(steps) >= 0.3
    whole = gaps = _held(subject, subject.start(), signal[0], 30, 1.0)
    found, wait = [], 0.0
    for k in range(steps):
        whole = subject.observe(whole, signal[k], step)
        wait += step
        if seen[k]:
            gaps, wait = subject.observe(gaps, signal[k], wait), 0.0
        now = subject.flow(gaps, wait) if isinstance(subject, Ours) else gaps
        found.append((subject.activity(whole), subject.activity(now)))
    a, b = (np.concatenate(x) for x in zip(*found, strict=True))
    return float(np.sqrt(np.mean((a - b) ** 2)) / np.std(a, 0).max())


# -- training -----------------------------------------------------------------------------------


def train(subject: Subject, seed: int, rounds: int = 80) -> float:
    """Learn what a signal was half a second ago, and its mean over a second; return the loss."""
    rng = np.random.default_rng((seed, 3))
    optimiser = torch.optim.Adam(subject.parameters(), 1e-2)
    losses = []
    for _ in range(rounds):
        dt = rng.exponential(0.1, 48) + 0.01
        t = np.cumsum(dt)[None, :, None]
        f, p = rng.uniform(0.1, 0.6, (16, 1, INPUTS)), rng.uniform(0, 6.28, (16, 1, INPUTS))
        u = np.sin(2 * np.pi * f * t + p)
        ago = np.sin(2 * np.pi * f * (t - 0.5) + p)[..., 0]
        mean = (np.cos(2 * np.pi * f * (t - 1) + p) - np.cos(2 * np.pi * f * t + p)) / (
            2 * np.pi * f
        )
        wanted = torch.tensor(np.stack([ago, mean[..., 1]], -1))
        optimiser.zero_grad()
        y = subject.train_step(torch.tensor(u), torch.tensor(dt)[None])
        loss = (y - wanted)[:, 10:].square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(subject.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    subject.freeze()
    return float(np.mean(losses[-10:]))


# -- the table ----------------------------------------------------------------------------------

LAWS: dict[str, Callable[[Subject, np.random.Generator], float | None]] = {
    "split": split,
    "substeps": substeps,
    "zero_flow": zero_flow,
    "zero_seen": zero_seen,
    "rate": rate,
    "dropped": dropped,
}


def _number(x: float) -> float | str:
    """As JSON has it."""
    return float(x) if np.isfinite(x) else "inf"


def _summary(values: list[float | None]) -> dict[str, float | str | None]:
    """Median and extremes; a NaN state counts as infinitely wrong."""
    if None in values:
        return {"median": None, "min": None, "max": None}
    x = np.array(values, float)
    x = np.where(np.isnan(x), np.inf, x)
    return {"median": _number(np.median(x)), "min": _number(x.min()), "max": _number(x.max())}


def measure(row: str, seeds: int, rounds: int) -> dict[str, Any]:
    """All laws of one row, over seeds; ``rounds`` of training before."""
    found: dict[str, list[Any]] = {name: [] for name in (*LAWS, "forget", "loss")}
    for seed in range(seeds):
        subject: Subject = Theirs(row, seed) if row in NCPS else Ours(row, seed)
        if rounds:
            found["loss"].append(train(subject, seed, rounds))
        for name, law in LAWS.items():
            found[name].append(law(subject, np.random.default_rng((seed, 1))))
        found["forget"].append(forget(subject, np.random.default_rng((seed, 2))))
    times = np.array(found["forget"])
    spread = [
        0.0
        if not t.any()
        else (t.max() - t.min()) / np.median(t)
        if np.isfinite(t).all()
        else np.inf
        for t in times
    ]
    result: dict[str, Any] = {name: _summary(found[name]) for name in LAWS}
    result["forget_seconds"] = {
        str(r): _number(np.median(times[:, i])) for i, r in enumerate(RATES)
    }
    result["forget_spread"] = _summary(spread)
    if rounds:
        result["loss"] = _summary(found["loss"])
    else:
        result["batch"], result["negative"] = subject.batched_dt(), subject.negative()
        result["nan"] = list(subject.nan())
    return result


def _show(row: str, name: str, result: dict[str, Any]) -> None:
    def cell(entry: dict[str, Any]) -> str:
        if entry["median"] is None:
            return f"{'-':>17s}"
        return f"{float(entry['median']):8.1e}/{float(entry['max']):8.1e}"

    columns = [cell(result[law]) for law in (*LAWS, "forget_spread")]
    times = " ".join(f"{float(t):6.3f}" for t in result["forget_seconds"].values())
    words = []
    if "nan" in result:
        words = [result["batch"], *result["nan"], result["negative"]]
    elif "loss" in result:
        words = [f"loss {float(result['loss']['median']):.3f}"]
    print(f"{row:15s} {name:8s}" + " ".join([*columns, "|", times, "|", *words]), flush=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", help="comma-separated rows; all without it")
    parser.add_argument("--seeds", type=int, default=10, help="of random parameters")
    parser.add_argument("--trained", type=int, default=3, help="seeds that are trained; 0: none")
    parser.add_argument("--rounds", type=int, default=80, help="of training")
    parser.add_argument("--json", type=Path, help="rows that it holds already, and not asked, stay")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = [*ROWS, *NCPS] if args.cells is None else args.cells.split(",")
    for row in rows:
        if row not in ROWS and row not in NCPS:
            parser.error(f"--cells: {row!r} found, expected some of {', '.join([*ROWS, *NCPS])}")
    origin = provenance(" ".join(["python", "benchmark/cells.py", *sys.argv[1:]]))
    result: dict[str, Any] = {"units": UNITS, "inputs": INPUTS, "rates_hz": list(RATES), "rows": {}}
    if args.json and args.json.exists():
        earlier = json.loads(args.json.read_text())
        if {**earlier, "rows": {}} == result:
            result = earlier
    print("median/max of " + ", ".join([*LAWS, "forget_spread"]) + " | forget at each rate, s | ")
    for row in rows:
        entry = {**origin, "seeds": args.seeds, "trained_seeds": args.trained}
        for name, seeds, rounds in (
            ("random", args.seeds, 0),
            ("trained", args.trained, args.rounds),
        ):
            if seeds:
                entry[name] = measure(row, seeds, rounds)
                _show(row, name, entry[name])
        result["rows"][row] = entry
        if args.json:  # after each row: some take minutes
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
