"""Compiled loops of the world fill. They import nothing of the project, so that they are rarely compiled anew."""

from typing import Any

import numpy as np

from ex4d.compiled.kernel import inlined, kernel
from ex4d_ground.arrays import Bool, Float32, Int32, UInt8

Number = Any  # what compiled code sees as a scalar
PLANE, ROUND = 0, 1
"""Kinds of surfaces: row 15 of a surface's numbers."""
_FAR, _ANY = np.float32(1e9), np.float32(np.inf)


@inlined
def _meet(
    s: Float32, most: Number, px: Number, py: Number, pz: Number, dx: Number, dy: Number, dz: Number
) -> tuple[Number, Number, Number]:
    """Distance along the ray in terms of (dx, dy, dz), and the place on a surface, -1..1 each where it is textured.

    (px, py, pz) is the ray's origin in the surface's own axes. From the distance ``most`` on the place is not looked
    for.
    ``s`` [16]: three axes, each over rows of three; origin 9..11 of them (of a plane: its distance along the third
    axis in 11); half the extent 12, 13; the radius 14; the kind 15.
    """
    ez = s[6] * dx + s[7] * dy + s[8] * dz
    if s[15] == PLANE:
        t = -pz / ez
        if not (t > 0 and t < _FAR):
            return _FAR, np.float32(0.0), np.float32(0.0)
        if t >= most:
            return t, np.float32(0.0), np.float32(0.0)
        ex = s[0] * dx + s[1] * dy + s[2] * dz
        ey = s[3] * dx + s[4] * dy + s[5] * dz
        return t, (px + t * ex) / s[12], (py + t * ey) / s[13]
    ex = s[0] * dx + s[1] * dy + s[2] * dz
    # A cylinder round the second axis, from inside.
    a = ex * ex + ez * ez
    b = px * ex + pz * ez
    c = px * px + pz * pz - s[14] * s[14]
    root = b * b - a * c
    if not (root >= 0 and a > 1e-12):
        return _FAR, np.float32(0.0), np.float32(0.0)
    t = (np.sqrt(root) - b) / a
    if not t > 0:
        return _FAR, np.float32(0.0), np.float32(0.0)
    if t >= most:
        return t, np.float32(0.0), np.float32(0.0)
    ey = s[3] * dx + s[4] * dy + s[5] * dz
    return t, np.arctan2(px + t * ex, pz + t * ez) / s[12], (py + t * ey) / s[14] / s[13]


@inlined
def _folded(place: Number, size: Number) -> Number:
    """-1..1 as pixel index 0..size-1; beyond, the texture goes back the way it came."""
    at = (place + np.float32(1.0)) * np.float32(0.5)
    at = at - np.float32(2.0) * np.floor(at * np.float32(0.5))
    if at > 1:
        at = np.float32(2.0) - at
    return min(max(at * size - np.float32(0.5), np.float32(0.0)), np.float32(size - 1))


@kernel
def _origins(surfaces: Float32, pose: Float32) -> Float32:  # [S, 16], [3, 4] -> [S, 3]
    """Where all rays begin, in the surfaces' own axes."""
    count = surfaces.shape[0]
    origins = np.empty((count, 3), np.float32)
    for n in range(count):
        s = surfaces[n]
        for axis in range(3):
            along = s[3 * axis] * pose[0, 3] + s[3 * axis + 1] * pose[1, 3] + s[3 * axis + 2] * pose[2, 3]
            origins[n, axis] = along - s[9 + axis]
    return origins


@inlined
def _ray(pose: Float32, lens: Float32, i: Number, j: Number) -> tuple[Number, Number, Number]:
    """Direction of the ray of a pixel's centre, 1 along the camera's axis."""
    y = (np.float32(i) + np.float32(0.5) - lens[3]) / lens[1]
    x = (np.float32(j) + np.float32(0.5) - lens[2]) / lens[0]
    dx = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2]
    dy = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2]
    dz = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2]
    return dx, dy, dz


@inlined
def _texel(place: Number, size: Number) -> Number:
    """The texel of a place between -1 and 1."""
    return int(_folded(place, size) + 0.5)


