"""Compiled loops of :mod:`ex4d.dwmesh.memory`: which pixels of a frame the others confirm, and what of them is new."""

import numpy as np

from ex4d.compiled.kernel import inlined, kernel
from ex4d.dwmesh.moving_backdrop import colour_at, place, seen_from
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8

UNCONFIRMED, CONFIRMED, CONTRADICTED = 0, 1, 2
"""What the frames say of a pixel."""
BEHIND = 1.003
"""Factor on the depth of what a frame shows with which the memory lies behind it."""
LEAST_INVERSE = 1e-9
"""The inverse depth of a plane between four pixels is no less: it may pass through the horizon."""
GONE, SAME, KEPT = 0, 1, 2
"""What a frame says of a remembered vertex: looked through, shown already, or behind or beside what it shows."""


@inlined
def shown_at(depth: Float32, crossed: Bool, u: float, v: float) -> float:  # [H, W], [H - 1, W - 1]
    """Depth of what a frame shows at (u, v) in its picture: of the plane between four pixels of one surface, else the
    nearest pixel's."""
    height, width = depth.shape
    i, j = min(max(int(u), 0), width - 2), min(max(int(v), 0), height - 2)
    if crossed[j, i]:
        return depth[min(max(int(v + 0.5), 0), height - 1), min(max(int(u + 0.5), 0), width - 1)]
    a, b = u - i, v - j
    top = (1 - a) / depth[j, i] + a / depth[j, i + 1]
    bottom = (1 - a) / depth[j + 1, i] + a / depth[j + 1, i + 1]
    return 1 / max((1 - b) * top + b * bottom, LEAST_INVERSE)


@kernel
def mark_covered(
    depth: Float32,  # [H, W] of the frame that is looked at
    depths: Float32,  # [K, H, W]
    crossed: Bool,  # [K, H - 1, W - 1] quads with a depth edge
    held: UInt8,  # [K, H, W] pixels whose surface is remembered already
    by: Bool,  # [K] the frames that are asked
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4]
    lens: Float64,  # [4] the frame's
    same_depth: float,
    coarser: float,  # factor by which a surface may be farther from where it was remembered from
    first: int,
    last: int,
    out: UInt8,  # [H, W] written for rows first..last-1
) -> None:
    """Pixels whose surface other frames put into the memory, about as finely as this one would."""
    count, height, width = depths.shape
    for j in range(first, last):
        for i in range(width):
            z, found = depth[j, i], 0
            for k in range(count):
                if not by[k]:
                    continue
                u, v, there = place(poses[k], lens, lenses[k], i, j, z)
                if there <= 0 or there > coarser * z or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                    continue
                row, column = int(v + 0.5), int(u + 0.5)
                if held[k, row, column] and abs(shown_at(depths[k], crossed[k], u, v) / there - 1) <= same_depth:
                    found = 1
                    break
            out[j, i] = found


@kernel
def alike(picture: UInt8, row: int, column: int, wanted: Float64, limit: float) -> bool:  # [H, W, 3], [3]
    """Whether a colour lies within ``limit`` levels of what the nine pixels around one show, channel by channel."""
    height, width = picture.shape[:2]
    for channel in range(3):
        least, most = 255, 0
        for j in range(max(row - 1, 0), min(row + 2, height)):
            for i in range(max(column - 1, 0), min(column + 2, width)):
                least, most = min(least, picture[j, i, channel]), max(most, picture[j, i, channel])
        if wanted[channel] < least - limit or wanted[channel] > most + limit:
            return False
    return True


