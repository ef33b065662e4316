"""Which surface a camera's rays meet first: intersection and visibility kernels of the camera.

A primitive is a convex body given by one row of a float64 table: centre (3), half extents (3) and
its three local axes in the world (9). Every kernel works in the primitive's own frame, scaled so
that its half extents are 1: a box is the cube, a cylinder and an ellipsoid the unit ones. Rays are
``origin + t * (forward + u * right + v * up)``, so that ``t`` is the depth along the optical axis.

Numba's cache watches a kernel's own file only, so that no kernel here calls one of another file.
The kernels use +, -, *, / and square roots only, which IEEE 754 rounds the same everywhere, and no
fast-math: one scene gives the same bytes on every CPU.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
Texels = NDArray[np.float32]

BOX, CYLINDER, ELLIPSOID = 0, 1, 2
COLUMNS = 15
"""Floats per primitive."""
SKY, GROUND = -8, -4
"""Surface codes besides those of primitives, which are ``4 * index + face``."""
FAR = 1e30
"""Depth of the sky."""
TINY = 1e-100
"""Least divisor: so small that a ray along a face outside of it misses, and nothing overflows."""

jit = numba.njit(cache=True, error_model="numpy", nogil=True)
inlined = numba.njit(cache=True, error_model="numpy", nogil=True, inline="always")


@inlined
def slab(o: float, d: float) -> tuple[float, float]:
    """Entry and exit of a line ``o + t d`` into ``[-1, 1]``."""
    inverse = 1.0 / (d if abs(d) > TINY else TINY)
    one = (-1.0 - o) * inverse
    two = (1.0 - o) * inverse
    return min(one, two), max(one, two)


@inlined
def box_span(ox: float, oy: float, oz: float, dx: float, dy: float,
             dz: float) -> tuple[float, float, int]:
    """Entry, exit and entered face (0 x, 1 y, 2 z) of a line through the cube.

    As for every shape, a line that misses has its entry behind its exit.
    """
    ax, bx = slab(ox, dx)
    ay, by = slab(oy, dy)
    az, bz = slab(oz, dz)
    enter = max(ax, ay, az)
    face = 0 if ax == enter else (1 if ay == enter else 2)
    return enter, min(bx, by, bz), face


@inlined
def cylinder_span(ox: float, oy: float, oz: float, dx: float, dy: float,
                  dz: float) -> tuple[float, float, int]:
    """Entry, exit and entered face (0 side, 2 cap) of a line through the unit cylinder."""
    a = max(dx * dx + dy * dy, TINY)
    b = ox * dx + oy * dy
    h = b * b - a * (ox * ox + oy * oy - 1.0)
    root = np.sqrt(max(h, 0.0))
    az, bz = slab(oz, dz)
    side = (-b - root) / a
    enter = max(side, az) if h > 0.0 else FAR
    return enter, min((root - b) / a, bz), 0 if side > az else 2


@inlined
def ellipsoid_span(ox: float, oy: float, oz: float, dx: float, dy: float,
                   dz: float) -> tuple[float, float, int]:
    """Entry, exit and face (0) of a line through the unit sphere."""
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    h = b * b - a * (ox * ox + oy * oy + oz * oz - 1.0)
    root = np.sqrt(max(h, 0.0))
    enter = (-b - root) / a if h > 0.0 else FAR
    return enter, (root - b) / a, 0


@jit
def span(shape: int, ox: float, oy: float, oz: float, dx: float, dy: float,
         dz: float) -> tuple[float, float, int]:
    """Entry, exit and entered face of a line through a unit primitive of any shape."""
    if shape == BOX:
        return box_span(ox, oy, oz, dx, dy, dz)
    if shape == CYLINDER:
        return cylinder_span(ox, oy, oz, dx, dy, dz)
    return ellipsoid_span(ox, oy, oz, dx, dy, dz)


@jit
def support(shape: int, row: Reals, wx: float, wy: float, wz: float) -> float:
    """Half width of a primitive along a (not normalised) direction: max of ``w . (p - centre)``."""
    x = row[3] * abs(row[6] * wx + row[7] * wy + row[8] * wz)
    y = row[4] * abs(row[9] * wx + row[10] * wy + row[11] * wz)
    z = row[5] * abs(row[12] * wx + row[13] * wy + row[14] * wz)
    if shape == BOX:
        return x + y + z
    if shape == CYLINDER:
        return np.sqrt(x * x + y * y) + z
    return np.sqrt(x * x + y * y + z * z)


@jit
def outline(centre: float, spread_ff: float, spread_fs: float, spread_ss: float,
            side: float) -> tuple[float, float]:
    """Least and greatest ``side / forward`` over an ellipsoid wholly in front of the camera.

    The planes through the camera that touch an ellipsoid of centre c and matrix S hold
    ``(n . c)^2 = n' S n``; with ``n = (s, -1)`` that is quadratic in the slope s.
    """
    a = centre * centre - spread_ff
    b = centre * side - spread_fs
    root = np.sqrt(max(b * b - a * (side * side - spread_ss), 0.0))
    return (b - root) / a, (b + root) / a


@jit
def screen_bounds(shape: int, row: Reals, origin: Reals, axes: Reals,
                  limits: Reals) -> tuple[float, float, float, float, float]:
    """Least depth and bounds of a primitive's picture.

    Parameters
    ----------
    shape : int
        Its shape.
    row : ndarray (15,)
        The primitive.
    origin, axes : ndarray (3,), (3, 3)
        Camera position and its forward, right and up axes (rows), world frame.
    limits : ndarray (4,)
        Least and greatest u and v of any ray.

    Returns
    -------
    near, u_min, u_max, v_min, v_max : float
        The picture lies within them. Not visible at all: ``u_min > u_max``.
    """
    cx, cy, cz = row[0] - origin[0], row[1] - origin[1], row[2] - origin[2]
    f = axes[0, 0] * cx + axes[0, 1] * cy + axes[0, 2] * cz
    near = f - support(shape, row, axes[0, 0], axes[0, 1], axes[0, 2])
    if f + (f - near) <= 0.0:
        return near, 1.0, 0.0, 1.0, 0.0
    # Outside of one side plane of the view: n . p < 0 for all its points, n pointing inwards.
    for k in range(4):
        side = 1 + k // 2
        sign = 1.0 if k % 2 == 0 else -1.0
        nx = sign * (axes[side, 0] - limits[k] * axes[0, 0])
        ny = sign * (axes[side, 1] - limits[k] * axes[0, 1])
        nz = sign * (axes[side, 2] - limits[k] * axes[0, 2])
        if nx * cx + ny * cy + nz * cz + support(shape, row, nx, ny, nz) < 0.0:
            return near, 1.0, 0.0, 1.0, 0.0
    if near < 0.05:  # reaches behind the camera, or almost: no (well) bounded picture
        return near, limits[0], limits[1], limits[2], limits[3]

    # Local axes times half extents, in camera coordinates (forward, right, up).
    local = np.empty((3, 3))
    for k in range(3):
        for m in range(3):
            local[k, m] = row[3 + k] * (row[6 + 3 * k] * axes[m, 0] + row[7 + 3 * k] * axes[m, 1]
                                        + row[8 + 3 * k] * axes[m, 2])
    r = axes[1, 0] * cx + axes[1, 1] * cy + axes[1, 2] * cz
    u = axes[2, 0] * cx + axes[2, 1] * cy + axes[2, 2] * cz
    u_min, u_max, v_min, v_max = FAR, -FAR, FAR, -FAR
    if shape == BOX:
        for corner in range(8):
            a = 1.0 if corner & 1 else -1.0
            b = 1.0 if corner & 2 else -1.0
            c = 1.0 if corner & 4 else -1.0
            depth = f + a * local[0, 0] + b * local[1, 0] + c * local[2, 0]
            x = (r + a * local[0, 1] + b * local[1, 1] + c * local[2, 1]) / depth
            y = (u + a * local[0, 2] + b * local[1, 2] + c * local[2, 2]) / depth
            u_min, u_max = min(u_min, x), max(u_max, x)
            v_min, v_max = min(v_min, y), max(v_max, y)
        return near, u_min, u_max, v_min, v_max
    # A cylinder is the hull of its two end discs, which are flat ellipsoids.
    radial = 3 if shape == ELLIPSOID else 2
    ff = fr = fu = rr = uu = 0.0
    for k in range(radial):
        ff += local[k, 0] * local[k, 0]
        fr += local[k, 0] * local[k, 1]
        fu += local[k, 0] * local[k, 2]
        rr += local[k, 1] * local[k, 1]
        uu += local[k, 2] * local[k, 2]
    for end in range(2):
        along = 0.0 if shape == ELLIPSOID else (1.0 if end == 0 else -1.0)
        depth = f + along * local[2, 0]
        low, high = outline(depth, ff, fr, rr, r + along * local[2, 1])
        u_min, u_max = min(u_min, low), max(u_max, high)
        low, high = outline(depth, ff, fu, uu, u + along * local[2, 2])
        v_min, v_max = min(v_min, low), max(v_max, high)
    return near, u_min, u_max, v_min, v_max


@jit
def into_unit(row: Reals, vx: float, vy: float, vz: float) -> tuple[float, float, float]:
    """A world vector in a primitive's frame, in units of its half extents."""
    return ((row[6] * vx + row[7] * vy + row[8] * vz) / row[3],
            (row[9] * vx + row[10] * vy + row[11] * vz) / row[4],
            (row[12] * vx + row[13] * vy + row[14] * vz) / row[5])


