"""What a surface looks like: textures, light, shadows, fog and sky of the camera.

Colours are linear light, obtained from the world's display colours by squaring; the picture is
encoded by the square root (a gamma of 2, exact on every CPU).
"""

from __future__ import annotations

import numpy as np

from lnn_ros.simulation.rays import (
    BOX,
    CYLINDER,
    ELLIPSOID,
    GROUND,
    SKY,
    inlined,
    into_unit,
    jit,
    span,
    support,
)

NOISE, STRIPES, CHECKER = 1, 2, 3
PAINT = 7
"""Floats per material: linear colour (3), linear accent (3), scale."""
SUN, DIFFUSE, ZENITH, HORIZON, FOG = slice(0, 3), slice(3, 5), slice(5, 8), slice(8, 11), 11
"""Layout of the 12 light values: direction, sun and ambient, sky colours, fog distance."""


@inlined
def lattice(x, y, z, salt):
    """A pseudo-random number in [0, 1] for a lattice point."""
    h = x * 0x1B873593 + y * 0x165667B1 + z * 0x27D4EB2F + salt
    h &= 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    h = ((h ^ (h >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return ((h >> 8) & 0xFFFF) / 65535.0


@inlined
def ease(x):
    """Smooth step from 0 to 1."""
    return x * x * (3.0 - 2.0 * x)


@jit
def noise(x, y, z, salt):
    """Value noise in [0, 1] with features of size 1."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    ax, ay, az = ease(x - fx), ease(y - fy), ease(z - fz)
    low = ((1.0 - ax) * lattice(ix, iy, iz, salt) + ax * lattice(ix + 1, iy, iz, salt)) * (1.0 - ay) \
        + ((1.0 - ax) * lattice(ix, iy + 1, iz, salt)
           + ax * lattice(ix + 1, iy + 1, iz, salt)) * ay
    if az == 0.0:
        return low
    iz += 1
    high = ((1.0 - ax) * lattice(ix, iy, iz, salt) + ax * lattice(ix + 1, iy, iz, salt)) * (1.0 - ay) \
        + ((1.0 - ax) * lattice(ix, iy + 1, iz, salt)
           + ax * lattice(ix + 1, iy + 1, iz, salt)) * ay
    return low * (1.0 - az) + high * az


@jit
def layered_noise(x, y, z, salt, blur):
    """Three octaves of value noise; those finer than ``blur`` (a pixel's size) fade into grey."""
    total = 0.5
    size, weight = 1.0, 0.55
    for octave in range(3):
        keep = 1.5 - blur / size
        if keep <= 0.0:
            break
        value = noise(x / size, y / size, z / size, salt + octave)
        total += min(keep, 1.0) * weight * (value - 0.5)
        size *= 0.4
        weight *= 0.65
    # Value noise crowds around its mean: stretch it over the range between both colours.
    return min(max(0.5 + 1.6 * (total - 0.5), 0.0), 1.0)


@jit
def square_wave(x, blur):
    """Mean over a width ``blur`` of the wave that is -1 in [0, 1), 1 in [1, 2), and so on."""
    width = max(blur, 1e-6)
    low, high = 0.5 * (x - 0.5 * width), 0.5 * (x + 0.5 * width)
    low -= np.floor(low)
    whole = np.floor(high)
    high -= whole
    whole -= np.floor(0.5 * (x - 0.5 * width))
    # Integral of the wave over one period is a triangle that returns to 0.
    area = (abs(2.0 * high - 1.0) - abs(2.0 * low - 1.0)) + 0.0 * whole
    return min(max(area / width, -1.0), 1.0)


@jit
def turn(x, y):
    """Angle of (x, y) around the origin in turns, [0, 1), to 3e-4 turns."""
    ax, ay = abs(x), abs(y)
    ratio = min(ax, ay) / max(ax, ay, 1e-12)
    # atan(r) = r (pi/4 + 0.273 (1 - r)) to 0.0038 rad
    part = ratio * (0.125 + 0.04345 * (1.0 - ratio))
    if ay > ax:
        part = 0.25 - part
    if x < 0.0:
        part = 0.5 - part
    return 1.0 - part if y < 0.0 else part


@jit
def mix_of(pattern, shape, face, x, y, z, radius, scale, salt, blur):
    """Share of the accent colour at a point of a surface, given in the solid's own frame."""
    if pattern == NOISE:
        stretch = 0.3 if shape == CYLINDER else 1.0  # bark runs along the trunk
        return layered_noise(x / scale, y / scale, stretch * z / scale, salt, blur / scale)
    if pattern == STRIPES:
        return 0.5 + 0.5 * square_wave(z / scale, blur / scale)
    if pattern == CHECKER:
        width = blur / scale
        if shape == BOX or face == 2:
            a = 1.0 if face == 0 else square_wave(x / scale, width)
            b = 1.0 if face == 1 else square_wave(y / scale, width)
            c = 1.0 if face == 2 else square_wave(z / scale, width)
            return 0.5 + 0.5 * a * b * c
        around = 2.0 * max(np.floor(3.1415927 * radius / scale + 0.5), 1.0)
        return 0.5 + 0.5 * square_wave(around * turn(x, y), width) * square_wave(z / scale, width)
    return 0.0


@jit
def bilinear(field, grid, x, y, outside):
    """Value of a field on the ground at (x, y); grid: x and y of the first texel, texels per metre."""
    gx, gy = (x - grid[0]) * grid[2], (y - grid[1]) * grid[2]
    ny, nx = field.shape
    if not (0.0 <= gx < nx - 1.0 and 0.0 <= gy < ny - 1.0):
        return outside
    ix, iy = int(gx), int(gy)
    ax, ay = gx - ix, gy - iy
    return (field[iy, ix] * (1.0 - ax) + field[iy, ix + 1] * ax) * (1.0 - ay) \
        + (field[iy + 1, ix] * (1.0 - ax) + field[iy + 1, ix + 1] * ax) * ay


@jit
def sunlit(cover, grid, sun, x, y, z):
    """Share of the sun that reaches a point of a solid, from the heights of what covers the ground.

    ``cover`` holds, for rays from the ground to the sun, how far along them the last solid ends.
    """
    along = z / sun[2]
    gx = (x - sun[0] * along - grid[0]) * grid[2]
    gy = (y - sun[1] * along - grid[1]) * grid[2]
    ny, nx = cover.shape
    if not (0.0 <= gx < nx - 1.0 and 0.0 <= gy < ny - 1.0):
        return 1.0
    ix, iy = int(gx), int(gy)
    ax, ay = gx - ix, gy - iy
    dark = 0.0
    for k in range(4):
        dx, dy = k & 1, k >> 1
        weight = (ax if dx == 1 else 1.0 - ax) * (ay if dy == 1 else 1.0 - ay)
        above = cover[iy + dy, ix + dx] - along - 0.1
        dark += weight * min(max(above * 5.0, 0.0), 1.0)
    return 1.0 - dark


@jit
def sky(dx, dy, dz, light, out):
    """Linear colour of the sky along a unit direction."""
    rise = np.sqrt(max(dz, 0.0))
    away = 1.0 - (dx * light[0] + dy * light[1] + dz * light[2])
    glow = light[3] * (0.012 / (0.012 + away) * 0.5
                       + 3.0 * min(max(1.5 - away * 1500.0, 0.0), 1.0))
    for c in range(3):
        out[c] = light[8 + c] + (light[5 + c] - light[8 + c]) * rise + glow * (1.0 - 0.1 * c)


@jit
def shade(code, px, py, pz, distance, blur, shapes, rows, patterns, paints, salts, light, grid,
          cover, shadow, hollow, out):
    """Linear colour of a surface point (world frame) seen from ``distance``; ``blur``: pixel size."""
    index = (code >> 2) + 1  # of its material; 0 is the ground
    face = code & 3
    paint = paints[index]
    if code == GROUND:
        nx, ny, nz = 0.0, 0.0, 1.0
        mix = mix_of(patterns[0], BOX, 2, px, py, 0.0, 1.0, paint[6], salts[0], blur)
        lit = bilinear(shadow, grid, px, py, 1.0)
        open_ = bilinear(hollow, grid, px, py, 1.0)
    else:
        row, shape = rows[index - 1], shapes[index - 1]
        x, y, z = into_unit(row, px - row[0], py - row[1], pz - row[2])
        mix = mix_of(patterns[index], shape, face, x * row[3], y * row[4], z * row[5], row[3],
                     paint[6], salts[index], blur)
        if shape == BOX or face == 2:
            a = (1.0 if x > 0.0 else -1.0) if face == 0 else 0.0
            b = (1.0 if y > 0.0 else -1.0) if face == 1 else 0.0
            c = (1.0 if z > 0.0 else -1.0) if face == 2 else 0.0
        else:
            a, b = x / row[3], y / row[4]
            c = z / row[5] if shape == ELLIPSOID else 0.0
        nx = a * row[6] + b * row[9] + c * row[12]
        ny = a * row[7] + b * row[10] + c * row[13]
        nz = a * row[8] + b * row[11] + c * row[14]
        norm = 1.0 / np.sqrt(max(nx * nx + ny * ny + nz * nz, 1e-12))
        nx, ny, nz = nx * norm, ny * norm, nz * norm
        lit = sunlit(cover, grid, light, px + 0.1 * nx, py + 0.1 * ny, pz + 0.1 * nz)
        open_ = 0.55 + 0.45 * min(max(pz * 2.0, 0.0), 1.0) if nz < 0.5 else 1.0

    facing = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0) * lit * light[3]
    ambient = light[4] * (0.7 + 0.3 * nz) * open_
    haze = distance / (distance + light[11])
    for c in range(3):
        tint = 1.06 - 0.06 * c  # a slightly warm sun and a slightly blue sky
        colour = paint[c] + (paint[3 + c] - paint[c]) * mix
        out[c] = colour * (facing * tint + ambient * (2.0 - tint)) * (1.0 - haze) + light[8 + c] * haze


@jit
def develop(origin, axes, us, vs, focal, shapes, rows, patterns, paints, salts, light, grid, cover,
            shadow, hollow, depth, surface, out):
    """Colour every pixel from its samples' first hits.

    Textures are filtered to a pixel's size, so samples of a pixel that hit the same face of the
    same body are shaded once, at the middle of their hits: bodies are convex, so it is inside.
    """
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
                share = 1.0 / hits
                t, a, b = t * share, a * share, b * share
                x = t * axes[0, 0] + a * axes[1, 0] + b * axes[2, 0]
                y = t * axes[0, 1] + a * axes[1, 1] + b * axes[2, 1]
                z = t * axes[0, 2] + a * axes[1, 2] + b * axes[2, 2]
                distance = np.sqrt(x * x + y * y + z * z)
                if code == SKY:
                    sky(x / distance, y / distance, z / distance, light, part)
                else:
                    blur = t / focal
                    if code == GROUND:  # seen at a slant: the pixel covers more of it
                        blur *= np.sqrt(max(distance / origin[2], 1.0))
                    shade(code, origin[0] + x, origin[1] + y, origin[2] + z, distance, blur, shapes,
                          rows, patterns, paints, salts, light, grid, cover, shadow, hollow, part)
                weight = hits / samples
                red += weight * part[0]
                green += weight * part[1]
                blue += weight * part[2]
            out[i, j, 0] = encode(red)
            out[i, j, 1] = encode(green)
            out[i, j, 2] = encode(blue)


@inlined
def encode(value):
    """A display value of 0 to 255 for linear light; what is brighter than 0.6 is compressed."""
    if value > 0.6:
        over = value - 0.6
        value = 0.6 + over / (1.0 + over * 2.5)
    return np.uint8(min(np.sqrt(max(value, 0.0)) * 255.0 + 0.5, 255.0))


@jit
def bake(shapes, rows, count, suns, grid, cover, shadow, hollow):
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
