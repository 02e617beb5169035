"""World memory: the static surfaces that a moving camera showed at any time, beside and behind what it shows now.

Further clips of the same place (``Clip.sets``) are remembered and asked as well, after the clip's own frames.

Frames spread over the clip are gone through in rounds, coarse to fine. What of a frame is not in the memory yet is put
to the vote: a pixel stays if at least two frames see its surface in place, alike in depth and colour, and hardly any
looks through it, or if something stands before it in all frames but its own. What lies within two pixels of a place
that is looked through, and not behind it, goes with it, for there something moved. Its depth and colour are the medians
of those that agree. Of what several frames of a round have found only the first keeps it. What stays becomes a sheet,
cut where a depth edge crosses it.

The sheets make one mesh in the world of the known poses. A frame takes from it what lies beside its picture or behind
its own surface; what it shows itself or looks through it leaves. So the memory never covers what is seen now, and what
blocks the view of a solid mesh, its hidden walls too, blocks the view of the memory; but walls and bridges, which are
guesses, end where other frames know better.

All of it works on few and small pictures (:mod:`ex4d.dwmesh.witnesses`): large clips are remembered at a fraction of
their size.
"""

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import cv2
import numpy as np

from ex4d.bands import Bands, Split
from ex4d.dwmesh import memory_kernels as kernels
from ex4d.dwmesh.backdrop import Sheet, crossed_quads
from ex4d.dwmesh.frame_views import FrameViews
from ex4d.dwmesh.moving_backdrop import LOOKED_THROUGH, SAME_COLOUR, SAME_DEPTH
from ex4d.dwmesh.witnesses import Witnesses, witnesses
from ex4d.frames.ahead import thread_count
from ex4d.types import Clip, SetClip
from ex4d_ground.arrays import Bool, Float32, Float64, Int32, UInt8

MOST_FACES = 8_000_000
"""Triangles after which no frame adds any more: a camera that sees ever new places fills no memory without end."""
GROWN_PX = 2
"""Pixels around a place that frames look through that go with it, and by which sheets overlap."""
REMEMBERED_DEPTH = 0.02
"""Share by which depths may differ where a surface is remembered already: less than of one surface, or what hangs on a
wall would keep the wall out."""
COARSER = 1.5
"""Factor by which a surface may be farther from where it was remembered from than from a frame that shows it too."""
WALL_STEPS = 8
"""Places along a guessed wall at which other frames are asked whether they look through it."""
WALL_DEPTH = 0.03
"""Share of the depth by which what a frame shows must lie behind such a place to have been looked at through it."""
WALL_MOVES = 1.0
"""Frames that look through a wall's own pixel, as a share of those that see it in place, with which it stands still:
leaves sway."""
WALL_FRAMES = 2
"""Frames that must look through a wall for it to end there, or know what is at a bridge's place."""
BRIDGE_STEPS = 8
"""Places along a guessed bridge at which other frames are asked what is there."""
SEAM_PX = 1.5
"""Pixels beside a frame's picture that still join its surface."""


class Memory(NamedTuple):
    """The remembered surfaces, in the world of the poses."""

    vertices: Float32  # [V, 3]
    colors: UInt8  # [V, 4]
    faces: Int32  # [F, 3]


class _Found(NamedTuple):
    """What one frame of a round has to add."""

    covered: Bool  # [H, W] what earlier rounds put into the memory
    kept: Bool  # [H, W] what the vote leaves
    depth: Float32  # [N] of the kept pixels
    colour: UInt8  # [N, 3]


