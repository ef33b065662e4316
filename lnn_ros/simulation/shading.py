"""What a surface looks like: textures, light, shadows, fog and sky of the camera.

Colours are linear light, obtained from the world's display colours by squaring; the picture is
encoded by the square root (a gamma of 2, exact on every CPU). For the kernels' arithmetic and
numba's cache the rules of :mod:`lnn_ros.simulation.rays` hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnn_ros.simulation.rays import (
    BOX,
    ELLIPSOID,
    GROUND,
    SKY,
    Ints,
    Reals,
    Texels,
    inlined,
    jit,
)

NOISE, STRIPES, CHECKER, BARK, LEAVES = 1, 2, 3, 4, 5
"""Patterns: those of the world, and how stripes and noise look on a tree."""
EXPOSURE = 1.3
_X, _Y, _Z = 0x1B873593, 0x165667B1, 0x27D4EB2F


class Scene(NamedTuple):
    """Tables of a world; index 0 of a material is the ground's, k + 1 the primitive k's."""

    shapes: Ints
    """Shape of every primitive."""
    rows: Reals
    """Geometry of every primitive, see :mod:`lnn_ros.simulation.rays`."""
    patterns: Ints
    """Pattern of every material."""
    paints: Reals
    """Linear colour (3), linear accent (3) and scale of every material."""
    salts: Ints
    """Start of every material's pseudo-random numbers."""
    light: Reals
    """Sun's direction (3), sun, ambient, linear zenith (3) and horizon (3), fog distance."""
    grid: Reals
    """x and y of the ground maps' first texel, texels per metre."""
    cover: Texels
    """Ground map: how far along the ray to the sun the last solid ends; -1: none."""
    shadow: Texels
    """Ground map: share of the sun that is seen."""
    hollow: Texels
    """Ground map: share of the sky that is seen."""
    verge: Texels
    """Ground map: metres beyond a road's edge, on the road negative; empty without a road. A
    road's surface and lines are the last two of ``paints``."""
    line: float
    """Width of a road's edge lines, metres."""


