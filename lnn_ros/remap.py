"""A real camera's image as the policy's own camera would have taken it.

A policy knows one camera, the virtual camera that its card states. A :class:`Remap` turns, crops,
undistorts and shrinks the image of a real camera to that in one step, by a table made once. The
camera's position is not corrected: what it shifts depends on how far away things are.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lnn_ros.errors import LnnError
from lnn_ros.geometry import LEVEL, Array, CameraModel, Mounting, VirtualCamera

MIN_COVERAGE = 0.8
"""Least share of the virtual camera's view that a real camera must see, unless told otherwise."""

_SAMPLES = 8  # most samples per output pixel, each way
_TABLE = 2**20  # most entries of a table that has more than one sample per pixel


class Remap:
    """From a real camera's image to the virtual camera's, by a table.

    Every output pixel is the mean of up to 64 source pixels, those on which a lattice of points in
    it is seen: for a whole ratio of sizes up to 8 this is the exact mean over its area. What the
    source does not see repeats the nearest pixel of its edge: a black border would look like a
    thing. Equal inputs give equal bytes, on every machine.

    Parameters
    ----------
    virtual : VirtualCamera
        What comes out.
    source : CameraModel
        What goes in.
    mounting : Mounting
        Rotation of the source in ``base_link``.

    Attributes
    ----------
    coverage : float
        Share of the virtual camera's view, by area, that the source sees.
    """

    def __init__(
        self, virtual: VirtualCamera, source: CameraModel, mounting: Mounting = LEVEL
    ) -> None:
        self.virtual, self.source, self.mounting = virtual, source, mounting
        across, down = self._samples()
        table = np.empty((virtual.height, across * down, virtual.width), np.intp)
        seen = 0
        for sample, (a, b) in enumerate(np.ndindex(across, down)):
            # No two samples of a pixel share a row or column: an edge along either gets as many
            # levels as there are samples, and stripes find no rhythm to beat with.
            x = (a + (_order(down)[b] + 0.5) / down) / across
            y = (b + (_order(across)[a] + 0.5) / across) / down
            index, visible = self._look(y, x)
            table[:, sample] = index
            seen += int(visible.sum())
        self.coverage = seen / table.size
        if (table == table[:, :1]).all():
            table = np.ascontiguousarray(table[:, :1])
        self._table = table

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the image that the virtual camera would have taken.

        Parameters
        ----------
        image : ndarray of uint8 (H, W, 3), (H, W, 1) or (H, W)
            Of the source's size, RGB or grey, any strides; not copied.

        Returns
        -------
        ndarray of uint8 (height, width, channels)
            Of the virtual camera; new, contiguous. Grey is repeated to RGB; RGB becomes grey by
            its luma (ITU-R BT.601).

        Raises
        ------
        LnnError
            When the image has another size or type than the source.
        """
        if image.ndim == 2:
            image = image[:, :, None]
        source, virtual = self.source, self.virtual
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
            raise LnnError(
                f"image is {image.dtype} {image.shape}: expected uint8 of 1 or 3 channels"
            )
        if image.shape[:2] != (source.height, source.width):
            raise LnnError(
                f"image size is {image.shape[1]}x{image.shape[0]} pixels: expected "
                f"{source.width}x{source.height}, as the camera info or the first "
                f"image has it"
            )
        grey = image.shape[2] == 1 or image.strides[2] == 0
        planes = [self._gather(image[:, :, c]) for c in range(1 if grey else 3)]
        if virtual.channels == 1 and not grey:
            red, green, blue = (plane.astype(np.uint32) for plane in planes)
            luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
            planes = [luma.astype(np.uint8)]
        out = np.empty((virtual.height, virtual.width, virtual.channels), np.uint8)
        for channel in range(virtual.channels):
            out[:, :, channel] = planes[min(channel, len(planes) - 1)]
        return out

    def _gather(self, plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Mean of the samples of one channel (H, W), rounded half up."""
        samples = plane.reshape(-1)[self._table]
        count = samples.shape[1]
        if count == 1:
            return samples[:, 0]
        total = np.add.reduce(samples, axis=1, dtype=np.uint16)  # at most 64 * 255
        return ((total + np.uint16(count // 2)) // np.uint16(count)).astype(np.uint8)

    def _project(self, rows: Array, columns: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Pixels of the source for points of the virtual image, from its upper left corner."""
        rays = self.virtual.rays(rows, columns) @ self.mounting.rotation
        row, column, covered = self.source.project(rays)
        # Rounded: what lies on the border between two pixels falls to the same one everywhere.
        return np.round(row + 0.5, 6), np.round(column + 0.5, 6), covered

    def _look(self, y: float, x: float) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Flat index (h, w) of the source for one point in every pixel, and whether it is seen."""
        height, width = self.source.height, self.source.width
        rows, columns = _edges(self.virtual.height)[:-1] + y, _edges(self.virtual.width)[:-1] + x
        row, column, covered = self._project(rows[:, None], columns[None, :])
        seen = covered & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        i = np.clip(np.floor(row), 0, height - 1).astype(np.intp)
        j = np.clip(np.floor(column), 0, width - 1).astype(np.intp)
        return i * width + j, seen

    def _samples(self) -> tuple[int, int]:
        """Samples across and down a pixel: if they fit, a multiple of the source pixels in it."""
        height, width = self.virtual.height, self.virtual.width
        row, column, covered = self._project(_edges(height)[:, None], _edges(width)[None, :])
        seen = covered & (row >= 0) & (row <= self.source.height)
        seen &= (column >= 0) & (column <= self.source.width)
        most = max(1, min(_SAMPLES, math.isqrt(_TABLE // (height * width))))
        counts = []
        for axis in (1, 0):
            step = np.maximum(np.abs(np.diff(row, axis=axis)), np.abs(np.diff(column, axis=axis)))
            both = seen[:, 1:] & seen[:, :-1] if axis == 1 else seen[1:] & seen[:-1]
            largest = float(step[both].max()) if both.any() else 1.0
            pixels = min(max(1, math.ceil(largest - 1e-3)), most)
            counts.append(pixels * (most // pixels))
        return counts[0], counts[1]


def _order(count: int) -> list[int]:
    """Numbers below ``count`` so that neighbours are far apart: those of the golden ratio."""
    return np.argsort(np.argsort(np.arange(count) * 0.618034 % 1.0)).tolist()


def _edges(pixels: int) -> Array:
    return np.linspace(0.0, pixels, pixels + 1)


@lru_cache(maxsize=8)
def _cached(virtual: VirtualCamera, source: CameraModel, mounting: Mounting) -> Remap:
    return Remap(virtual, source, mounting)


def remap_for(
    virtual: VirtualCamera,
    source: CameraModel,
    mounting: Mounting = LEVEL,
    min_coverage: float = MIN_COVERAGE,
) -> Remap:
    """Return the remap of a camera, made once and kept.

    Parameters
    ----------
    virtual, source, mounting
        As for :class:`Remap`.
    min_coverage : float
        Least share of the virtual camera's view that the source has to see.

    Raises
    ------
    LnnError
        When it sees less.
    """
    remap = _cached(virtual, source, mounting)
    if remap.coverage < min_coverage:
        raise LnnError(
            f"the camera ({source.width}x{source.height} pixels) sees {remap.coverage:.1%} of the "
            f"view that the policy was trained with ({math.degrees(virtual.horizontal_fov):.0f} "
            f"degrees wide, {virtual.width}x{virtual.height} pixels): expected at least "
            f"{min_coverage:.0%}; check field of view, camera info and mounting"
        )
    return remap


class Rectifier:
    """Images of one real camera to frames of the policy.

    Parameters
    ----------
    virtual : VirtualCamera
        What the policy takes.
    camera : CameraModel or float
        The real camera; or its field of view across the width, rad, for a camera without
        distortion whose size is that of the first image.
    mounting : Mounting
        Rotation of the camera in ``base_link``.
    min_coverage : float
        Least share of the virtual camera's view that it has to see.

    Raises
    ------
    LnnError
        When it sees less, or a value is out of range.
    """

    def __init__(
        self,
        virtual: VirtualCamera,
        camera: CameraModel | float,
        mounting: Mounting = LEVEL,
        min_coverage: float = MIN_COVERAGE,
    ) -> None:
        self._virtual, self._mounting, self._least = virtual, mounting, min_coverage
        self._camera = camera
        self._remap: Remap | None = None
        if isinstance(camera, CameraModel):
            self._remap = remap_for(virtual, camera, mounting, min_coverage)
        else:
            CameraModel.pinhole(1, 1, camera)  # refuses an impossible field of view at once

    @property
    def coverage(self) -> float | None:
        """Share of the virtual camera's view that is seen; None before it is known."""
        return None if self._remap is None else self._remap.coverage

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the policy's frame (height, width, channels); see :meth:`Remap.__call__`.

        Raises
        ------
        LnnError
            When the image has another size than the camera, or the camera sees too little.
        """
        if self._remap is None:
            assert not isinstance(self._camera, CameraModel)
            source = CameraModel.pinhole(image.shape[1], image.shape[0], self._camera)
            self._remap = remap_for(self._virtual, source, self._mounting, self._least)
        return self._remap(image)