@jit
def cast(origin: Reals, axes: Reals, us: Reals, vs: Reals, shapes: Ints, rows: Reals, count: int,
         depth: Reals, surface: Ints) -> None:
    """First hit of every ray.

    Parameters
    ----------
    origin, axes : ndarray (3,), (3, 3)
        Camera position and its forward, right and up axes (rows), world frame.
    us, vs : ndarray (samples, width), (samples, height)
        Ray slopes to the right and upwards.
    shapes, rows : ndarray (>= count,), (>= count, 15)
        Primitives.
    count : int
        How many of them.
    depth, surface : ndarray (samples, height, width)
        Out: depth along the optical axis (``FAR`` for the sky) and surface code.
    """
    samples, height, width = depth.shape
    for s in range(samples):
        for i in range(height):
            base = axes[0, 2] + vs[s, i] * axes[2, 2]
            for j in range(width):
                fall = base + us[s, j] * axes[1, 2]
                if fall < 0.0 and origin[2] > 0.0:
                    depth[s, i, j] = -origin[2] / fall
                    surface[s, i, j] = GROUND
                else:
                    depth[s, i, j] = FAR
                    surface[s, i, j] = SKY

    limits = np.array([us.min(), us.max(), vs.min(), vs.max()])
    bounds = np.empty((count, 4))
    nearest = np.empty(count)
    visible = np.empty(count, np.int64)
    found = 0
    for p in range(count):
        near, u_min, u_max, v_min, v_max = screen_bounds(shapes[p], rows[p], origin, axes, limits)
        if u_min > u_max:
            continue
        # Rounding must not cost a pixel: widen by far more than it can amount to.
        bounds[p, 0], bounds[p, 1] = u_min - 1e-6, u_max + 1e-6
        bounds[p, 2], bounds[p, 3] = v_min - 1e-6, v_max + 1e-6
        nearest[p] = near - 1e-7
        visible[found] = p
        found += 1
    order = np.argsort(nearest[visible[:found]])

    for rank in range(found):
        p = visible[order[rank]]
        shape, row, near = shapes[p], rows[p], nearest[p]
        ox, oy, oz = into_unit(row, origin[0] - row[0], origin[1] - row[1], origin[2] - row[2])
        fx, fy, fz = into_unit(row, axes[0, 0], axes[0, 1], axes[0, 2])
        rx, ry, rz = into_unit(row, axes[1, 0], axes[1, 1], axes[1, 2])
        ux, uy, uz = into_unit(row, axes[2, 0], axes[2, 1], axes[2, 2])
        for s in range(samples):
            first = np.searchsorted(us[s], bounds[p, 0])
            last = np.searchsorted(us[s], bounds[p, 1])
            for i in range(height):
                v = vs[s, i]
                if v < bounds[p, 2] or v > bounds[p, 3]:
                    continue
                bx, by, bz = fx + v * ux, fy + v * uy, fz + v * uz
                for j in range(first, last):
                    if depth[s, i, j] <= near:
                        continue
                    u = us[s, j]
                    dx, dy, dz = bx + u * rx, by + u * ry, bz + u * rz
                    enter, leave, face = span(shape, ox, oy, oz, dx, dy, dz)
                    # Seen from outside only: a camera inside of a body looks through it.
                    if 0.0 < enter < depth[s, i, j] and enter < leave:
                        depth[s, i, j] = enter
                        surface[s, i, j] = 4 * p + face