@inlined
def _nearest(
    surfaces: Float32, openings: Bool, things: Float32, outlines: Bool, origins: Float32, starts: Float32,
    dx: Number, dy: Number, dz: Number,
) -> tuple[Number, Number, Number, Number]:  # fmt: skip
    """The nearest of the surfaces, not open there, and things that a ray meets: its distance, number and place.

    ``origins`` are the ray's in the axes of the surfaces, ``starts`` in those of the things. Things' numbers go on
    where the surfaces' end; -1: none.
    """
    best, chosen, u, v = _FAR, -1, np.float32(0.0), np.float32(0.0)
    count, size = surfaces.shape[0], openings.shape[1]
    for n in range(count):
        t, p, q = _meet(surfaces[n], best, origins[n, 0], origins[n, 1], origins[n, 2], dx, dy, dz)
        if t >= best:
            continue
        inside = surfaces[n, 15] == PLANE and abs(p) < 1 and abs(q) < 1
        if inside and openings[n, _texel(q, size), _texel(p, size)]:
            continue
        best, chosen, u, v = t, n, p, q
    size = outlines.shape[1]
    for n in range(things.shape[0]):
        t, p, q = _meet(things[n], best, starts[n, 0], starts[n, 1], starts[n, 2], dx, dy, dz)
        if t < best and abs(p) < 1 and abs(q) < 1 and outlines[n, _texel(q, size), _texel(p, size)]:
            best, chosen, u, v = t, count + n, p, q
    return best, chosen, u, v


@inlined
def _level(
    s: Float32, size: Number, pose: Float32, lens: Float32,
    px: Number, py: Number, pz: Number, dx: Number, dy: Number, dz: Number, u: Number, v: Number,
) -> tuple[Number, Number, Number]:  # fmt: skip
    """Side of the level of a surface's texture that a pixel at (u, v) of it needs, and its first row and column."""
    # A pixel's size on the surface, in texels: of the neighbours to the right and below.
    _, p, q = _meet(
        s, _ANY, px, py, pz, dx + pose[0, 0] / lens[0], dy + pose[1, 0] / lens[0], dz + pose[2, 0] / lens[0]
    )
    across = np.sqrt(np.float64((p - u) ** 2 + (q - v) ** 2))
    _, p, q = _meet(
        s, _ANY, px, py, pz, dx + pose[0, 1] / lens[1], dy + pose[1, 1] / lens[1], dz + pose[2, 1] / lens[1]
    )
    along = np.sqrt(np.float64((p - u) ** 2 + (q - v) ** 2))
    # Nearer to the longer of them: a floor's joints that are seen at a low angle flickered by their mean.
    longer = max(across, along) / max(min(across, along), 1e-12)
    texels = np.sqrt(across * along) * longer**0.2 * np.float32(0.5) * size
    level, side, top, left = 0, size, 0, 0
    while texels > 1.5 and side > 8:
        top, left = (0 if level == 0 else top + side), size
        level, side, texels = level + 1, side // 2, texels * np.float32(0.5)
    return side, top, left


@inlined
def _around(
    s: Float32, size: Number, pose: Float32, lens: Float32,
    px: Number, py: Number, pz: Number, dx: Number, dy: Number, dz: Number, u: Number, v: Number,
) -> tuple[Number, Number, Number, Number, Number, Number]:  # fmt: skip
    """The texels round the place (u, v) of a surface, in the level that a pixel there needs, as _between takes them."""
    side, top, left = _level(s, size, pose, lens, px, py, pz, dx, dy, dz, u, v)
    r, c = _folded(v, side), _folded(u, side)
    r0, c0 = int(r), int(c)
    return top + r0, left + c0, top + min(r0 + 1, side - 1), left + min(c0 + 1, side - 1), r - r0, c - c0


@inlined
def _between(
    texture: UInt8, channel: int, r0: Number, c0: Number, r1: Number, c1: Number, a: Number, b: Number
) -> Number:
    """A channel between four texels: ``a`` of the way from row r0 to r1, ``b`` from column c0 to c1."""
    upper = (1 - b) * texture[r0, c0, channel]
    upper += b * texture[r0, c1, channel]
    lower = (1 - b) * texture[r1, c0, channel]
    lower += b * texture[r1, c1, channel]
    return (1 - a) * upper + a * lower