class WorldMemory:
    """The memory of one clip whose source camera moves, or of which there are sets. Safe to use from several threads.

    Raises SettingError for a motion that the frames contradict, as too few of their points meet, and for a set that
    does not fit.
    """

    def __init__(self, clip: Clip, views: FrameViews, sets: Sequence[tuple[SetClip, FrameViews]] = ()) -> None:
        self._clip, self._views, self.poses = clip, views, clip.world_from_camera
        self.lens = views.lenses(clip, [0])[0]
        """[4] of frame 0, and of all where the camera does not zoom, as those of the witnesses."""
        self.witnesses, self.rounds = witnesses(clip, views, sets)
        self._lock = Lock()
        self._memory: Memory | None = None

    @property
    def memory(self) -> Memory:
        """All that is remembered; voted on when it is first asked for."""
        with self._lock:
            if self._memory is None:
                with Bands(thread_count(), parts_per_thread=8) as split:
                    self._memory = _remembered(self.witnesses, self.rounds, split)
            return self._memory

    def behind(self, t: int) -> Sheet:
        """All that frame ``t`` does not show itself."""
        own, world, lens = self._views.depth(t), self.memory, self._views.lenses(self._clip, [t])[0]
        farthest = cv2.dilate(own, np.ones((3, 3), np.uint8)).astype(np.float32, copy=False)
        state, placed = np.empty(len(world.vertices), np.uint8), np.empty_like(world.vertices)
        pose = np.linalg.inv(self.poses[t])
        kernels.place_vertices(
            world.vertices, pose, lens, own, farthest, crossed_quads(own, self._views.limits(t)), SAME_DEPTH, SEAM_PX,
            state, placed,
        )  # fmt: skip
        index, faces = np.full(len(state), -1, np.int32), np.empty_like(world.faces)
        count, used = kernels.choose_faces(world.faces, state, index, faces)
        vertices, colors = np.empty((used, 3), np.float32), np.empty((used, 4), np.uint8)
        taken = index >= 0
        vertices[index[taken]], colors[index[taken]] = placed[taken], world.colors[taken]
        return Sheet(vertices, colors, faces[:count].copy())

    def limit_thickness(self, t: int, depth: Float32, rim: Bool, thickness: Float32, split: Split) -> None:
        """Shorten the walls of frame ``t`` behind what stands still to where other frames look through them."""
        of = self.witnesses
        there = np.linalg.inv(of.poses) @ self.poses[t]
        limits, (x, y) = np.array([SAME_DEPTH, WALL_MOVES, WALL_DEPTH, WALL_FRAMES]), self._views.rays(t)

        def work(first: int, last: int) -> None:
            kernels.limit_thickness(
                depth, rim, x, y, of.depths, of.crossed, of.nearest, there, of.lenses, limits, WALL_STEPS,
                first, last, thickness,
            )  # fmt: skip

        split(len(depth), work)

    def drop_bridges(self, t: int, strips: Float32) -> None:  # [4 * N, 3]
        """Leave bridges of frame ``t`` without area where other frames see something in their place, or through it."""
        of = self.witnesses
        there, limits = np.linalg.inv(of.poses) @ self.poses[t], np.array([SAME_DEPTH, WALL_DEPTH, WALL_FRAMES])
        kernels.drop_known(
            strips.reshape(-1, 4, 3), of.depths, of.crossed, of.nearest, there, of.lenses, limits, BRIDGE_STEPS
        )


def _remembered(of: Witnesses, rounds: list[list[int]], split: Split) -> Memory:
    """All sheets as one mesh."""
    held, parts, start, total = np.zeros(of.depths.shape, np.uint8), [], 0, 0
    done = np.zeros(len(of.depths), np.bool_)
    for together in rounds:
        found = [_found(of, k, held, done, split) for k in together]
        for n, k in enumerate(together):
            sheet, depth, colour = _sheet(of, together[: n + 1], found[n], held, split)
            part = _meshed(sheet, depth, colour, of.lenses[k], of.crossed[k])
            vertices = part.vertices @ of.poses[k, :3, :3].T + of.poses[k, :3, 3]
            parts.append(Memory(vertices.astype(np.float32), part.colors, part.faces + np.int32(start)))
            start, total = start + len(vertices), total + len(part.faces)
            if total > MOST_FACES:
                return _joined(parts)
        done[together] = True
    return _joined(parts)