@jit
def bake(shapes: Ints, rows: Reals, count: int, suns: Reals, grid: Reals, cover: Texels,
         shadow: Texels, hollow: Texels) -> None:
    """Fill the ground's maps: what covers it, its shadows and its darkening near bodies.

    Parameters
    ----------
    shapes, rows, count
        Primitives.
    suns : ndarray (n, 3)
        Unit directions to points of the sun; the first is its middle.
    grid : ndarray (3,)
        x and y of the first texel, texels per metre.
    cover, shadow, hollow : ndarray (ny, nx)
        Out: distance along the ray to the sun's middle at which the last body ends (-1: none);
        share of the sun that is seen, 0 to 1; share of the sky that is seen, 0 to 1.
    """
    ny, nx = cover.shape
    cover[:] = -1.0
    shadow[:] = 1.0
    hollow[:] = 1.0
    blocked = np.zeros((ny, nx), np.uint8)
    for k in range(len(suns)):
        lx, ly, lz = suns[k]
        blocked[:] = 0
        for p in range(count):
            row, shape = rows[p], shapes[p]
            mx, my = row[0] - row[2] * lx / lz, row[1] - row[2] * ly / lz
            half_x = support(shape, row, 1.0, 0.0, -lx / lz)
            half_y = support(shape, row, 0.0, 1.0, -ly / lz)
            left = max(int(np.floor((mx - half_x - grid[0]) * grid[2])), 0)
            right = min(int(np.ceil((mx + half_x - grid[0]) * grid[2])), nx - 1)
            below = max(int(np.floor((my - half_y - grid[1]) * grid[2])), 0)
            above = min(int(np.ceil((my + half_y - grid[1]) * grid[2])), ny - 1)
            dx, dy, dz = into_unit(row, lx, ly, lz)
            for i in range(below, above + 1):
                for j in range(left, right + 1):
                    ox, oy, oz = into_unit(row, grid[0] + j / grid[2] - row[0],
                                           grid[1] + i / grid[2] - row[1], -row[2])
                    enter, leave, _ = span(shape, ox, oy, oz, dx, dy, dz)
                    if enter < leave and leave > 0.0:
                        blocked[i, j] = 1
                        if k == 0:
                            cover[i, j] = max(cover[i, j], leave)
        for i in range(ny):
            for j in range(nx):
                if blocked[i, j]:
                    shadow[i, j] -= 1.0 / len(suns)
    for p in range(count):
        row, shape = rows[p], shapes[p]
        rise = max(row[2] - row[5], 0.0)
        wide, deep = support(shape, row, 1.0, 0.0, 0.0), support(shape, row, 0.0, 1.0, 0.0)
        reach = 0.6 + rise
        if rise > 4.0:
            continue
        left = max(int((row[0] - wide - reach - grid[0]) * grid[2]), 0)
        right = min(int((row[0] + wide + reach - grid[0]) * grid[2]) + 1, nx - 1)
        below = max(int((row[1] - deep - reach - grid[1]) * grid[2]), 0)
        above = min(int((row[1] + deep + reach - grid[1]) * grid[2]) + 1, ny - 1)
        for i in range(below, above + 1):
            for j in range(left, right + 1):
                x, y = grid[0] + j / grid[2] - row[0], grid[1] + i / grid[2] - row[1]
                a = abs(row[6] * x + row[7] * y)
                b = abs(row[9] * x + row[10] * y)
                if shape == BOX:
                    ex, ey = max(a - row[3], 0.0), max(b - row[4], 0.0)
                    gap = np.sqrt(ex * ex + ey * ey)
                else:
                    gap = max(np.sqrt(a * a + b * b) - max(row[3], row[4]), 0.0)
                near = 1.0 - min(gap / reach, 1.0)
                hollow[i, j] *= 1.0 - 0.55 / (1.0 + rise) * near * near


