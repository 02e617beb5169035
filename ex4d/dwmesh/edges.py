"""Compiled loops that find depth edges: where neighbouring pixels belong to different surfaces.

A plane seen in perspective is linear in inverse depth over the picture, however grazing. So two neighbours are on one
surface if either side, continued by its own step, meets the other; they are apart if neither does, or if the surface
between them would be steeper than the mesh's angle limit.
"""

import numpy as np

from ex4d.compiled.kernel import borrowing, inlined, kernel
from ex4d_ground.arrays import Bool, Float32, Float64, Int8, Int32, UInt8

CUT_RIGHT, CUT_DOWN = 1, 2
"""Bits of ``cuts``: no connection with the pixel to the right, or below."""


SKIP = 64
"""Pixels that are looked at together: most rows have long parts without an edge."""


@inlined
def any_bits(cuts: UInt8) -> np.uint8:  # cuts [N]
    """All bits that are set in any; compilers turn this into vector instructions."""
    found = np.uint8(0)
    for i in range(len(cuts)):
        found |= cuts[i]
    return found


@borrowing
def _apart(
    before: Float32, p: Float32, q: Float32, after: Float32, jump: np.float32, steep: np.float32, out: UInt8, bit: int
) -> None:
    """Set ``bit`` of ``out[i]`` where ``p[i]`` and ``q[i]``, neighbours in a line of four, are on two surfaces."""
    mark, none = np.uint8(bit), np.uint8(0)
    for i in range(len(out)):  # without a branch: many processors write single bytes of a vector one by one
        near = max(p[i], q[i])
        step = abs(p[i] - q[i])
        miss = min(abs(p[i] + p[i] - before[i] - q[i]), abs(q[i] + q[i] - after[i] - p[i]))
        out[i] |= mark if (step > steep * near) | (min(miss, step) > jump * near) else none


@kernel
def cut_rows(
    inverse: Float32,  # [H, W]
    jump: float,  # share of the nearer inverse depth that neither side's continuation may miss
    steep_x: float,  # share of it that one step right may have at all
    steep_y: float,
    first: int,
    last: int,
    cuts: UInt8,  # [H, W] written for rows first..last-1
) -> None:
    """Mark the depth edges to the right of and below each pixel; the outermost ring is cut from the rest."""
    height, width = inverse.shape
    limit, x_limit, y_limit = np.float32(jump), np.float32(steep_x), np.float32(steep_y)
    n = max(width - 3, 0)  # pairs of neighbours inside the ring
    before, after = np.empty(n, np.float32), np.empty(n, np.float32)
    for j in range(first, last):
        row, out = inverse[j], cuts[j]
        out[:] = 0
        if 0 < j < height - 1:
            # The ring is of another surface and says nothing about this one's slope: ends repeat a pixel instead.
            inner, beyond, rest = row[1 : width - 1], row[3:], before[1:]
            before[0], after[n - 1] = inner[0], inner[n]
            for i in range(n - 1):
                rest[i] = inner[i]
            for i in range(n - 1):
                after[i] = beyond[i]
            _apart(before, inner[:n], inner[1:], after, limit, x_limit, out[1 : width - 2], np.int64(CUT_RIGHT))
            out[0] = CUT_RIGHT
            out[width - 2] = CUT_RIGHT
        if j == 0 or j == height - 2:
            for i in range(1, width - 1):
                out[i] |= CUT_DOWN
        elif j < height - 2:
            below = inverse[j + 1]
            above = inverse[j - 1] if j > 1 else row
            last_row = inverse[j + 2] if j < height - 3 else below
            s = slice(1, width - 1)
            _apart(above[s], row[s], below[s], last_row[s], limit, y_limit, out[s], np.int64(CUT_DOWN))


@borrowing
def quad_cuts(cuts: UInt8, first: int, last: int, quads: UInt8) -> None:
    """Per quad, which of its sides are cut: bit 0 top, 1 right, 2 bottom, 3 left. ``quads`` is [H - 1, W - 1]."""
    width = cuts.shape[1]
    for j in range(first, last):
        upper, lower, out = cuts[j], cuts[j + 1], quads[j]
        for i in range(width - 1):
            out[i] = (
                (upper[i] & CUT_RIGHT)
                | (upper[i + 1] & CUT_DOWN)
                | ((lower[i] & CUT_RIGHT) << 2)
                | ((upper[i] & CUT_DOWN) << 2)
            )


def at_cuts(cuts: UInt8) -> Bool:  # [H, W]
    """Pixels with a cut on any side."""
    left, above = np.roll(cuts, 1, axis=1) & CUT_RIGHT, np.roll(cuts, 1, axis=0) & CUT_DOWN
    return (cuts | left | above) != 0


