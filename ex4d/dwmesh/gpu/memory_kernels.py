"""Triton kernels of world memory: what frames confirm, and what of it a frame takes.

The same operations in the same order and precision as in :mod:`ex4d.dwmesh.memory_kernels`, which says what they are
for; the launches turn fused multiply-add off. ``numbers`` holds the settings (float64: Triton would round plain ones to
float32). A pose is sixteen float64 by rows, a lens four.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ex4d.dwmesh import edges, memory_kernels

# Places in ``numbers``.
DEPTH, COLOUR, THROUGH, REMEMBERED, COARSE, BEHIND = (tl.constexpr(n) for n in range(6))
WALL_MOVES, WALL_DEPTH, WALL_FRAMES, SEAM, LEAST = (tl.constexpr(n) for n in range(6, 11))
CONFIRMED, CONTRADICTED = tl.constexpr(memory_kernels.CONFIRMED), tl.constexpr(memory_kernels.CONTRADICTED)
GONE, SAME, KEPT = (tl.constexpr(s) for s in (memory_kernels.GONE, memory_kernels.SAME, memory_kernels.KEPT))
RIGHT, DOWN = tl.constexpr(edges.CUT_RIGHT), tl.constexpr(edges.CUT_DOWN)
POSE, LENS = tl.constexpr(16), tl.constexpr(4)


@triton.jit
def _moved(pose, x, y, z, ok):
    """A point's place in the axes that ``pose`` leads to."""
    a = tl.load(pose, mask=ok, other=1.0) * x + tl.load(pose + 1, mask=ok, other=0.0) * y
    a = a + tl.load(pose + 2, mask=ok, other=0.0) * z + tl.load(pose + 3, mask=ok, other=0.0)
    b = tl.load(pose + 4, mask=ok, other=0.0) * x + tl.load(pose + 5, mask=ok, other=1.0) * y
    b = b + tl.load(pose + 6, mask=ok, other=0.0) * z + tl.load(pose + 7, mask=ok, other=0.0)
    c = tl.load(pose + 8, mask=ok, other=0.0) * x + tl.load(pose + 9, mask=ok, other=0.0) * y
    c = c + tl.load(pose + 10, mask=ok, other=1.0) * z + tl.load(pose + 11, mask=ok, other=0.0)
    return a, b, c


@triton.jit
def _pixel(a, b, c, lens, ok):
    """Pixel indices of a point before the camera (c > 0)."""
    u = a / c * tl.load(lens, mask=ok, other=1.0) + tl.load(lens + 2, mask=ok, other=0.0)
    v = b / c * tl.load(lens + 1, mask=ok, other=1.0) + tl.load(lens + 3, mask=ok, other=0.0)
    return u, v


@triton.jit
def _within(n, last):
    return tl.minimum(tl.maximum(n, 0), last)


@triton.jit
def _shown_at(depth, crossed, u, v, height, width, line, least, ok):
    """Depth of what a frame shows at (u, v); ``crossed`` has ``line`` quads a row."""
    i, j = _within(u.to(tl.int32), width - 2), _within(v.to(tl.int32), height - 2)
    cut = tl.load(crossed + j * line + i, mask=ok, other=0) != 0
    row, column = _within((v + 0.5).to(tl.int32), height - 1), _within((u + 0.5).to(tl.int32), width - 1)
    nearest = tl.load(depth + row * width + column, mask=ok, other=1.0).to(tl.float64)
    a, b = u - i.to(tl.float64), v - j.to(tl.float64)
    at = depth + j * width + i
    p, q = tl.load(at, mask=ok, other=1.0).to(tl.float64), tl.load(at + 1, mask=ok, other=1.0).to(tl.float64)
    top = (1 - a) / p + a / q
    at += width
    p, q = tl.load(at, mask=ok, other=1.0).to(tl.float64), tl.load(at + 1, mask=ok, other=1.0).to(tl.float64)
    bottom = (1 - a) / p + a / q
    between = (1 - b) * top + b * bottom
    plane = 1 / tl.where(between > least, between, least)
    return tl.where(cut, nearest, plane)


@triton.jit
def _lifted(depth, lens, n, width, ok):
    """Where pixels ``n`` of a frame are in its own axes."""
    j, i = n // width, n % width
    z = tl.load(depth + n, mask=ok, other=1.0).to(tl.float64)
    x = (i.to(tl.float64) - tl.load(lens + 2)) / tl.load(lens) * z
    y = (j.to(tl.float64) - tl.load(lens + 3)) / tl.load(lens + 1) * z
    return x, y, z