@jit
def veil(origin: Reals, axes: Reals, us: Reals, vs: Reals, shapes: Ints, rows: Reals, first: int,
         count: int, suns: Reals, depth: Reals, surface: Ints, out: Reals) -> None:
    """Take from ``out`` what the bodies ``first`` to ``count`` hide of the sun that a pixel sees.

    ``out`` is (height, width), the share of it that is left; the pixel's first sample stands for
    it. The bodies are a vehicle's: few, and close together.
    """
    _, height, width = depth.shape
    centre = rows[first, :3]
    reach = 0.0
    for p in range(first, count):
        away = 0.0
        for k in range(3):
            away += (rows[p, k] - centre[k]) ** 2
        reach = max(reach, np.sqrt(away) + max(rows[p, 3], rows[p, 4], rows[p, 5]))
    for i in range(height):
        for j in range(width):
            if surface[0, i, j] == SKY or surface[0, i, j] >= 4 * first:
                continue
            t, u, v = depth[0, i, j], us[0, j], vs[0, i]
            x = origin[0] + t * (axes[0, 0] + u * axes[1, 0] + v * axes[2, 0]) - centre[0]
            y = origin[1] + t * (axes[0, 1] + u * axes[1, 1] + v * axes[2, 1]) - centre[1]
            z = origin[2] + t * (axes[0, 2] + u * axes[1, 2] + v * axes[2, 2]) - centre[2]
            along = -(x * suns[0, 0] + y * suns[0, 1] + z * suns[0, 2])
            wide = reach + 0.05 * abs(along)
            if along < -reach or x * x + y * y + z * z - along * along > wide * wide:
                continue
            for k in range(len(suns)):
                for p in range(first, count):
                    row = rows[p]
                    ox, oy, oz = into_unit(row, x + centre[0] - row[0], y + centre[1] - row[1],
                                           z + centre[2] - row[2])
                    dx, dy, dz = into_unit(row, suns[k, 0], suns[k, 1], suns[k, 2])
                    enter, leave, _ = span(shapes[p], ox, oy, oz, dx, dy, dz)
                    if enter < leave and leave > 0.0:
                        out[i, j] -= 1.0 / len(suns)
                        break
