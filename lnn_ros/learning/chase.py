"""A film camera that follows a recorded flight from behind and above, and keeps out of trees.

The whole flight is known, so the path is planned, not controlled: dynamic programming over a few
places around the vehicle, then smoothing. World frame ENU, metres; a camera looks along its own x.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.world import Shape, Solid

Floats = NDArray[np.float64]

_PLAN_STEP_S = 0.25
_AZIMUTHS = np.radians([-75.0, -50.0, -25.0, 0.0, 25.0, 50.0, 75.0])
_ELEVATIONS = np.radians([14.0, 24.0, 38.0, 55.0])
_DISTANCES = np.array([1.5, 2.3])
_WISH = (0.0, np.radians(22.0), 2.3)
_LEAST_GAP = 0.35
_LOOK_AHEAD = 1.0


def gaps(points: Floats, solids: Sequence[Solid]) -> Floats:
    """Distance of many points to the nearest solid, negative inside.

    The same as :func:`~lnn_ros.simulation.world.distance_to`, over arrays: a film asks for a
    million of them.

    Parameters
    ----------
    points : ndarray (..., 3)
        Metres, world frame.
    solids : sequence of Solid
        What is in the way. Ellipsoids are approximated to first order at their surface.

    Returns
    -------
    ndarray (...)
        Metres; infinite where there is no solid.
    """
    nearest = np.full(points.shape[:-1], np.inf)
    for solid in solids:
        cos, sin = np.cos(solid.yaw), np.sin(solid.yaw)
        offset = points - np.asarray(solid.position)
        local = np.stack([cos * offset[..., 0] + sin * offset[..., 1],
                          cos * offset[..., 1] - sin * offset[..., 0], offset[..., 2]], axis=-1)
        size = np.asarray(solid.size)
        if solid.shape is Shape.ELLIPSOID:
            scaled = np.linalg.norm(local / size, axis=-1)
            slope = np.maximum(np.linalg.norm(local / size**2, axis=-1), 1e-9)
            distance = np.where(scaled > 1e-6, scaled * (scaled - 1.0) / slope, -size.min())
        else:
            excess = np.abs(local) - size
            if solid.shape is Shape.CYLINDER:
                radial = np.hypot(local[..., 0], local[..., 1]) - size[0]
                excess = np.stack([radial, excess[..., 2]], axis=-1)
            distance = (np.linalg.norm(np.maximum(excess, 0.0), axis=-1)
                        + np.minimum(excess.max(axis=-1), 0.0))
        nearest = np.minimum(nearest, distance)
    return nearest


def smooth(values: Floats, sigma: float) -> Floats:
    """Gaussian smoothing along the first axis without delay; the ends are held.

    Parameters
    ----------
    values : ndarray (N, ...)
        Evenly spaced values.
    sigma : float
        Width in samples.
    """
    reach = int(np.ceil(3.0 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = np.concatenate([np.repeat(values[:1], reach, axis=0), values,
                             np.repeat(values[-1:], reach, axis=0)])
    return np.stack([np.convolve(column, weights, mode="valid")
                     for column in padded.reshape(len(padded), -1).T],
                    axis=-1).reshape(values.shape)


def look_at(eye: Floats, point: Floats) -> Floats:
    """Rotation (3, 3) world_from_camera of a level camera at `eye` whose x axis meets `point`."""
    forward = (point - eye) / np.linalg.norm(point - eye)
    left = np.cross([0.0, 0.0, 1.0], forward)
    left /= np.linalg.norm(left)
    return np.stack([forward, left, np.cross(forward, left)], axis=-1)


def chase(position: Floats, yaw: Floats, rate_hz: float,
          solids: Sequence[Solid]) -> tuple[Floats, Floats]:
    """Plan the film camera's poses.

    Parameters
    ----------
    position : ndarray (N, 3)
        The vehicle's path, one row per picture, metres.
    yaw : ndarray (N,)
        Its heading, rad.
    rate_hz : float
        Pictures per second of the flight.
    solids : sequence of Solid
        What must neither hold the camera nor hide the vehicle.

    Returns
    -------
    eye : ndarray (N, 3)
        Camera positions, metres.
    rotation : ndarray (N, 3, 3)
        world_from_camera.
    """
    centre = smooth(position, 0.15 * rate_hz)
    heading = smooth(np.unwrap(yaw), 0.6 * rate_hz)
    stride = max(1, round(_PLAN_STEP_S * rate_hz))
    knots = np.unique(np.append(np.arange(0, len(position), stride), len(position) - 1))
    places = np.array([(a, e, d) for a in _AZIMUTHS for e in _ELEVATIONS for d in _DISTANCES])
    chosen = places[_best_places(centre[knots], heading[knots], places, solids)]

    frames = np.arange(len(position))
    place = np.stack([np.interp(frames, knots, column) for column in chosen.T], axis=-1)
    place = smooth(place, 0.45 * rate_hz)
    eye = _eyes(centre, heading, place)
    ahead = np.stack([np.cos(heading), np.sin(heading), np.zeros(len(heading))], axis=-1)
    point = centre + _LOOK_AHEAD * ahead
    return eye, np.stack([look_at(e, p) for e, p in zip(eye, point, strict=True)])


def _eyes(centre: Floats, heading: Floats, place: Floats) -> Floats:
    """Camera positions (..., 3) for places (..., 3): azimuth from behind, elevation, distance."""
    azimuth = heading + np.pi + place[..., 0]
    flat = place[..., 2] * np.cos(place[..., 1])
    return centre + np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth),
                              place[..., 2] * np.sin(place[..., 1])], axis=-1)


def _best_places(centre: Floats, heading: Floats, places: Floats,
                 solids: Sequence[Solid]) -> NDArray[np.intp]:
    """Cheapest sequence of places (K,) for K instants (Viterbi's algorithm)."""
    eye = _eyes(centre[:, None], heading[:, None], np.broadcast_to(
        places, (len(centre), *places.shape)))
    # From just behind the vehicle to a little beyond the lens.
    share = np.linspace(0.15, 1.1, 14)[:, None]
    sight = centre[:, None, None] + share * (eye - centre[:, None])[:, :, None]
    free = gaps(sight, solids)
    hidden = np.clip(_LEAST_GAP - free, 0.0, 1.0).sum(axis=-1)
    inside = np.clip(_LEAST_GAP - free[..., -4:].min(axis=-1), 0.0, 1.0)
    wish = np.asarray(_WISH)
    taste = (((places - wish) / (1.0, 0.6, 1.5)) ** 2).sum(axis=-1)
    cost = 8.0 * hidden + 40.0 * inside + 0.4 * taste
    move = (((places[:, None] - places[None]) / (0.5, 0.35, 0.8)) ** 2).sum(axis=-1)

    total, back = cost[0], np.zeros((len(centre), len(places)), dtype=np.intp)
    for k in range(1, len(centre)):
        reach = total[:, None] + move
        back[k] = reach.argmin(axis=0)
        total = reach.min(axis=0) + cost[k]
    best = np.zeros(len(centre), dtype=np.intp)
    best[-1] = total.argmin()
    for k in range(len(centre) - 1, 0, -1):
        best[k - 1] = back[k, best[k]]
    return best
