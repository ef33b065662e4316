#!/usr/bin/env python3
"""Draw what each shift of what is seen makes of one picture, for docs/reference/shifts.md.

    python scripts/shifts.py [--out docs/images/shifts.png] [--seed N]

Each family at the two strengths of ``SHOWN``, beside the picture without a shift.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (after its backend is chosen)

from lnn_ros.simulation.conditions import NOMINAL, shifted  # noqa: E402
from lnn_ros.simulation.physics import STEP_NS  # noqa: E402
from lnn_ros.simulation.shifts import KINDS, Shift  # noqa: E402
from lnn_ros.simulation.simulator import Simulator  # noqa: E402
from lnn_ros.simulation.task import Task  # noqa: E402
from lnn_ros.simulation.worlds import make_world  # noqa: E402

SEED = 300_012
"""A demo seed: in no training or evaluation set."""
SHOWN = {
    "noise": (0.1, 0.3), "blur": (1, 4), "dusk": (0.5, 0.78), "flicker": (0.2, 0.5),
    "glare": (0.4, 0.8), "autumn": (0.5, 1), "winter": (0.5, 1), "fog": (0.1, 0.3),
    "dirt": (0.15, 0.4), "tilt": (10, 25), "field_of_view": (60, 130),
    "distractors": (15, 40), "clutter": (1.5, 2.5), "stones": (0.5, 1), "range": (1.5, 2),
    "behind": (180,), "renderer": (1,),
}
"""Strengths by family: of every one that changes what is seen."""
COLUMNS = 4


def pictures(seed: int) -> dict[str, np.ndarray]:
    """Return what the camera sees at the start, facing the target, by what is shifted."""
    task = Task.load("fly_to_target")
    names = [f"{kind}:{strength:g}" for kind, strengths in SHOWN.items() for strength in strengths]
    found = {}
    for name in (NOMINAL, *names):
        options = shifted(name, task=task)
        world = make_world(seed, task, options.shifts)
        if not name.startswith("behind"):
            x, y = world.target.position[:2]
            world = replace(world, start_yaw=math.atan2(y, x))
        sim, seen = Simulator(world, options, task=task), []
        while not seen:
            seen = [s.value for s in sim.advance(sim.time_ns + STEP_NS) if s.stream == "camera"]
        found[name] = seen[0]
    return found


def main() -> int:
    """Draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/shifts.png")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    seen = {name for name, kind in KINDS.items() if not Shift(name, kind.low).disturbs}
    missing = seen ^ set(SHOWN)
    if missing:
        sys.stderr.write(f"lnn_ros: SHOWN and the families of what is seen differ by "
                         f"{', '.join(sorted(missing))}: expected the same\n")
        return 1
    shown = pictures(args.seed)
    rows = math.ceil((len(shown) + 1) / COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(2.4 * COLUMNS, 2.05 * rows))
    for ax in axes.flat:
        ax.axis("off")
    # A place is left beside the nominal one, so that both strengths of a family are in one row.
    places = [axes.flat[0], *axes.flat[2:]]
    for ax, (name, picture) in zip(places, shown.items(), strict=False):
        ax.imshow(picture, interpolation="nearest")
        ax.set_title(name, fontsize=9)
    figure.tight_layout(pad=0.4)
    figure.savefig(args.out, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
