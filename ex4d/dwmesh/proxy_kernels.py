"""Compiled loops that bring what was done to a proxy grid's vertices to every pixel of the clip."""

import numpy as np

from ex4d.compiled.kernel import inlined, kernel
from ex4d_ground.arrays import Bool, Float32, Float64, Int64

SAME_SURFACE = 0.02
"""Share of inverse depth by which points of one surface typically miss its continuation."""
_LEVEL = 0.01
"""Share of inverse depth below which neighbours need no closer look."""
_MUCH, _FEW, _STEADY = 0.1, 0.1, 0.01
"""Beside an edge: from this share of its neighbours' weight on; with less weight around, no plane; and what keeps the
slope of few points in a row from running away, in squared distances of the grid's lines."""


@inlined
def _step(inverse: Float64, row: int, column: int, down: int, right: int) -> float:
    """How much inverse depth grows per pixel along the surface of a pixel: the smaller step to either side.

    The outermost ring lies at the border and says nothing.
    """
    height, width = inverse.shape
    here = inverse[row, column]
    best = np.inf
    r, c = row + down, column + right
    if 0 < r < height - 1 and 0 < c < width - 1:
        best = inverse[r, c] - here
    r, c = row - down, column - right
    if 0 < r < height - 1 and 0 < c < width - 1 and abs(here - inverse[r, c]) < abs(best):
        best = here - inverse[r, c]
    return best if np.isfinite(best) else 0.0


@inlined
def _miss(inverse: Float64, row: int, column: int, down: float, right: float, r: int, c: int) -> float:
    """How far the pixel at ``r``, ``c`` is from lying on the surface of another, which grows by ``down`` and ``right``.

    Equally deep is on it; else each of the two must meet the other, continued by its own steps. In shares of inverse
    depth, as many times :data:`SAME_SURFACE`.
    """
    here, there = inverse[row, column], inverse[r, c]
    level = abs(there - here)
    onward = abs(there - here - right * (c - column) - down * (r - row))
    back_right, back_down = _step(inverse, r, c, 0, 1), _step(inverse, r, c, 1, 0)
    back = abs(here - there - back_right * (column - c) - back_down * (row - r))
    return min(level, max(onward, back)) / max(abs(there), abs(here)) / SAME_SURFACE


@kernel
def _weights(
    inverse: Float64,  # [H, W]
    row: int,
    column: int,
    rows: Int64,  # the grid's
    columns: Int64,
    cell: tuple[int, int],  # the grid's row and column before the pixel
    share: tuple[float, float],  # how far down and right of them it lies, 0..1
    out: Float64,  # [4] for the grid vertices above left, above right, below left, below right; their sum is 1
) -> float:
    """How far each of the four grid vertices around a pixel speaks for it: near ones of its own surface do.

    Returns the share that those of other surfaces would have had.
    """
    here, widest = inverse[row, column], 0.0
    for k in range(4):
        part_down = share[0] if k >= 2 else 1 - share[0]
        part_right = share[1] if k % 2 else 1 - share[1]
        out[k] = part_down * part_right
        if out[k] > 0:
            widest = max(widest, abs(inverse[rows[cell[0] + (k >= 2)], columns[cell[1] + (k % 2)]] - here))
    if widest < _LEVEL * abs(here):
        return 0.0  # the usual case: all lie on one surface
    ring = row == 0 or column == 0 or row == inverse.shape[0] - 1 or column == inverse.shape[1] - 1
    right = 0.0 if ring else _step(inverse, row, column, 0, 1)
    down = 0.0 if ring else _step(inverse, row, column, 1, 0)
    least = np.inf
    miss = np.empty(4)
    for k in range(4):
        if out[k] > 0:
            r, c = rows[cell[0] + (k >= 2)], columns[cell[1] + (k % 2)]
            miss[k] = _miss(inverse, row, column, down, right, r, c)
            least = min(least, miss[k])
    total, lost = 0.0, 0.0
    for k in range(4):
        if out[k] > 0:
            same = np.exp((least * least - miss[k] * miss[k]) / 2)
            lost += out[k] * (1 - same)
            out[k] *= same
            total += out[k]
    for k in range(4):
        out[k] /= total
    return lost


