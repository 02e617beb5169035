"""How the preview engine paints: the frames of a take in order, or one frame alone for live views."""

from dataclasses import dataclass

import cv2
import numpy as np

from ex4d.bands import Split, serial
from ex4d.compiled.arrays import plain
from ex4d.engines.base import GenerateRequest
from ex4d.engines.both_eyes import OtherEye
from ex4d.engines.fill import ColourVotes, Filled, away_from_source, fill_from_background
from ex4d.engines.guide_depth import GuideDepth
from ex4d.engines.paint_kernels import finish
from ex4d.engines.preview_settings import PreviewSettings
from ex4d.engines.steady import SteadyFill
from ex4d.engines.world_fill import WorldFill
from ex4d.fill import World
from ex4d.frames.ahead import thread_count, workers_within
from ex4d.types import Guides, KnownFrame, working_size
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.errors import ShapeError
from ex4d_ground.poses import inverse

HOLE_TINT = np.array([255.0, 0.0, 128.0], np.float32)
"""Colour that ``mark_holes`` mixes into invented pixels."""

_WHOLE = 3
"""Pixels across below which what else the clip shows is left out: points and teeth that flicker."""

_WORKING_BYTES_PER_PIXEL = 110
"""A frame's guide, its fill in floats, what the place shows, and a quarter as many pixels of the working grid."""


def preview_frame(
    request: GenerateRequest,
    settings: PreviewSettings,
    world: World | None,
    *,
    smeared: bool | None = None,
    split: Split = serial,
) -> UInt8:  # [H, W, 3]
    """The first frame of ``request`` alone, as the engine paints it, for live views.

    It is what a take shows there whose frames are not steadied (``temporal`` 0). ``settings`` stand in for the
    request's, ``world`` is the place of its clip for them, and ``smeared`` as :class:`GuideDepth` takes it; ``split``
    shares rows among threads. Raises ShapeError.
    """
    check_shapes(request)
    by_place = WorldFill(request, world, split) if settings.fill == "world" else None
    painter = PreviewPainter(request, settings, by_place, smeared=smeared, split=split)
    return painter.paint(0, painter.prepare(0))


def check_shapes(request: GenerateRequest) -> None:
    """Raise ShapeError where colours, masks and move do not belong together."""
    colour, mask, move = request.guides.colour, request.guides.mask, request.trajectory
    if colour.ndim != 4 or colour.shape[3] != 3 or colour.dtype != np.uint8:
        raise ShapeError(f"Guide colours must be [N, H, W, 3] uint8, got {colour.shape} {colour.dtype}.")
    if mask.shape != colour.shape[:3] or mask.dtype != np.bool_:
        raise ShapeError(f"Guide masks must be {colour.shape[:3]} bool, got {mask.shape} {mask.dtype}.")
    if (len(move), move.height, move.width) != colour.shape[:3]:
        raise ShapeError(
            f"The move has {len(move)} frames of {move.width}x{move.height}, the guides {len(colour)} of "
            f"{colour.shape[2]}x{colour.shape[1]}; render the guides with this move."
        )


@dataclass(frozen=True)
class _Prepared:
    """One frame, as far as it can be painted without the one before."""

    colour: UInt8  # [H, W, 3] the guide
    mask: Bool  # [H, W]
    fill: Filled | Float32  # or [H, W, 3]
    depth: Float32 | None = None  # [h, w] on the working grid


