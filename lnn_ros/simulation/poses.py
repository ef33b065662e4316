"""Where a camera and the parts of a body are in the world: kernels that move them with a pose.

Primitives are rows of the table of :mod:`lnn_ros.simulation.rays`, whose rules for the kernels'
arithmetic and numba's cache hold here too.
"""

from __future__ import annotations

import numpy as np

from lnn_ros.simulation.rays import Reals, jit


@jit
def mounted(position: Reals, rotation: Reals, mount_position: Reals,
            mount: Reals) -> tuple[Reals, Reals]:
    """Camera position and axes (rows) in the world, of a camera mounted on a body."""
    origin = np.empty(3)
    axes = np.empty((3, 3))
    for k in range(3):
        origin[k] = position[k] + (rotation[k, 0] * mount_position[0]
                                   + rotation[k, 1] * mount_position[1]
                                   + rotation[k, 2] * mount_position[2])
        for m in range(3):
            axes[m, k] = (rotation[k, 0] * mount[m, 0] + rotation[k, 1] * mount[m, 1]
                          + rotation[k, 2] * mount[m, 2])
    return origin, axes


@jit
def place(parts: Reals, position: Reals, rotation: Reals, rows: Reals) -> None:
    """Primitives of a body at a pose: ``parts`` in its frame, ``rows`` (out) in the world."""
    for p in range(len(parts)):
        for k in range(3):
            rows[p, k] = position[k] + (rotation[k, 0] * parts[p, 0] + rotation[k, 1] * parts[p, 1]
                                        + rotation[k, 2] * parts[p, 2])
            rows[p, 3 + k] = parts[p, 3 + k]
            for m in range(3):
                rows[p, 6 + 3 * m + k] = (rotation[k, 0] * parts[p, 6 + 3 * m]
                                          + rotation[k, 1] * parts[p, 7 + 3 * m]
                                          + rotation[k, 2] * parts[p, 8 + 3 * m])