def _joined(parts: list[Memory]) -> Memory:
    return Memory(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _covered(of: Witnesses, k: int, held: UInt8, by: Bool, split: Split) -> UInt8:  # [H, W]
    """Pixels of frame ``k`` whose surface the frames ``by`` [K] put into the memory."""
    covered, there = np.empty(of.depths.shape[1:], np.uint8), of.seen_from(k)

    def look(first: int, last: int) -> None:
        kernels.mark_covered(
            of.depths[k], of.depths, of.crossed, held, by, there, of.lenses, of.lenses[k], REMEMBERED_DEPTH, COARSER,
            first, last, covered,
        )  # fmt: skip

    split(len(covered), look)
    return covered


def _found(of: Witnesses, k: int, held: UInt8, done: Bool, split: Split) -> _Found:
    """What frame ``k`` has beyond the rounds that are ``done``; ``held[k]`` becomes what of it is remembered."""
    covered, there = _covered(of, k, held, done, split), of.seen_from(k)
    wanted, votes = _grown(covered == 0), np.empty(covered.shape, np.uint8)
    depth, colour = of.depths[k].copy(), of.colours[k].copy()
    asked = np.array([SAME_DEPTH, SAME_COLOUR, LOOKED_THROUGH])

    def ask(first: int, last: int) -> None:
        kernels.vote(
            of.depths[k], of.colours[k], wanted, of.depths, of.crossed, of.nearest, of.colours, there,
            of.lenses, of.lenses[k], asked, first, last, votes, depth, colour,
        )  # fmt: skip

    split(len(covered), ask)
    moved = _moved(of.depths[k], votes == kernels.CONTRADICTED)
    kept = (votes == kernels.CONFIRMED) & ~moved
    held[k] = kept | ((covered != 0) & ~moved)
    return _Found(covered != 0, kept, depth[kept], colour[kept])


def _sheet(
    of: Witnesses, together: list[int], found: _Found, held: UInt8, split: Split
) -> tuple[Bool, Float32, UInt8]:  # [H, W], [H, W], [H, W, 3]
    """What the last frame of ``together`` adds beside the others, with its depth and colour."""
    *others, k = together
    covered = found.covered
    if others:
        by = np.zeros(len(of.depths), np.bool_)
        by[others] = True
        covered = covered | (_covered(of, k, held, by, split) != 0)
    depth, colour = np.ones(covered.shape, np.float32), np.zeros((*covered.shape, 3), np.uint8)
    depth[found.kept], colour[found.kept] = found.depth, found.colour
    return found.kept & _grown(~covered), depth, colour


def _moved(depth: Float32, contradicted: Bool) -> Bool:  # [H, W] each
    """What goes with places that are looked through: all around them that does not lie behind them."""
    window = np.ones((2 * GROWN_PX + 1,) * 2, np.uint8)
    return depth <= (1 + SAME_DEPTH) * cv2.dilate(np.where(contradicted, depth, np.float32(0)), window)


def _grown(mask: Bool) -> Bool:  # [H, W]
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * GROWN_PX + 1,) * 2, np.uint8)) > 0


def _meshed(sheet: Bool, depth: Float32, colour: UInt8, lens: Float64, crossed: Bool) -> Memory:
    """A sheet in its frame's axes: whole quads where no edge crosses, else each pixel's own part of them."""
    height, width = sheet.shape
    corner = np.arange(height * width, dtype=np.int32).reshape(height, width)
    square = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], axis=-1)  # clockwise
    inside = sheet.reshape(-1)[square]
    whole = inside.all(axis=-1) & ~crossed
    used = np.full(height * width, -1, np.int32)
    pixels = np.unique(square[whole])
    used[pixels] = np.arange(len(pixels), dtype=np.int32)
    quads = used[square[whole]]
    flat, places = depth.reshape(-1), _rays(height, width, lens)
    # A pixel's part of a quad that is not whole: the quarter next to it, at its own depth.
    part = inside & ~whole[..., None]
    centre = places[square].mean(axis=2)  # [H - 1, W - 1, 2]
    vertices, colours, faces = [places[pixels]], [pixels], [quads[:, [3, 0, 1]], quads[:, [3, 1, 2]]]
    depths, start = [flat[pixels]], len(pixels)
    for n in range(4):
        at = part[..., n]
        own, middle = square[..., n][at], centre[at]
        along, back = (places[square[..., (n + d) % 4][at]] for d in (1, 3))
        here = places[own]
        vertices.append(np.stack([here, (here + along) / 2, middle, (here + back) / 2], axis=1).reshape(-1, 2))
        depths.append(np.repeat(flat[own], 4))
        colours.append(np.repeat(own, 4))
        first = start + 4 * np.arange(len(own), dtype=np.int32)[:, None]
        faces += [first + np.array([3, 0, 1], np.int32), first + np.array([3, 1, 2], np.int32)]
        start += 4 * len(own)
    z, shown = np.concatenate(depths)[:, None], np.concatenate(colours)
    colors = np.full((start, 4), 255, np.uint8)
    colors[:, :3] = colour.reshape(-1, 3)[shown]
    xy = np.concatenate(vertices) * z
    return Memory(np.concatenate([xy, z], axis=1).astype(np.float32), colors, np.concatenate(faces).astype(np.int32))


def _rays(height: int, width: int, lens: Float64) -> Float64:  # [H * W, 2]
    """x and y of each pixel at depth 1."""
    x, y = (np.arange(width) - lens[2]) / lens[0], (np.arange(height) - lens[3]) / lens[1]
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
