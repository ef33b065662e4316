#!/usr/bin/env python3
"""Draw what each shift of what is seen makes of one picture, for docs/reference/shifts.md.

    python scripts/shifts.py [--out docs/images/shifts.png] [--seed N]

Each family at the two strengths of ``SHOWN``, beside the picture without a shift.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  (after its backend is chosen)

from lnn_ros.simulation.camera import CameraGeometry, Renderer  # noqa: E402
from lnn_ros.simulation.forest import make_world  # noqa: E402
from lnn_ros.simulation.sensors import START_NS  # noqa: E402
from lnn_ros.simulation.shifts import KINDS, Shift  # noqa: E402
from lnn_ros.simulation.task import Task  # noqa: E402

SEED = 300_012
"""A demo seed: in no training or evaluation set."""
SHOWN = {
    "noise": (0.1, 0.3), "blur": (1, 4), "dusk": (0.5, 0.78), "flicker": (0.2, 0.5),
    "glare": (0.4, 0.8), "autumn": (0.5, 1), "winter": (0.5, 1), "fog": (0.1, 0.3),
    "dirt": (0.15, 0.4), "tilt": (10, 25), "field_of_view": (60, 130),
}
"""Strengths by family: of every one that changes what is seen."""
COLUMNS = 4


def pictures(seed: int) -> dict[str, np.ndarray]:
    """Return what the camera sees from the start, by what is shifted."""
    task = Task.load("fly_to_target")
    world = make_world(seed, task)
    x, y = (a - b for a, b in zip(world.target.position[:2], world.start[:2], strict=True))
    c, s = math.cos(math.atan2(y, x)), math.sin(math.atan2(y, x))
    pose = np.array(world.start), np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    usual = CameraGeometry(task.camera.width, task.camera.height,
                           math.radians(task.camera.field_of_view))
    found = {"nominal": Renderer(world, usual).render(*pose)}
    for kind, strengths in SHOWN.items():
        for strength in strengths:
            shift = Shift(kind, strength)
            seen = Renderer(shift.world(world), shift.geometry(usual)).render(*pose)
            found[str(shift)] = shift.frame(seen, seed, START_NS)
    return found


def main() -> int:
    """Draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/shifts.png")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    missing = {name for name, kind in KINDS.items() if kind.task is None} ^ set(SHOWN)
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