@kernel
def vote(
    depth: Float32,  # [H, W] of the frame that is looked at
    colour: UInt8,  # [H, W, 3]
    wanted: Bool,  # [H, W]
    depths: Float32,  # [K, H, W]
    crossed: Bool,  # [K, H - 1, W - 1] quads with a depth edge
    nearest: Float32,  # [K, H, W] least depth around each pixel
    colours: UInt8,  # [K, H, W, 3]
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4]
    lens: Float64,  # [4] the frame's
    limits: Float64,  # [3] share of depth, levels of colour, share of frames that look through
    first: int,
    last: int,
    out: UInt8,  # [H, W] written for rows first..last-1, as are the others
    out_depth: Float32,  # [H, W] the median of what confirms it
    out_colour: UInt8,  # [H, W, 3]
) -> None:
    """Ask all frames, the pixel's own among them, about the wanted pixels.

    They agree where the median of their colours is among what each shows around the place: on what is finer than a
    pixel, no two frames' pixels lie alike. Of what is nearer in all other frames that look there, the own is believed.
    """
    count, height, width = depths.shape
    seen, ratios = np.empty((count, 3)), np.empty(count)
    middle, at = np.empty(3), np.empty((count, 3), np.int64)
    for j in range(first, last):
        for i in range(width):
            out[j, i] = UNCONFIRMED
            if not wanted[j, i]:
                continue
            z, n, through, blocked, asked = depth[j, i], 0, 0, 0, 0
            for k in range(count):
                u, v, there = place(poses[k], lens, lenses[k], i, j, z)
                if there <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                    continue
                row, column = int(v + 0.5), int(u + 0.5)
                asked += 1
                ratio = shown_at(depths[k], crossed[k], u, v) / there
                if abs(ratio - 1) <= limits[0]:
                    for channel in range(3):
                        seen[n, channel] = colour_at(colours[k], u, v, channel)
                    ratios[n] = ratio
                    at[n] = k, row, column
                    n += 1
                elif nearest[k, row, column] > (1 + limits[0]) * there:
                    through += 1
                elif ratio < 1:
                    blocked += 1
            if through > limits[2] * n:
                out[j, i] = CONTRADICTED
                continue
            if n < 2:
                if asked == n + blocked:  # nobody else could see it, to confirm or to contradict it
                    out[j, i] = CONFIRMED
                continue
            for channel in range(3):
                middle[channel] = np.sort(seen[:n, channel])[n // 2]
            agree = 0
            for m in range(n):
                if alike(colours[at[m, 0]], at[m, 1], at[m, 2], middle, limits[1]):
                    ratios[agree] = ratios[m]
                    agree += 1
            if agree >= 2 and alike(colour, j, i, middle, limits[1]):
                out[j, i] = CONFIRMED
                out_depth[j, i] = z * np.sort(ratios[:agree])[agree // 2]
                for channel in range(3):
                    out_colour[j, i, channel] = np.uint8(middle[channel] + 0.5)


@kernel
def place_vertices(
    world: Float32,  # [V, 3]
    pose: Float64,  # [4, 4] the frame's axes from the world's
    lens: Float64,
    own: Float32,  # [H, W] what the frame shows
    farthest: Float32,  # [H, W] greatest depth around each pixel
    crossed: Bool,  # [H - 1, W - 1] quads with a depth edge
    same_depth: float,
    seam: float,  # pixels beside the picture within which it still decides
    state: UInt8,  # [V] GONE, SAME or KEPT
    out: Float32,  # [V, 3] in the frame's axes
) -> None:
    """Bring remembered vertices into a frame's axes, and tell those that it shows or looks through from the rest.

    What the frame shows as well is laid just behind its own surface, so that the memory goes on from there without a
    crack and never covers it.
    """
    height, width = own.shape
    for n in range(len(world)):
        x, y, z = world[n, 0], world[n, 1], world[n, 2]
        a = pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]
        b = pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]
        c = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
        out[n, 0], out[n, 1], out[n, 2] = a, b, c
        state[n] = KEPT
        if c <= 0:
            continue
        u, v = a / c * lens[0] + lens[2], b / c * lens[1] + lens[3]
        if not (-0.5 - seam < u < width - 0.5 + seam and -0.5 - seam < v < height - 0.5 + seam):
            continue
        inside = -0.5 <= u < width - 0.5 and -0.5 <= v < height - 0.5
        row, column = min(max(int(v + 0.5), 0), height - 1), min(max(int(u + 0.5), 0), width - 1)
        shown = shown_at(own, crossed, u, v)
        if c > (1 + same_depth) * shown:
            # At the rim of what hides it, it goes on from the background that the frame shows beside.
            far = farthest[row, column]
            if (1 - same_depth) * far <= c < BEHIND * far:
                for axis in range(3):
                    out[n, axis] *= BEHIND * far / c
        elif c >= (1 - same_depth) * shown:
            lies = max(c, BEHIND * shown)
            for axis in range(3):
                out[n, axis] *= lies / c
            if inside:
                state[n] = SAME
        elif inside:
            state[n] = GONE


