"""What must stand before numpy or DDS is loaded. A node's module imports this first.

Importing it keeps BLAS on one thread: the networks are so small that more threads only cost time
and memory, and a control loop must not wait for a pool. Values that the user has set stay.
"""

from __future__ import annotations

import os

from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions
from lnn_ros.resources import share_path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def use_dds_profile(name: str) -> None:
    """Give Fast DDS the package's settings, unless the user gave it some.

    With its defaults a reliable writer learns only every 3 s (its heartbeat period) what has
    arrived: waiting for the last zero command to be acknowledged, or repeating a lost message,
    would take that long. Other middlewares ignore the variables.

    Parameters
    ----------
    name : str
        File below ``config/dds``.
    """
    if any(variable in os.environ for variable in distributions.DDS_PROFILES):
        return
    try:
        profile = share_path(f"config/dds/{name}")
    except LnnError:  # slower to notice what arrived, but nothing is wrong without it
        return
    for variable in distributions.DDS_PROFILES:
        os.environ[variable] = str(profile)
