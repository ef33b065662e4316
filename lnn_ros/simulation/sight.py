"""What a frame tells of the solids in it, to who looks closely.

A pattern is painted where the solids are, goes through everything that the shifts do to a frame,
and is compared with the same without the pattern: what is left of the contrast, beside the noise,
says how much a pixel tells. That one looks for a contrast several times the noise goes back to A.
Rose, "The sensitivity performance of the human eye on an absolute scale", Journal of the Optical
Society of America 38 (1948).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.camera import CameraGeometry, Renderer
from lnn_ros.simulation.sensors import START_NS
from lnn_ros.simulation.shifts import KINDS, Frame, Shift
from lnn_ros.simulation.simulator import Truth
from lnn_ros.simulation.world import World

CONTRAST = 40.0
"""Levels, of 255, between a solid and what is around it."""
CLEAR = 4.0
"""A pixel tells all that it can from so many times the noise on; below, by the square of it."""
_GREY = 110.0
_ROUNDING = 1.0  # level
_MEDIAN_OF_TWO = 0.6745 * math.sqrt(2.0)
"""Median magnitude of the difference of two normal numbers of standard deviation 1."""


class Sight:
    """The eye of a flight, for who asks what it shows, not how that looks.

    Parameters
    ----------
    world : World
        Where it is.
    geometry : CameraGeometry
        The camera, as it is mounted in this flight.
    shifts : sequence of Shift
        Of the flight.
    """

    def __init__(self, world: World, geometry: CameraGeometry,
                 shifts: Sequence[Shift] = ()) -> None:
        self._solids, self._seed = len(world.solids), world.seed
        self._camera = Renderer(world, geometry, samples=1, shadows=False)
        self._frames = [shift for shift in shifts if KINDS[shift.kind].frame is not None]
        self._fog = reduce(lambda seen, shift: shift.world(seen), shifts, world).light.fog
        self._dim = self._fog < world.light.fog

    def told(self, truth: Truth) -> NDArray[np.float64]:
        """Say how much a frame tells of every solid.

        Parameters
        ----------
        truth : Truth
            Where and when the frame is taken.

        Returns
        -------
        ndarray (solids,)
            How many pixels of a clear picture tell as much.
        """
        at_s = (truth.stamp_ns - START_NS) * 1e-9
        index, depth = self._camera.cast(truth.position, truth.rotation, at_s)
        there = index >= 0
        worth = np.ones(index.shape)
        if self._frames or self._dim:
            # Neighbours are painted otherwise, so that what runs together tells of neither.
            sign = np.where(index % 2 == 0, 1.0, -1.0)
            left = self._fog / (self._fog + np.where(there, depth, 0.0))
            worth = self._worth(np.where(there, CONTRAST * sign * left, 0.0), truth.stamp_ns)
        return np.asarray(np.bincount(index[there], worth[there], self._solids), np.float64)

    def _worth(self, pattern: NDArray[np.float64], stamp_ns: int) -> NDArray[np.float64]:
        """Return what every pixel of a pattern (H, W), in levels, tells: 0 to 1."""
        grey = np.full((*pattern.shape, 3), _GREY)
        plain = self._taken(grey, stamp_ns)
        shown = np.abs(self._taken(grey + pattern[..., None], stamp_ns) - plain).mean(-1)
        other = self._taken(grey, stamp_ns + 1) - plain  # of the next frame only the noise differs
        # By the median, as dirt and what is outshone have no noise.
        noise = float(np.median(np.abs(other - np.median(other)))) / _MEDIAN_OF_TWO
        least = CLEAR * math.hypot(noise, _ROUNDING)
        worth: NDArray[np.float64] = np.minimum(1.0, (shown / least) ** 2)
        return worth

    def _taken(self, picture: NDArray[np.float64], stamp_ns: int) -> NDArray[np.float64]:
        """Return a picture as the camera delivers it."""
        frame: Frame = (picture + 0.5).astype(np.uint8)
        for shift in self._frames:
            frame = shift.frame(frame, self._seed, stamp_ns)
        return frame.astype(np.float64)