@kernel
def choose_faces(faces: Int32, state: UInt8, index: Int32, out: Int32) -> tuple[int, int]:  # [F, 3], [V], [V], [F, 3]
    """Faces of which nothing is gone and something is new, with the places of their vertices in ``index``.

    ``index`` starts as -1, and numbers what is used in the order of the vertices; returns how many faces and vertices
    there are.
    """
    count, used = 0, 0
    for n in range(len(faces)):
        a, b, c = state[faces[n, 0]], state[faces[n, 1]], state[faces[n, 2]]
        if min(a, b, c) == GONE or max(a, b, c) != KEPT:
            continue
        for corner in range(3):
            out[count, corner] = faces[n, corner]
            index[faces[n, corner]] = 0
        count += 1
    for n in range(len(index)):
        if index[n] == 0:
            index[n] = used
            used += 1
    for n in range(count):
        for corner in range(3):
            out[n, corner] = index[out[n, corner]]
    return count, used


@kernel
def limit_thickness(
    depth: Float32,  # [H, W]
    rim: Bool,  # [H, W] pixels that walls begin at
    ray_x: Float32,  # [W]
    ray_y: Float32,  # [H]
    depths: Float32,  # [K, h, w]
    crossed: Bool,  # [K, h - 1, w - 1]
    nearest: Float32,  # [K, h, w] least depth around each pixel
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4]
    limits: Float64,  # [4] of the rim: shares of depth, of frames; of walls: share of depth, and frames
    steps: int,
    first: int,
    last: int,
    thickness: Float32,  # [H, W] shortened in rows first..last-1
) -> None:
    """Let walls end where two frames look through them, of things that the frames agree stand still."""
    count, height, width = depths.shape
    for j in range(first, last):
        for i in range(len(ray_x)):
            if not rim[j, i]:
                continue
            full = thickness[j, i]
            for step in range(steps + 1):
                z = depth[j, i] + full * step / steps
                there, through = 0, 0
                for k in range(count):
                    u, v, c = seen_from(poses[k], lenses[k], ray_x[i] * z, ray_y[j] * z, z)
                    if c <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                        continue
                    ratio = shown_at(depths[k], crossed[k], u, v) / c
                    if step == 0:  # leaves are hardly larger than a pixel: one beside it will do
                        around = nearest[k, int(v + 0.5), int(u + 0.5)] / c
                        if abs(ratio - 1) <= limits[0] or abs(around - 1) <= limits[0]:
                            there += 1
                        elif around > 1:
                            through += 1
                    elif ratio > 1 + limits[2]:
                        through += 1
                if step == 0:
                    if there < 2 or through > limits[1] * there:
                        break  # it moves, or nobody knows
                elif through >= limits[3]:
                    thickness[j, i] = full * (step - 1) / steps
                    break


@kernel
def drop_known(
    strips: Float32,  # [N, 4, 3] corners in a frame's axes: left and right above, then below; changed
    depths: Float32,  # [K, h, w]
    crossed: Bool,  # [K, h - 1, w - 1]
    nearest: Float32,  # [K, h, w] least depth around each pixel
    poses: Float64,  # [K, 4, 4] axes of each from the frame's
    lenses: Float64,  # [K, 4]
    limits: Float64,  # [3] shares of depth, of what is in place and behind it, and frames
    steps: int,
) -> None:
    """Take their area from strips in whose place, anywhere along them, enough frames see a surface or look through."""
    count, height, width = depths.shape
    for n in range(len(strips)):
        strip = strips[n].astype(np.float64)
        start, end = 0.5 * (strip[0] + strip[2]), 0.5 * (strip[1] + strip[3])
        if (start == end).all():
            continue
        for step in range(steps):
            x, y, z = start + (end - start) * (2 * step + 1) / (2 * steps)
            there, through = 0, 0
            for k in range(count):
                u, v, c = seen_from(poses[k], lenses[k], x, y, z)
                if c <= 0 or not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                    continue
                ratio = shown_at(depths[k], crossed[k], u, v) / c
                around = nearest[k, int(v + 0.5), int(u + 0.5)] / c
                there += abs(ratio - 1) <= limits[0] or abs(around - 1) <= limits[0]
                through += ratio > 1 + limits[1]
            if max(there, through) >= limits[2]:
                strips[n, 1:] = strips[n, 0]
                break