@triton.jit(do_not_specialize=["count", "height", "width"])
def mark_covered(
    frames,  # [N] int32 that are looked at
    depths,  # [K, H * W] float32
    crossed,  # [K, (H - 1) * (W - 1)] uint8
    held,  # [K, H * W] uint8
    asked,  # [N, K] uint8 which frames each may ask
    poses,  # [K, K, 16] axes of the second from those of the first
    lenses,  # [K, 4]
    numbers,
    out,  # [N, H * W] uint8, written
    count, height, width,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Pixels whose surface the asked frames put into the memory, about as finely."""
    which = tl.program_id(1)
    k, size = tl.load(frames + which), height * width
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < size
    x, y, z = _lifted(depths + k * size, lenses + k * LENS, n, width, ok)
    same, least, coarser = tl.load(numbers + REMEMBERED), tl.load(numbers + LEAST), tl.load(numbers + COARSE)
    found = tl.zeros((BLOCK,), tl.int32)
    for other in range(count):
        if tl.load(asked + which * count + other) != 0:
            a, b, c = _moved(poses + (k * count + other) * POSE, x, y, z, True)
            before = c > 0
            u, v = _pixel(a, b, tl.where(before, c, 1.0), lenses + other * LENS, True)
            inside = ok & before & (c <= coarser * z) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
            inside &= found == 0
            own = depths + other * size
            place = (v + 0.5).to(tl.int32) * width + (u + 0.5).to(tl.int32)
            kept = tl.load(held + other * size + place, mask=inside, other=0) != 0
            quads = crossed + other * (height - 1) * (width - 1)
            shown = _shown_at(own, quads, u, v, height, width, width - 1, least, inside & kept)
            met = inside & kept & (tl.abs(shown / tl.where(before, c, 1.0) - 1) <= same)
            found = tl.where(met, 1, found)
    tl.store(out + which.to(tl.int64) * size + n, found.to(tl.uint8), mask=ok)


@triton.jit
def _middle(values, ok, number, index, count):
    """The upper median of each row's ``number`` valid values [P, K]; 0 where there is none."""
    rank = tl.zeros_like(ok.to(tl.int32))
    for n in range(count):
        one = index == n
        value = tl.sum(tl.where(one, values, 0.0), 1)[:, None]
        there = tl.sum((one & ok).to(tl.int32), 1)[:, None] != 0
        rank += (there & ((value < values) | ((value == values) & (n < index)))).to(tl.int32)
    return tl.sum(tl.where(ok & (rank == (number // 2)[:, None]), values, 0.0), 1)


@triton.jit
def _colour_at(picture, u, v, height, width, channel, ok):
    """Bilinear; u and v lie inside the picture."""
    i, j = tl.minimum(u.to(tl.int32), width - 2), tl.minimum(v.to(tl.int32), height - 2)
    a, b = u - i.to(tl.float64), v - j.to(tl.float64)
    at = picture + (j * width + i) * 3 + channel
    p, q = tl.load(at, mask=ok, other=0).to(tl.float64), tl.load(at + 3, mask=ok, other=0).to(tl.float64)
    top = (1 - a) * p + a * q
    at += width * 3
    p, q = tl.load(at, mask=ok, other=0).to(tl.float64), tl.load(at + 3, mask=ok, other=0).to(tl.float64)
    bottom = (1 - a) * p + a * q
    return (1 - b) * top + b * bottom


@triton.jit
def _alike(least, most, place, channel, wanted, limit, ok):
    """Whether a level lies within ``limit`` of the least and the most that the nine pixels around a place show."""
    low = tl.load(least + place * 3 + channel, mask=ok, other=0).to(tl.float64)
    high = tl.load(most + place * 3 + channel, mask=ok, other=0).to(tl.float64)
    return (wanted >= low - limit) & (wanted <= high + limit)


@triton.jit(do_not_specialize=["count", "height", "width"])
def vote(
    frames, wanted,  # [N] int32, [N, H * W] uint8
    depths, crossed, nearest,  # [K, ...] as above; [K, H * W] float32 least depth around each pixel
    colours, least_around, most_around,  # [K, H * W, 3] uint8, levels of the nine pixels around each
    poses, lenses, numbers,
    out,  # [N, H * W] uint8, written
    out_depth,  # [K, H * W] float32, written at confirmed pixels of ``frames``, as is the next
    out_colour,  # [K, H * W, 3] uint8
    count, height, width,
    BLOCK: tl.constexpr, COUNT: tl.constexpr,
):  # fmt: skip
    """Ask all frames about the wanted pixels, all at once: [BLOCK pixels, COUNT >= K frames]."""
    which = tl.program_id(1)
    k, size = tl.load(frames + which), height * width
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = n < size
    want = here & (tl.load(wanted + which.to(tl.int64) * size + n, mask=here, other=0) != 0)
    said = tl.zeros((BLOCK,), tl.int32)
    if tl.sum(want.to(tl.int32), 0) > 0:
        first = k.to(tl.int64) * size
        x, y, z = _lifted(depths + first, lenses + k * LENS, n, width, want)
        index = tl.arange(0, COUNT)[None, :]
        there = want[:, None] & (index < count)
        a, b, c = _moved(poses + (k * count + index) * POSE, x[:, None], y[:, None], z[:, None], index < count)
        before = c > 0
        c = tl.where(before, c, 1.0)
        u, v = _pixel(a, b, c, lenses + index * LENS, index < count)
        inside = there & before & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
        base = index.to(tl.int64) * size
        quads = crossed + index.to(tl.int64) * (height - 1) * (width - 1)
        same, level, least = tl.load(numbers + DEPTH), tl.load(numbers + COLOUR), tl.load(numbers + LEAST)
        ratio = _shown_at(depths + base, quads, u, v, height, width, width - 1, least, inside) / c
        seen = inside & (tl.abs(ratio - 1) <= same)
        place = base + (v + 0.5).to(tl.int32) * width + (u + 0.5).to(tl.int32)
        around = tl.load(nearest + place, mask=inside, other=0.0).to(tl.float64)
        past = inside & ~seen & (around > (1 + same) * c)
        through, number = tl.sum(past.to(tl.int32), 1), tl.sum(seen.to(tl.int32), 1)
        unsure = tl.sum((inside & ~seen & ~past & ~(ratio < 1)).to(tl.int32), 1)
        alike, own = seen, want
        shade = tl.zeros((BLOCK,), tl.int32)
        for channel in tl.static_range(3):
            values = _colour_at(colours + base * 3, u, v, height, width, channel, inside)
            middle = _middle(values, seen, number, index, count)
            alike &= _alike(least_around, most_around, place, channel, middle[:, None], level, inside)
            own &= _alike(least_around, most_around, first + n, channel, middle, level, want)
            shade |= (middle + 0.5).to(tl.int32) << (8 * channel)
        agree = tl.sum(alike.to(tl.int32), 1)
        against = through.to(tl.float64) > tl.load(numbers + THROUGH) * number.to(tl.float64)
        held = want & ~against & (number >= 2) & own & (agree >= 2)
        alone = want & ~against & (number < 2) & (through + unsure == 0)
        said = tl.where(held | alone, CONFIRMED, tl.where(want & against, CONTRADICTED, said))
        lies = z * _middle(ratio, alike, agree, index, count)
        tl.store(out_depth + first + n, lies.to(tl.float32), mask=held)
        for channel in tl.static_range(3):
            level_there = ((shade >> (8 * channel)) & 255).to(tl.uint8)
            tl.store(out_colour + (first + n) * 3 + channel, level_there, mask=held)
    tl.store(out + which.to(tl.int64) * size + n, said.to(tl.uint8), mask=here)


@triton.jit(do_not_specialize=["count", "height", "width", "line", "further", "most"])
def place_vertices(
    times,  # [B] int32
    world,  # [V, 3] float32
    poses,  # [T, 16] axes of each frame from the world's
    lens,  # [4]
    own, farthest,  # [B, H * W] float32: what the frames show, and the greatest depth around each pixel
    crossed,  # [B, ...] uint8, first of the quads between pixels; ``line`` a row, ``further`` a frame
    numbers,
    state,  # [B, V] uint8, written
    slots, starts, shades,  # [B, V] int32 places from 1 on, [B] int32 first vertex, [V] int32 colours
    vertices, colors,  # [B, most, 3] float32 and [B, most] int32, written
    count, height, width, line, further, most,
    PLACE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """What each frame says of each remembered vertex; with PLACE its place beside the frame's own, where it is used."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok, slot = n < count, n
    if PLACE:
        slot = tl.load(slots + frame * count + n, mask=ok, other=0)
        before_it = tl.load(slots + frame * count + n - 1, mask=ok & (n > 0), other=0)
        ok &= slot != before_it
    x, y = tl.load(world + n * 3, mask=ok, other=0.0), tl.load(world + n * 3 + 1, mask=ok, other=0.0)
    z = tl.load(world + n * 3 + 2, mask=ok, other=1.0)
    pose = poses + tl.load(times + frame) * POSE
    a, b, c = _moved(pose, x.to(tl.float64), y.to(tl.float64), z.to(tl.float64), True)
    front = ok & (c > 0)
    c_safe = tl.where(c > 0, c, 1.0)
    u, v = _pixel(a, b, c_safe, lens, True)
    seam, same, behind = tl.load(numbers + SEAM), tl.load(numbers + DEPTH), tl.load(numbers + BEHIND)
    near = front & (u > -0.5 - seam) & (u < width - 0.5 + seam) & (v > -0.5 - seam) & (v < height - 0.5 + seam)
    inside = near & (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    pixels = frame * height * width
    shown = _shown_at(
        own + pixels, crossed + frame * further, u, v, height, width, line, tl.load(numbers + LEAST), near
    )
    covers = near & (c > (1 + same) * shown)
    alike = near & ~covers & (c >= (1 - same) * shown)
    if PLACE:
        place = _within((v + 0.5).to(tl.int32), height - 1) * width + _within((u + 0.5).to(tl.int32), width - 1)
        far = tl.load(farthest + pixels + place, mask=near, other=1.0).to(tl.float64)
        goes_on = covers & ((1 - same) * far <= c) & (c < behind * far)
        shift = tl.where(goes_on, behind * far / c_safe, 1.0)
        shift = tl.where(alike, tl.where(c > behind * shown, c, behind * shown) / c_safe, shift)
        at = frame * most + tl.load(starts + frame) + slot - 1
        tl.store(vertices + at * 3, (a.to(tl.float32).to(tl.float64) * shift).to(tl.float32), mask=ok)
        tl.store(vertices + at * 3 + 1, (b.to(tl.float32).to(tl.float64) * shift).to(tl.float32), mask=ok)
        tl.store(vertices + at * 3 + 2, (c.to(tl.float32).to(tl.float64) * shift).to(tl.float32), mask=ok)
        tl.store(colors + at, tl.load(shades + n, mask=ok, other=0), mask=ok)
    else:
        says = tl.where(alike & inside, SAME, tl.where(inside & ~covers & ~alike, GONE, KEPT))
        tl.store(state + frame * count + n, says.to(tl.uint8), mask=ok)


@triton.jit(do_not_specialize=["count", "total"])
def choose_faces(
    faces,  # [F, 3] int32
    state,  # [B, V] uint8
    chosen,  # [B, F] uint8, written
    used,  # [B, V] uint8, set for their vertices
    count, total,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Faces of which nothing is gone and something is new."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = n < total
    p, q = tl.load(faces + n * 3, mask=ok, other=0), tl.load(faces + n * 3 + 1, mask=ok, other=0)
    r = tl.load(faces + n * 3 + 2, mask=ok, other=0)
    own = state + frame * count
    a, b = tl.load(own + p, mask=ok, other=0).to(tl.int32), tl.load(own + q, mask=ok, other=0).to(tl.int32)
    c = tl.load(own + r, mask=ok, other=0).to(tl.int32)
    taken = ok & (tl.minimum(a, tl.minimum(b, c)) != GONE) & (tl.maximum(a, tl.maximum(b, c)) == KEPT)
    tl.store(chosen + frame * total + n, taken.to(tl.uint8), mask=ok)
    one = tl.full((BLOCK,), 1, tl.uint8)
    tl.store(used + frame * count + p, one, mask=taken)
    tl.store(used + frame * count + q, one, mask=taken)
    tl.store(used + frame * count + r, one, mask=taken)


@triton.jit(do_not_specialize=["count", "total", "most"])
def lay_faces(
    faces,  # [F, 3] int32
    places,  # [B, F] int32 chosen faces up to and with each
    slots,  # [B, V] int32 used vertices up to and with each
    starts,  # [2, B] int32 first vertex and first face of the memory
    out,  # [B, most, 3] int32, written
    count, total, most,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The chosen faces behind each frame's own."""
    frame = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(places + frame * total + n, mask=n < total, other=0)
    ok = (n < total) & (place != tl.load(places + frame * total + n - 1, mask=(n < total) & (n > 0), other=0))
    first = tl.load(starts + frame)
    at = out + (frame * most + tl.load(starts + tl.num_programs(1) + frame) + place - 1) * 3
    for corner in tl.static_range(3):
        v = tl.load(faces + n * 3 + corner, mask=ok, other=0)
        tl.store(at + corner, first + tl.load(slots + frame * count + v, mask=ok, other=1) - 1, mask=ok)