@inlined
def scatter(h: int) -> int:
    """30 pseudo-random bits for a lattice point's number."""
    h &= 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    h = ((h ^ (h >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0x3FFFFFFF


@inlined
def ease(x: float) -> float:
    """Smooth step from 0 to 1."""
    return x * x * (3.0 - 2.0 * x)


@inlined
def noise(x: float, y: float, z: float, salt: int) -> tuple[float, float, float]:
    """Three values of smooth noise, each in [0, 1], with features of size 1.

    Inlined, as most callers want one of them and the others are left out there.
    """
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    ax, ay, az = ease(x - fx), ease(y - fy), ease(z - fz)
    bx, by = 1.0 - ax, 1.0 - ay
    here = int(fx) * _X + int(fy) * _Y + int(fz) * _Z + salt
    h00, h10 = scatter(here), scatter(here + _X)
    h01, h11 = scatter(here + _Y), scatter(here + _X + _Y)
    w00, w10, w01, w11 = bx * by, ax * by, bx * ay, ax * ay
    a = w00 * (h00 & 1023) + w10 * (h10 & 1023) + w01 * (h01 & 1023) + w11 * (h11 & 1023)
    b = w00 * ((h00 >> 10) & 1023) + w10 * ((h10 >> 10) & 1023) \
        + w01 * ((h01 >> 10) & 1023) + w11 * ((h11 >> 10) & 1023)
    c = w00 * (h00 >> 20) + w10 * (h10 >> 20) + w01 * (h01 >> 20) + w11 * (h11 >> 20)
    if az > 0.0:
        here += _Z
        h00, h10 = scatter(here), scatter(here + _X)
        h01, h11 = scatter(here + _Y), scatter(here + _X + _Y)
        bz = 1.0 - az
        a = bz * a + az * (w00 * (h00 & 1023) + w10 * (h10 & 1023)
                           + w01 * (h01 & 1023) + w11 * (h11 & 1023))
        b = bz * b + az * (w00 * ((h00 >> 10) & 1023) + w10 * ((h10 >> 10) & 1023)
                           + w01 * ((h01 >> 10) & 1023) + w11 * ((h11 >> 10) & 1023))
        c = bz * c + az * (w00 * (h00 >> 20) + w10 * (h10 >> 20)
                           + w01 * (h01 >> 20) + w11 * (h11 >> 20))
    return a / 1023.0, b / 1023.0, c / 1023.0


@jit
def layers(x: float, y: float, z: float, salt: int, blur: float, octaves: int) -> float:
    """Noise in [0, 1] with ever finer octaves; those finer than ``blur`` (a pixel) fade to grey."""
    total, size, weight = 0.0, 1.0, 0.55
    for octave in range(octaves):
        keep = min(1.5 - blur / size, 1.0)
        if keep <= 0.0:
            break
        value, _, _ = noise(x / size, y / size, z / size, salt + octave)
        total += keep * weight * (value - 0.5)
        size *= 0.4
        weight *= 0.7
    # Noise crowds around its mean: stretch it over the range between both colours.
    return min(max(0.5 + 1.7 * total, 0.0), 1.0)


@jit
def square_wave(x: float, blur: float) -> float:
    """Mean over a width ``blur`` of the wave that is -1 in [0, 1), 1 in [1, 2), and so on."""
    width = max(blur, 1e-6)
    low, high = 0.5 * (x - 0.5 * width), 0.5 * (x + 0.5 * width)
    low -= np.floor(low)
    high -= np.floor(high)
    # The integral of the wave is a triangle, which returns to 0 with every period.
    return min(max((abs(2.0 * high - 1.0) - abs(2.0 * low - 1.0)) / width, -1.0), 1.0)


@jit
def turn(x: float, y: float) -> float:
    """Angle of (x, y) around the origin in turns, 0 to 1, good to 0.0006."""
    ax, ay = abs(x), abs(y)
    ratio = min(ax, ay) / max(ax, ay, 1e-12)
    # atan(r) is r (pi/4 + 0.273 (1 - r)) to 0.0038 rad
    part = ratio * (0.125 + 0.04345 * (1.0 - ratio))
    if ay > ax:
        part = 0.25 - part
    if x < 0.0:
        part = 0.5 - part
    return 1.0 - part if y < 0.0 else part


@jit
def mixed(pattern: int, shape: int, face: int, x: float, y: float, z: float, radius: float,
          scale: float, salt: int, blur: float) -> float:
    """Share of the accent colour at a point of a surface, in the solid's own frame, metres."""
    width = blur / scale
    if pattern == NOISE:
        return layers(x / scale, y / scale, z / scale, salt, width, 3)
    if pattern == 0:
        return 0.0
    flat = shape == BOX or face == 2
    around = 2.0 * max(np.floor(3.1415927 * radius / scale + 0.5), 1.0) * turn(x, y)
    if pattern == STRIPES:
        if flat:
            return 0.5 + 0.5 * square_wave((y if face == 0 else x) / scale, width)
        return 0.5 + 0.5 * square_wave(around, width)
    if pattern == BARK:  # ragged, broken stripes
        if flat:
            return 0.5
        a, b, _ = noise(x * 6.0, y * 6.0, z * 1.3, salt)
        rough = layers(x * 14.0, y * 14.0, z * 5.0, salt + 7, blur * 14.0, 2)
        return min(max(0.2 + 0.6 * b + 0.3 * square_wave(around + 2.5 * a, max(width, 0.5))
                       + 0.7 * (rough - 0.5), 0.0), 1.0)
    if flat:
        a = 1.0 if face == 0 else square_wave(x / scale, width)
        b = 1.0 if face == 1 else square_wave(y / scale, width)
        c = 1.0 if face == 2 else square_wave(z / scale, width)
        return 0.5 + 0.5 * a * b * c
    return 0.5 + 0.5 * square_wave(around, width) * square_wave(z / scale, width)


@jit
def bilinear(field: Texels, grid: Reals, x: float, y: float) -> float:
    """Value of a ground map at (x, y); 1 outside of it."""
    gx, gy = (x - grid[0]) * grid[2], (y - grid[1]) * grid[2]
    ny, nx = field.shape
    if not (0.0 <= gx < nx - 1.0 and 0.0 <= gy < ny - 1.0):
        return 1.0
    ix, iy = int(gx), int(gy)
    ax, ay = gx - ix, gy - iy
    return (field[iy, ix] * (1.0 - ax) + field[iy, ix + 1] * ax) * (1.0 - ay) \
        + (field[iy + 1, ix] * (1.0 - ax) + field[iy + 1, ix + 1] * ax) * ay


@jit
def sunlit(cover: Texels, grid: Reals, light: Reals, x: float, y: float, z: float) -> float:
    """Share of the sun that reaches a point of a solid: none below what covers the ground."""
    along = z / light[2]
    gx = (x - light[0] * along - grid[0]) * grid[2]
    gy = (y - light[1] * along - grid[1]) * grid[2]
    ny, nx = cover.shape
    if not (0.0 <= gx < nx - 1.0 and 0.0 <= gy < ny - 1.0):
        return 1.0
    ix, iy = int(gx), int(gy)
    ax, ay = gx - ix, gy - iy
    lit = 1.0
    for k in range(4):
        dx, dy = k & 1, k >> 1
        weight = (ax if dx else 1.0 - ax) * (ay if dy else 1.0 - ay)
        above = cover[iy + dy, ix + dx] - along - 0.1
        lit -= weight * min(max(above * 5.0, 0.0), 1.0)
    return lit


@jit
def sky(dx: float, dy: float, dz: float, blur: float, salt: int, light: Reals, out: Reals) -> None:
    """Linear colour of the sky along a unit direction, with thin clouds and distant hills."""
    rise = np.sqrt(max(dz, 0.0))
    away = 1.0 - (dx * light[0] + dy * light[1] + dz * light[2])
    glow = light[3] * (0.006 / (0.012 + away) + 3.0 * min(max(1.5 - away * 1500.0, 0.0), 1.0))
    cloud = hill = 0.0
    if dz > 0.03:
        flat = 1.6 / (dz + 0.12)  # where the direction meets a layer of clouds
        cloud = layers(dx * flat, dy * flat, 0.0, salt, blur * flat * flat, 3)
        cloud = 0.5 * min(max(3.0 * (cloud - 0.52), 0.0), 1.0) * min(5.0 * (dz - 0.03), 1.0)
    if dz < 0.12:
        flat = 1.0 / np.sqrt(max(dx * dx + dy * dy, 1e-6))
        crest, _, _ = noise(dx * flat * 4.0, dy * flat * 4.0, 0.0, salt + 50)
        trees, _, _ = noise(dx * flat * 40.0, dy * flat * 40.0, 0.0, salt + 51)
        hill = min(max((0.015 + 0.06 * crest * crest + 0.008 * trees - dz) / blur, 0.0), 1.0) * 0.3
    for c in range(3):
        colour = light[8 + c] + (light[5 + c] - light[8 + c]) * rise + glow * (1.0 - 0.12 * c)
        colour += (1.05 * light[8] + 0.1 - colour) * cloud
        out[c] = colour + (light[5 + c] * 0.35 - colour) * hill


@inlined
def shade(code: int, px: float, py: float, pz: float, distance: float, blur: float, veiled: float,
          shapes: Ints, rows: Reals, patterns: Ints, paints: Reals, salts: Ints, light: Reals,
          grid: Reals, cover: Texels, shadow: Texels, hollow: Texels, verge: Texels, line: float,
          out: Reals) -> None:
    """Linear colour of the surface at a point (world frame) seen from ``distance``.

    ``blur`` is a pixel's size there, ``veiled`` the share of the sun that a vehicle leaves.
    """
    face, index = code & 3, (code >> 2) + 1
    scale, salt, pattern = paints[index, 6], salts[index], patterns[index]
    paved = lined = 0.0
    if code == GROUND:
        beyond = bilinear(verge, grid, px, py)
        soft = min(blur, 1.0)  # so that nothing is paved outside of the map, where beyond is 1
        paved = min(max(0.5 - beyond / soft, 0.0), 1.0)
        if paved > 0.0:
            away = abs(beyond + 0.5 * line) - 0.5 * line
            lined = min(max(0.5 - away / soft, 0.0), min(line / soft, 1.0))
            scale, salt, pattern = paints[len(paints) - 2, 6], salt + 1000, NOISE
        nx, ny, nz = 0.0, 0.0, 1.0
        if pattern == NOISE:
            mix = layers(px / scale, py / scale, 0.0, salt, blur / scale, 5)
            broad, _, _ = noise(px * 0.15, py * 0.15, 0.0, salt + 9)
            mix = min(max(mix + 0.8 * (broad - 0.5), 0.0), 1.0)
        else:
            mix = mixed(pattern, BOX, 2, px, py, 0.0, 1.0, scale, salt, blur)
        lit = bilinear(shadow, grid, px, py)
        open_ = bilinear(hollow, grid, px, py)
    else:
        k = index - 1
        shape, rx, ry, rz = shapes[k], rows[k, 3], rows[k, 4], rows[k, 5]
        wx, wy, wz = px - rows[k, 0], py - rows[k, 1], pz - rows[k, 2]
        x = rows[k, 6] * wx + rows[k, 7] * wy + rows[k, 8] * wz
        y = rows[k, 9] * wx + rows[k, 10] * wy + rows[k, 11] * wz
        z = rows[k, 12] * wx + rows[k, 13] * wy + rows[k, 14] * wz
        if shape == BOX or face == 2:
            a = (1.0 if x > 0.0 else -1.0) if face == 0 else 0.0
            b = (1.0 if y > 0.0 else -1.0) if face == 1 else 0.0
            c = (1.0 if z > 0.0 else -1.0) if face == 2 else 0.0
        else:  # scaled so that it is about a unit vector
            a, b = x * rz / (rx * rx), y * rz / (ry * ry)
            c = z / rz if shape == ELLIPSOID else 0.0
            norm = 1.0 / np.sqrt(max(a * a + b * b + c * c, 1e-12))
            a, b, c = a * norm, b * norm, c * norm
        if pattern == LEAVES:
            mix = 0.5
            size, weight = scale, 1.0
            for octave in range(3):
                keep = weight * min(1.5 - blur / size, 1.0)
                if keep <= 0.0:
                    break
                u, v, w = noise(x / size, y / size, z / size, salt + octave)
                mix += keep * (w - 0.5)
                a, b, c = a + keep * (u - 0.5), b + keep * (v - 0.5), c + keep * (w - 0.5)
                size *= 0.45
                weight *= 0.85
            mix = min(max(mix, 0.0), 1.0)
        else:
            mix = mixed(pattern, shape, face, x, y, z, rx, scale, salt, blur)
        nx = a * rows[k, 6] + b * rows[k, 9] + c * rows[k, 12]
        ny = a * rows[k, 7] + b * rows[k, 10] + c * rows[k, 13]
        nz = a * rows[k, 8] + b * rows[k, 11] + c * rows[k, 14]
        norm = 1.0 / np.sqrt(max(nx * nx + ny * ny + nz * nz, 1e-12))
        nx, ny, nz = nx * norm, ny * norm, nz * norm
        lit = sunlit(cover, grid, light, px + 0.1 * nx, py + 0.1 * ny, pz + 0.1 * nz)
        open_ = 0.6 + 0.4 * min(max(pz * 2.0, 0.0), 1.0) if nz < 0.5 else 1.0

    facing = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0) * lit * veiled * light[3]
    ambient = light[4] * (0.7 + 0.3 * nz) * open_
    haze = distance / (distance + light[11])
    for c in range(3):
        tint = 1.12 - 0.12 * c  # a slightly warm sun and a slightly blue sky
        colour = paints[index, c] + (paints[index, 3 + c] - paints[index, c]) * mix
        if paved > 0.0:
            road = len(paints) - 2
            asphalt = paints[road, c] + (paints[road, 3 + c] - paints[road, c]) * mix
            asphalt += (paints[road + 1, c] - asphalt) * lined
            colour += (asphalt - colour) * paved
        colour *= EXPOSURE * (facing * tint + ambient * (2.0 - tint))
        out[c] = colour + (light[8 + c] - colour) * haze


@inlined
def encode(value: float) -> np.uint8:
    """A display value of 0 to 255 for linear light; what is brighter than 0.6 is compressed."""
    if value > 0.6:
        over = value - 0.6
        value = 0.6 + over / (1.0 + over * 2.5)
    return np.uint8(min(np.sqrt(max(value, 0.0)) * 255.0 + 0.5, 255.0))


@jit
def develop(origin: Reals, axes: Reals, us: Reals, vs: Reals, focal: float, scene: Scene,
            veil: Reals, depth: Reals, surface: Ints, out: NDArray[np.uint8]) -> None:
    """Colour every pixel from its samples' first hits.

    Textures are filtered to a pixel's size, so samples of a pixel that hit the same face of the
    same body are shaded once, at the middle of their hits: bodies are convex, so it is inside.

    Parameters
    ----------
    origin, axes, us, vs, depth, surface
        As of :func:`lnn_ros.simulation.rays.cast`.
    focal : float
        Focal length, pixels.
    scene : Scene
        The world.
    veil : ndarray (height, width)
        Share of the sun that a vehicle leaves to each pixel.
    out : ndarray (height, width, 3) uint8
        Out: the picture.
    """
    (shapes, rows, patterns, paints, salts, light, grid, cover, shadow, hollow, verge,
     line) = scene
    samples, height, width = depth.shape
    part = np.empty(3)
    for i in range(height):
        for j in range(width):
            red = green = blue = 0.0
            done = 0
            for s in range(samples):
                if done & (1 << s):
                    continue
                code = surface[s, i, j]
                t = a = b = 0.0
                hits = 0
                for k in range(s, samples):
                    if surface[k, i, j] == code:
                        done |= 1 << k
                        hits += 1
                        w = depth[k, i, j] if code != SKY else 1.0
                        t += w
                        a += w * us[k, j]
                        b += w * vs[k, i]
                t, a, b = t / hits, a / hits, b / hits
                x = t * axes[0, 0] + a * axes[1, 0] + b * axes[2, 0]
                y = t * axes[0, 1] + a * axes[1, 1] + b * axes[2, 1]
                z = t * axes[0, 2] + a * axes[1, 2] + b * axes[2, 2]
                distance = np.sqrt(x * x + y * y + z * z)
                if code == SKY:
                    sky(x / distance, y / distance, z / distance, 1.0 / focal, salts[0], light,
                        part)
                else:
                    blur = t / focal
                    if code == GROUND:  # seen at a slant: the pixel covers more of it
                        blur *= np.sqrt(max(distance / origin[2], 1.0))
                    shade(code, origin[0] + x, origin[1] + y, origin[2] + z, distance, blur,
                          veil[i, j], shapes, rows, patterns, paints, salts, light, grid, cover,
                          shadow, hollow, verge, line, part)
                weight = hits / samples
                red += weight * part[0]
                green += weight * part[1]
                blue += weight * part[2]
            out[i, j, 0] = encode(red)
            out[i, j, 1] = encode(green)
            out[i, j, 2] = encode(blue)