@kernel
def _fit(
    inverse: Float64,  # [H, W]
    row: int,
    column: int,
    rows: Int64,  # the grid's
    columns: Int64,
    cell: tuple[int, int],  # the grid's row and column before the pixel
    motion: Float64,  # [grid vertices, 4]
    sums: Float64,  # [6, 4] room to work in
    out: Float64,  # [4]
) -> None:
    """The motion at a pixel beside an edge: a plane through that of the 16 grid vertices around it, near ones first.

    There the four around it lie to one side, and their mean would lag behind what changes across the edge's side.
    """
    sums[:] = 0.0
    right, down = _step(inverse, row, column, 0, 1), _step(inverse, row, column, 1, 0)
    width, height = columns[cell[1] + 1] - columns[cell[1]], rows[cell[0] + 1] - rows[cell[0]]
    for j in range(max(cell[0] - 1, 1), min(cell[0] + 3, len(rows) - 1)):
        for i in range(max(cell[1] - 1, 1), min(cell[1] + 3, len(columns) - 1)):
            r, c = rows[j], columns[i]
            miss = _miss(inverse, row, column, down, right, r, c)
            x, y = (c - column) / width, (r - row) / height
            weight = np.exp(-(miss * miss) / 2 - (x * x + y * y))
            sums[4, 0] += weight
            sums[4, 1] += weight * x
            sums[4, 2] += weight * y
            sums[5, 0] += weight * x * x
            sums[5, 1] += weight * x * y
            sums[5, 2] += weight * y * y
            for n in range(4):
                value = weight * motion[j * len(columns) + i, n]
                sums[0, n] += value
                sums[1, n] += value * x
                sums[2, n] += value * y
    total = sums[4, 0]
    if total < _FEW:
        return
    # Around the weighted mean, so that the little that steadies the slope leaves the mean as it is.
    x, y = sums[4, 1] / total, sums[4, 2] / total
    xx = sums[5, 0] / total - x * x + _STEADY
    xy = sums[5, 1] / total - x * y
    yy = sums[5, 2] / total - y * y + _STEADY
    for n in range(4):
        mean = sums[0, n] / total
        along_x, along_y = sums[1, n] / total - mean * x, sums[2, n] / total - mean * y
        whole = xx * yy - xy * xy
        out[n] = mean - x * (along_x * yy - along_y * xy) / whole - y * (along_y * xx - along_x * xy) / whole


@kernel
def move_pixels(
    inverse: Float64,  # [H, W] inverse depth before the edit
    rows: Int64,  # the grid's
    columns: Int64,
    row_cells: Int64,  # [H] the grid's row before each of the clip's
    row_shares: Float64,  # [H] how far below it that lies, 0..1
    column_cells: Int64,  # [W]
    column_shares: Float64,  # [W]
    motion: Float64,  # [grid vertices, 4] scale along the ray less 1, and offset
    moved: Bool,  # [grid vertices]
    vertices: Float32,  # [H * W, 3] before the edit; changed in place
) -> None:
    """Move each pixel as the grid vertices around it moved; those among vertices that stayed are not touched."""
    height, width = inverse.shape
    across = len(columns)
    weights, motion_here, sums = np.empty(4), np.empty(4), np.empty((6, 4))
    for row in range(height):
        for column in range(width):
            cell = row_cells[row], column_cells[column]
            first = cell[0] * across + cell[1]
            if not (moved[first] or moved[first + 1] or moved[first + across] or moved[first + across + 1]):
                continue
            share = row_shares[row], column_shares[column]
            lost = _weights(inverse, row, column, rows, columns, cell, share, weights)
            touched = False
            motion_here[:] = 0.0
            for k in range(4):
                vertex = first + across * (k >= 2) + (k % 2)
                if weights[k] > 1e-6 and moved[vertex]:
                    touched = True
                    for n in range(4):
                        motion_here[n] += weights[k] * motion[vertex, n]
            if not touched:
                continue
            if lost > _MUCH and 0 < row < height - 1 and 0 < column < width - 1:
                _fit(inverse, row, column, rows, columns, cell, motion, sums, motion_here)
            at = row * width + column
            for n in range(3):
                vertices[at, n] += np.float32(vertices[at, n] * motion_here[0] + motion_here[n + 1])


@kernel
def spread_values(
    inverse: Float64,  # [H, W], or empty: surfaces do not count
    rows: Int64,  # the grid's
    columns: Int64,
    row_cells: Int64,  # [H]
    row_shares: Float64,  # [H]
    column_cells: Int64,  # [W]
    column_shares: Float64,  # [W]
    values: Float64,  # [grid vertices], NaN where there is none
    out: Float32,  # [H, W]
) -> None:
    """A value for each pixel, NaN where the grid vertex that speaks most for it has none.

    Without ``inverse`` a pixel has a value where any of the grid vertices around it has one.
    """
    across = len(columns)
    weights = np.empty(4)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            first = row_cells[row] * across + column_cells[column]
            down, right = row_shares[row], column_shares[column]
            if inverse.size > 0:
                cell = row_cells[row], column_cells[column]
                _weights(inverse, row, column, rows, columns, cell, (down, right), weights)
            else:
                weights[0], weights[1] = (1 - down) * (1 - right), (1 - down) * right
                weights[2], weights[3] = down * (1 - right), down * right
            best, most, total, found = np.nan, 0.0, 0.0, 0.0
            for k in range(4):
                value = values[first + across * (k >= 2) + (k % 2)]
                if weights[k] > most:
                    most, best = weights[k], value
                if weights[k] > 0 and not np.isnan(value):
                    total += weights[k]
                    found += weights[k] * value
            decided = total > 0 and (inverse.size == 0 or not np.isnan(best))
            out[row, column] = found / total if decided else np.nan