class PreviewPainter:
    """Paints frames in order, keeping what the next frame needs of this one; they may be prepared side by side."""

    def __init__(
        self,
        request: GenerateRequest,
        settings: PreviewSettings,
        world: WorldFill | None,
        *,
        smeared: bool | None = None,
        split: Split = serial,
    ) -> None:
        self._request = request
        self._settings = settings
        move, clip = request.trajectory, request.clip
        seen = move if clip is None else clip.seen_by_source(move)
        self._camera_from_world = inverse(move.world_from_camera)
        self._camera_from_source = self._camera_from_world if seen is move else inverse(seen.world_from_camera)
        self._depth = GuideDepth(request, smeared)
        self._steady = SteadyFill(settings.temporal)
        self._memory = ColourVotes()
        self._world, self._split = world, split
        by_place = settings.fill in ("world", "background") and not settings.mark_holes
        first = request.first_eye if by_place else None  # marked colours are nothing to go on with
        self._other = None if first is None else OtherEye(request, first, lambda i: self._shown(first.guides, i), world)
        self._last_painted: UInt8 | None = None
        self._tint: Float32 = np.array([*HOLE_TINT, settings.mark_holes], np.float32)

    @property
    def without_world(self) -> str:
        """Why the place fills nothing, "" if it does or is not asked for."""
        return "" if self._world is None else self._world.missing

    @property
    def planes(self) -> str:
        """The planes of the place, for people."""
        return "" if self._world is None else self._world.planes

    @property
    def workers(self) -> int:
        """How many frames may be prepared side by side: without depth each adds to what is known of colours."""
        move = self._request.trajectory
        most = workers_within(thread_count(), _WORKING_BYTES_PER_PIXEL * move.height * move.width)
        return most if self._depth.is_known else 1

    def prepare(self, i: int) -> _Prepared | None:
        """Fill frame ``i``; None where it is the one before once more."""
        if self._same_as_last(i):
            return None
        layer = self._request.guides.known
        known = None if layer is None else layer.of(i)
        colour, mask = self._shown(self._request.guides, i)
        if self._settings.fill == "none":
            return _Prepared(colour, mask, np.zeros(colour.shape, np.float32))
        if self._settings.fill == "nearest":
            return _Prepared(colour, mask, _fill_nearest(colour, mask))
        height, width = mask.shape
        h, w = working_size(height, width)
        lens = self._request.trajectory.intrinsics[i] * np.array([w / width, h / height, w / width, h / height])
        view = self._camera_from_source[i]
        away = away_from_source((h, w), lens.astype(np.float32), view[:3, 3].astype(np.float32))
        depth = self._depth.half(i, lens, view, known)
        beside = depth if known is None else self._depth.with_ramps(i, lens, view, known)
        colour, mask = plain(colour), plain(mask)
        softness, memory, split = self._settings.softness, self._memory, self._split
        filled = fill_from_background(colour, mask, beside, away, softness=softness, memory=memory, split=split)
        if self._world is not None:
            self._world.paint(i, mask, filled, depth)
        return _Prepared(colour, mask, filled, depth)

    def paint(self, i: int, prepared: _Prepared | None) -> UInt8:  # [H, W, 3]
        """The finished frame ``i``."""
        if prepared is None:
            # Not only cheaper: a static camera over a still picture must not shimmer by a single level.
            assert self._last_painted is not None
            return self._last_painted
        colour, mask, fill = prepared.colour, prepared.mask, prepared.fill
        if isinstance(fill, Filled):
            lens = self._request.trajectory.intrinsics[i]
            self._steady.follow(mask, fill, self._camera_from_world[i], lens, prepared.depth)
            if self._other is not None:
                self._other.follow(i, mask, fill, self._camera_from_source[i], prepared.depth)
            fill = fill.painted
        out = np.empty(colour.shape, np.uint8)
        finish(plain(colour), plain(mask), fill, self._tint, out)
        self._last_painted = out
        return out

    def _shown(self, guides: Guides, i: int) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """What needs no filling in frame ``i``: the guide, and what else the clip shows where there is that layer."""
        colour, mask = guides.colour[i], guides.mask[i]
        known = None if guides.known is None else guides.known.of(i)
        if known is None or not self._settings.known_first or not known.where.size:
            return colour, mask
        colour, shown = colour.copy(), mask.copy()
        colour.reshape(-1, 3)[known.where], shown.reshape(-1)[known.where] = known.colour, True
        whole = cv2.morphologyEx(shown.view(np.uint8), cv2.MORPH_OPEN, np.ones((_WHOLE, _WHOLE), np.uint8)) > 0
        return colour, mask | whole

    def _same_as_last(self, i: int) -> bool:
        guides, move = self._request.guides, self._request.trajectory
        return (
            i > 0
            and np.array_equal(move.world_from_camera[i], move.world_from_camera[i - 1])
            and np.array_equal(self._camera_from_source[i], self._camera_from_source[i - 1])
            and np.array_equal(move.intrinsics[i], move.intrinsics[i - 1])
            and np.array_equal(guides.mask[i], guides.mask[i - 1])
            and np.array_equal(guides.colour[i], guides.colour[i - 1])
            and (guides.known is None or _same(guides.known.of(i), guides.known.of(i - 1)))
        )


def _same(one: KnownFrame, other: KnownFrame) -> bool:
    return np.array_equal(one.where, other.where) and np.array_equal(one.colour, other.colour)


def _fill_nearest(colour: UInt8, mask: Bool) -> Float32:  # [H, W, 3]
    """Every hole pixel takes its nearest visible pixel's colour; mid-dark grey if nothing is visible."""
    if not mask.any():
        return np.full(colour.shape, 40.0, np.float32)
    _, labels = cv2.distanceTransformWithLabels((~mask).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(labels.max()) + 1, 3), np.float32)
    nearest = np.asarray(labels, np.int32)
    colours[nearest[mask]] = colour[mask]
    return colours[nearest]
