"""What must stand before numpy or DDS is loaded. A node's module imports this first.

Importing it keeps BLAS on one thread: the networks are so small that more threads only cost time
and memory, and a control loop must not wait for a pool. Values that the user has set stay.
"""

from __future__ import annotations

import ctypes
import os

from lnn_ros.errors import LnnError
from lnn_ros.nodes import distributions
from lnn_ros.resources import share_path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as glibc's malloc.h has them
_TRANSPORTS, _UDP = "FASTDDS_BUILTIN_TRANSPORTS", "UDPv4"
_KEPT = 32 * 2**20  # bytes; several large images, and the most that glibc takes for both


def keep_memory() -> None:
    """Let freed memory stay with the process instead of giving it back to the kernel at once.

    Else every copy of a large image may be new memory, filled with zeros page by page: at 640x480
    and 20 Hz that costs 3 to 6 % of a core. Other libraries than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def use_dds_profile(name: str) -> None:
    """Give Fast DDS the package's settings, unless the user gave it some.

    With its defaults a reliable writer learns only every 3 s (its heartbeat period) what has
    arrived: waiting for the last zero command to be acknowledged, or repeating a lost message,
    would take that long.

    And it hands messages on in shared memory. There a process that is killed takes others along:
    whoever writes to one of its topics stands still for up to 2 s at every attempt, which is our
    control loop, and whoever comes back in its place may never hear from them again (Fast DDS
    issues 5053 and 5469). So our nodes are heard over UDP, where nobody shares anything. For nodes
    of others on this machine, which have shared memory, this holds wherever
    ``ROS_AUTOMATIC_DISCOVERY_RANGE`` is not LOCALHOST, with which ROS always has it written to.

    Other middlewares ignore the variables.

    Parameters
    ----------
    name : str
        File below ``config/dds``.
    """
    # Who chooses transports says by which of them he listens, too: the profile would say UDP.
    chosen = os.environ.get(_TRANSPORTS, _UDP) != _UDP
    if chosen or any(variable in os.environ for variable in distributions.DDS_PROFILES):
        return
    variable, profile = distributions.dds_profile(name)
    try:
        os.environ[variable] = str(share_path(profile))
    except LnnError:  # slower to notice what arrived, but nothing is wrong without it
        return
    os.environ[_TRANSPORTS] = _UDP
