"""Laps of the rover's policy against noise in its pictures, beside other cells taught the same way.

    python benchmark/lane.py --peer lstm=FILE [--json FILE] [--figure FILE] [--seeds A:B]

The NCP paper (Lechner et al., Nature Machine Intelligence 2, 2020) disturbs the pictures of lane
keepers, a small NCP's and an LSTM's, with normal noise of variance 0.1, 0.2 and 0.3, pixels being
numbers from 0 to 1. Here so, in closed loop: the shift ``noise`` with the root of these variances
as standard deviation, clipped to what a picture can hold; the same worlds with the same noise for
all. A lap counts when it is driven whole, without leaving the road. It is a suite as ``lnn_ros
evaluate --suite`` flies them: 1,000 worlds that follow from the policy's weights unless ``--seeds``
says others, every 20 kept in ``--json FILE``, from where the same command goes on. The curve is
drawn beside it, as SVG and PNG.

The LSTM is taught with the recipe of the policy that ships (``make policies``). It knows time as
all policies do that are not ``--timeless``: how long it has been since its last step, and how old
what it sees is, are among its inputs.

    lnn_ros train --task lane --core lstm --out runs/lane_lstm --flights 50 --look 150000
        --epochs 100 --rounds 5 --round-flights 16 --round-epochs 30 --last-epochs 120
        --whole-epochs 6
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lnn_ros import policies
from lnn_ros.errors import LnnError
from lnn_ros.learning import executors
from lnn_ros.learning.jobs import seed_range
from lnn_ros.learning.suite import POLICY, columns, fly_suite, named_peers
from lnn_ros.learning.trials import CONTROLS
from lnn_ros.simulation.conditions import NOMINAL
from lnn_ros.simulation.seeds import final_worlds

VARIANCES = (0.0, 0.1, 0.2, 0.3)
WORLDS = 1000


def row_of(variance: float) -> str:
    """Return the shift that is noise of a variance, on pixels from 0 to 1.

    Raises
    ------
    LnnError
        When it is negative.
    """
    if not 0.0 <= variance < math.inf:
        raise LnnError(f"--variances {variance:g} found, expected numbers that are not negative")
    return f"noise:{math.sqrt(variance):.6g}" if variance else NOMINAL


def curve(rows: Mapping[str, Any], variances: Sequence[float]) -> dict[str, list[Any]]:
    """Return every agent's counts by variance, None where it has none; the policy first."""
    names = dict.fromkeys(name for row in rows.values() for name in row["agents"])
    return {name: [rows.get(row_of(v), {"agents": {}})["agents"].get(name) for v in variances]
            for name in sorted(names, key=lambda name: name != POLICY)}


def table(found: Mapping[str, Sequence[Any]], variances: Sequence[float]) -> str:
    """Return the laps in Markdown, with their Wilson intervals, and what the policy has over each.

    The differences have bootstrap intervals.
    """
    others = [name for name in found if name != POLICY]
    heads = [f"{name}, % of laps" for name in found] + [f"policy minus {name}" for name in others]
    lines = [f"| variance | {' | '.join(heads)} |", f"|{' --- |' * (1 + len(heads))}"]
    for k, variance in enumerate(variances):
        cells = []
        for cell in (column[k] for column in found.values()):
            low, high = (100 * end for end in cell["interval"]) if cell else (0.0, 0.0)
            cells.append("-" if cell is None else f"{cell['arrived']}/{cell['flights']} = "
                         f"{100 * cell['rate']:.1f} ({low:.1f} to {high:.1f})")
        for cell in (found[name][k] for name in others):
            apart = cell and cell["policy_minus_this"]
            cells.append("-" if not apart else "{:+.1f} ({:+.1f} to {:+.1f})".format(
                *(100 * number for number in apart)))
        lines.append(f"| {variance:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: Mapping[str, Sequence[Any]], variances: Sequence[float], files: Sequence[Path],
         ) -> None:
    """Draw laps over variances, with their intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.6))
    for name, column in found.items():
        flown = [(v, cell) for v, cell in zip(variances, column, strict=True) if cell]
        rates = [100 * cell["rate"] for _, cell in flown]
        ends = [[100 * abs(cell["interval"][end] - cell["rate"]) for _, cell in flown]
                for end in (0, 1)]
        axes.errorbar([v for v, _ in flown], rates, yerr=ends, marker="o", capsize=3, label=name)
    axes.set_xlabel("variance of the noise, pixels from 0 to 1")
    axes.set_ylabel("laps, %, with 95 % intervals")
    axes.set_ylim(-2.0, 102.0)
    axes.legend()
    figure.tight_layout()
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)
    plt.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Drive what is not stored yet; print the table, and draw the curve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", default=str(policies.path("lane")), help="checkpoint "
                        "(default: the one that ships)")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=FILE",
                        help="another checkpoint as a column")
    parser.add_argument("--controls", nargs="*", choices=CONTROLS, default=[])
    parser.add_argument("--task", default="lane")
    parser.add_argument("--variances", type=float, nargs="+", default=list(VARIANCES))
    parser.add_argument("--seeds", type=seed_range, metavar="A:B",
                        help=f"worlds (default: the policy's own {WORLDS})")
    executors.add_arguments(parser.add_argument)
    parser.add_argument("--json", type=Path, help="keeps the laps; a rerun goes on from it")
    parser.add_argument("--figure", type=Path, help="where the curve is drawn, less its suffix "
                        "(default: as --json)")
    words = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(words)
    agents = columns(args.policy, named_peers(args.peer), args.controls)
    seeds = args.seeds or final_worlds(agents[POLICY].weights, WORLDS)
    rows = [row_of(variance) for variance in args.variances]
    result = fly_suite(rows, agents, seeds, args.task, executors.of(args), args.json,
                       " ".join(["python", "benchmark/lane.py", *words]))
    found = curve(result["rows"], args.variances)
    print(table(found, args.variances))
    figure = args.figure or args.json
    if figure:
        draw(found, args.variances, [figure.with_suffix(end) for end in (".svg", ".png")])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LnnError as error:
        sys.exit(f"lane.py: {error}")