@kernel
def paint_world(
    surfaces: Float32,  # [S, 16] as _meet takes them
    textures: UInt8,  # [S, T, 2 * T, 4] RGB and trust; level 0 left, the smaller ones in a column beside it
    openings: Bool,  # [S, T, T] where a surface is seen through
    things: Float32,  # [K, 16] planes that things go on in
    thing_textures: UInt8,  # [K, t, 2 * t, 4]
    outlines: Bool,  # [K, t, t] where a thing is
    lens: Float32,  # [4] fx, fy, cx, cy of the picture
    pose: Float32,  # [3, 4] world from camera
    wanted: Bool,  # [H, W] pixels to paint
    coloured: Bool,  # [H, W] those of them that get more than a distance
    colour: Float32,  # [H, W, 3] out, where coloured
    inverse: Float32,  # [H, W] out, where wanted: 1 / z of the surface painted, 0 where none is met
    trust: Float32,  # [H, W] out, where coloured: 0..1, how much of the colour stands on something that is seen
    which: Int32,  # [H, W] out, where wanted: the surface painted, S and more for things, -1 for none
    first: int,
) -> None:
    """Paint pixels with the nearest surface that is not open there. The arrays may be rows of it from ``first`` on."""
    height, width = wanted.shape
    count = surfaces.shape[0]
    origins, starts = _origins(surfaces, pose), _origins(things, pose)
    for i in range(height):
        for j in range(width):
            if not wanted[i, j]:
                continue
            inverse[i, j], trust[i, j], which[i, j] = 0, 0, -1
            dx, dy, dz = _ray(pose, lens, first + i, j)
            best, chosen, u, v = _nearest(surfaces, openings, things, outlines, origins, starts, dx, dy, dz)
            if chosen < 0:
                continue
            inverse[i, j], which[i, j] = 1 / best, chosen
            if not coloured[i, j]:
                continue
            if chosen < count:
                surface, texture, origin = surfaces[chosen], textures[chosen], origins[chosen]
            else:
                surface, texture, origin = (
                    things[chosen - count],
                    thing_textures[chosen - count],
                    starts[chosen - count],
                )
            size = texture.shape[0]
            around = _around(surface, size, pose, lens, origin[0], origin[1], origin[2], dx, dy, dz, u, v)
            for channel in range(4):
                value = _between(texture, channel, *around)
                if channel < 3:
                    colour[i, j, channel] = value
                else:
                    trust[i, j] = value / np.float32(255.0)


@kernel
def find_planes_shown(
    surfaces: Float32,  # [S, 16], and so on, as paint_world takes them
    textures: UInt8,  # [S, T, 2 * T, 4]
    openings: Bool,  # [S, T, T]
    things: Float32,  # [K, 16]
    thing_textures: UInt8,  # [K, t, 2 * t, 4]
    outlines: Bool,  # [K, t, t]
    lens: Float32,  # [4]
    pose: Float32,  # [3, 4]
    wanted: Bool,  # [H, W] pixels to look at
    planes: int,  # how many of the surfaces are planes, from the first on
    least: float,  # trust, 0..1
    out: Bool,  # [H, W] out, where wanted: whether that shows a plane, and is trusted so much at least
    first: int,
) -> None:
    """What :func:`paint_world` paints with a plane that is to be trusted, without its colours: a third of the time."""
    height, width = wanted.shape
    size = textures.shape[1]
    origins, starts = _origins(surfaces, pose), _origins(things, pose)
    for i in range(height):
        for j in range(width):
            if not wanted[i, j]:
                continue
            dx, dy, dz = _ray(pose, lens, first + i, j)
            _, chosen, u, v = _nearest(surfaces, openings, things, outlines, origins, starts, dx, dy, dz)
            if chosen < 0 or chosen >= planes:
                out[i, j] = False
                continue
            px, py, pz = origins[chosen, 0], origins[chosen, 1], origins[chosen, 2]
            around = _around(surfaces[chosen], size, pose, lens, px, py, pz, dx, dy, dz, u, v)
            value = _between(textures[chosen], np.int64(3), *around)
            out[i, j] = np.float32(value / np.float32(255.0)) >= least