def near_sides(cuts: UInt8, inverse: Float32) -> Bool:  # [H, W] each
    """Pixels nearer than a neighbour that a cut separates them from: those a wall stands behind."""
    near = np.zeros(cuts.shape, np.bool_)
    for bit, first, second in ((CUT_RIGHT, np.s_[:, :-1], np.s_[:, 1:]), (CUT_DOWN, np.s_[:-1], np.s_[1:])):
        cut, nearer = (cuts[first] & bit) != 0, inverse[first] > inverse[second]
        near[first] |= cut & nearer
        near[second] |= cut & ~nearer
    return near


@inlined
def _near_cut(cuts: UInt8, j: int, start: int, stop: int) -> bool:
    """Whether a quad that an edge crosses may have a corner among the pixels ``start..stop-1`` of row ``j``."""
    found = np.uint8(0)
    for k in range(max(j - 1, 0), min(j + 2, cuts.shape[0])):
        found |= any_bits(cuts[k, max(start - 1, 0) : min(stop + 1, cuts.shape[1])])
    return found != 0


@inlined
def _largest(values: Int32) -> np.int32:
    """The largest of 0 and all values."""
    largest = np.int32(0)
    for i in range(len(values)):
        largest = max(largest, values[i])
    return largest


@kernel
def row_thickness(
    inverse: Float32,  # [H, W]
    cuts: UInt8,
    pitch: float,
    shape: Float64,  # [3] depth per width, least depth per width, and what a covered end adds to the width
    first: int,
    last: int,
    extent: Float32,  # [H, W] out: width at depth 1 of what each pixel belongs to, along its row
    thickness: Float32,  # [H, W] out
) -> None:
    """Judge what each pixel belongs to by the unbroken run of pixels along its row.

    Only parts of rows with corners of quads that an edge crosses are written: nothing else has a thickness.

    What is as deep as it is wide (times ``shape[0]``) ends that far behind its nearest point, so a rim that lies behind
    that point already has less to go; never less than ``shape[1]`` of the width. A run that ends at something nearer
    goes on behind that, unseen: it counts as longer.
    """
    width = inverse.shape[1]
    largest = np.zeros(1, np.int32)
    nearest = largest.view(np.float32)
    wanted = np.zeros((width + SKIP - 1) // SKIP, np.bool_)
    for j in range(first, last):
        row, cut = inverse[j], cuts[j]
        bits = row.view(np.int32)  # what is not negative has the order of its bits, and integers compare in vectors
        start = 0
        for n in range(len(wanted)):
            wanted[n] = _near_cut(cuts, j, n * SKIP, min((n + 1) * SKIP, width))
        for block in range(0, width, SKIP):
            stop = min(block + SKIP, width)
            if stop < width and not any_bits(cut[block:stop]) & CUT_RIGHT:
                continue
            for i in range(block, stop):
                if i == width - 1 or cut[i] & CUT_RIGHT:
                    largest[0] = _largest(bits[start : i + 1])
                    covered = (start > 1 and row[start - 1] > row[start]) + (i < width - 2 and row[i + 1] > row[i])
                    run = (i + 1 - start) * pitch * (1.0 + shape[2] * covered)
                    most, least = np.float32(run * shape[0] - 1.0), np.float32(run * shape[1])
                    front = np.float32(1.0) / nearest[0]
                    for n in range(start // SKIP, i // SKIP + 1):
                        if not wanted[n]:
                            continue
                        a, b = max(start, n * SKIP), min(i + 1, (n + 1) * SKIP)
                        extent[j, a:b] = run
                        part, out = row[a:b], thickness[j, a:b]
                        for k in range(len(part)):  # in single precision, for vector instructions
                            z = np.float32(1.0) / part[k]
                            out[k] = max(most * z + front, least * z)
                    start = i + 1


@kernel
def column_thickness(
    inverse: Float32,
    cuts: UInt8,
    pitch: float,
    shape: Float64,  # [3] as above
    first: int,
    last: int,
    extent: Float32,  # [H, W] from row_thickness
    thickness: Float32,  # [H, W] changed in columns first..last-1
) -> None:
    """Judge by the run along the column instead, where that is shorter.

    Only at pixels with a cut side, the only ones that have walls: a chain through the column leads to them.
    """
    height, count = inverse.shape[0], last - first
    start, latest = np.zeros(count, np.int32), np.full(count, -1, np.int32)
    chain = np.empty((height, count), np.int32)
    nearest = np.zeros(count, np.float32)
    covered = np.zeros(count, np.int32)  # 1 where the run's upper end is behind something nearer
    at_edge = np.empty(count, np.uint8)
    for j in range(height):
        row, cut = inverse[j, first:last], cuts[j]
        above = cuts[j - 1] if j > 0 else cut
        for n in range(count):
            nearest[n] = max(nearest[n], row[n])
        here, over = cut[first:last], above[first:last]
        for n in range(count):
            at_edge[n] = here[n] | over[n]
        before = cut[max(first - 1, 0) : last - 1]  # the pixel to the left, where there is one
        beside = at_edge[count - len(before) :]
        for n in range(len(before)):
            beside[n] |= before[n]
        if j == height - 1:
            at_edge[:] = 1
        for block in range(0, count, SKIP):
            stop = min(block + SKIP, count)
            if not any_bits(at_edge[block:stop]):
                continue
            for n in range(block, stop):
                if not at_edge[n]:
                    continue
                i = first + n
                chain[j, n] = latest[n]
                latest[n] = j
                if j == height - 1 or cut[i] & CUT_DOWN:
                    below = j < height - 2 and inverse[j + 1, i] > row[n]
                    run = (j + 1 - start[n]) * pitch * (1.0 + shape[2] * (covered[n] + below))
                    most, least = np.float32(run * shape[0] - 1.0), np.float32(run * shape[1])
                    front = np.float32(1.0) / nearest[n]
                    k = latest[n]
                    while k >= start[n]:
                        if run < extent[k, i]:
                            z = np.float32(1.0) / inverse[k, i]
                            thickness[k, i] = max(most * z + front, least * z)
                        k = chain[k, n]
                    start[n] = j + 1
                    nearest[n] = 0.0
                    covered[n] = j > 0 and j < height - 1 and row[n] > inverse[j + 1, i]


@inlined
def _mirrored(index: int, size: int) -> int:
    """A place outside 0..size-1 as if a mirror stood in the outermost pixel on its side."""
    while index < 0 or index >= size:
        index = abs(index) if index < size else 2 * (size - 1) - index
        if size == 1:
            index = 0
    return index


@inlined
def _count_columns(cuts: UInt8, j: int, reach: int, first: int, counts: UInt8) -> None:
    """Cut pixels of each column among rows ``j - reach..j + reach``, after those of the row before.

    ``counts`` [W + 2 * reach] has the picture in its middle, mirrored beyond its sides. Row ``first`` begins anew.
    """
    height, width = cuts.shape
    inner = counts[reach : reach + width]
    if j == first:
        inner[:] = 0
        for k in range(-reach, reach):
            row = cuts[_mirrored(j + k, height)]
            for i in range(width):
                inner[i] += np.uint8(row[i] != 0)
    else:
        row = cuts[_mirrored(j - reach - 1, height)]
        for i in range(width):
            inner[i] -= np.uint8(row[i] != 0)
    row = cuts[_mirrored(j + reach, height)]
    for i in range(width):
        inner[i] += np.uint8(row[i] != 0)
    for k in range(reach):
        counts[k] = inner[_mirrored(k - reach, width)]
        counts[reach + width + k] = inner[_mirrored(width + k, width)]


@kernel
def settle_thickness(
    inverse: Float32,  # [H, W]
    cuts: UInt8,  # [H, W]
    reach: int,  # a window of so many pixels on each side of one counts cut pixels around it; fewer than 256
    pitch: float,
    limits: Float64,  # [5] see below
    first: int,
    last: int,
    thickness: Float32,  # [H, W] changed in rows first..last-1
) -> None:
    """Correct the estimate: a run counts pixels that are only partly covered; in a thicket things are not apart.

    ``limits``: pixels taken off, largest share of the depth, number of cut pixels at which a thicket begins and is
    complete, and the thicket's thickness in pixels.
    """
    off, most, begin, full, bush = limits[0], limits[1], limits[2], limits[3], limits[4]
    width = inverse.shape[1]
    columns, crowd = np.zeros(width + 2 * reach, np.uint8), np.empty(SKIP, np.uint8)
    for j in range(first, last):
        _count_columns(cuts, j, reach, first, columns)
        for block in range(0, width, SKIP):
            stop = min(block + SKIP, width)
            if not _near_cut(cuts, j, block, stop):
                continue
            crowd[:] = 0
            for k in range(2 * reach + 1):
                part = columns[block + k : stop + k]
                for n in range(len(part)):
                    crowd[n] += part[n]
            for i in range(block, stop):
                z = 1.0 / inverse[j, i]
                share = min(max((crowd[i - block] - begin) / (full - begin), 0.0), 1.0)
                own = min(np.float64(thickness[j, i]), most * z) - off * pitch * z
                thickness[j, i] = max(own, share * bush * pitch * z)


@kernel
def apply_flags(flags: Int8, height: int, width: int, cuts: UInt8) -> None:
    """Join what faces flagged visible (1) span. ``flags`` [F] of the ``height`` x ``width`` pixels inside the ring."""
    half = (height - 1) * (width - 1)
    for j in range(height - 1):
        for i in range(width - 1):
            f = j * (width - 1) + i
            if flags[f] == 1:
                cuts[j + 1, i + 1] = 0  # its top and left sides, kept by the upper left pixel
            if flags[half + f] == 1:
                cuts[j + 1, i + 2] &= 255 - CUT_DOWN
                cuts[j + 2, i + 1] &= 255 - CUT_RIGHT
