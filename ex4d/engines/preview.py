"""The preview engine: fills what the source never showed from the background side, without any model.

It runs on any machine, keeps every visible pixel of the guide as it is, and marks its results as a preview.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Unpack

import cv2
import numpy as np

from ex4d.engines.base import GenerateRequest, Hooks
from ex4d.engines.fill import ColourVotes, away_from_source, fill_from_background, half_size
from ex4d.engines.gpu import Gpu
from ex4d.engines.guide_depth import GuideDepth
from ex4d.engines.steady import SteadyFill
from ex4d.frames import Frames, FrameStack
from ex4d.progress import check, report
from ex4d.settings import About, settings_of
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo
from ex4d_ground.errors import ShapeError
from ex4d_ground.poses import inverse

HOLE_TINT = np.array([255.0, 0.0, 128.0], np.float32)
"""Colour that ``mark_holes`` mixes into invented pixels."""

_SECONDS = 0.4  # per frame of a million pixels, two cores of a small server


@dataclass(frozen=True)
class PreviewSettings:
    """What the preview engine lets people choose."""

    fill: Annotated[
        Literal["background", "nearest", "none"],
        About("What fills the holes: the background's colours, the nearest visible colour, or nothing (black)."),
    ] = "background"
    softness: Annotated[
        float,
        About("How soft the background fill is: 0 continues its fine texture, 1 keeps only smooth colour.", 0.0, 1.0),
    ] = 0.4
    temporal: Annotated[
        float,
        About(
            "How much of a filled pixel comes from the frame before, following the camera: steadier, but slower to "
            "change.",
            0.0,
            0.95,
        ),
    ] = 0.7
    mark_holes: Annotated[
        float, About("How strongly invented pixels are tinted, so that nobody takes them for footage.", 0.0, 1.0)
    ] = 0.0


class PreviewEngine:
    """Hole filling on the CPU; no weights, nothing random (the seed is recorded and changes nothing)."""

    about = EngineInfo(
        name="preview",
        title="Preview (hole filling, no model)",
        settings=settings_of(PreviewSettings),
        licence="Apache-2.0",
        is_preview=True,
    )
    needs_gpu = False

    def info(self) -> EngineInfo:
        """Name, settings and licence: the same everywhere."""
        return self.about

    def generate(self, request: GenerateRequest, **hooks: Unpack[Hooks]) -> Frames:  # [N, H, W, 3]
        """Fill the guides' holes frame by frame, in order. Raises SettingError, ShapeError, Cancelled."""
        settings = PreviewSettings(**self.about.validated(request.settings))
        _check_shapes(request)
        on_frame, on_progress = hooks.get("on_frame"), hooks.get("on_progress")
        count = len(request.guides.colour)
        out = FrameStack(expected=count, label="The preview")
        painter = _Painter(request, settings)
        report(on_progress, stages.PREVIEW, 0, count)
        for i in range(count):
            check(hooks.get("cancel"))
            painted = painter.paint(i)
            out.append(painted)
            if on_frame is not None:
                on_frame(i, painted)
            report(on_progress, stages.PREVIEW, i + 1, count)
        return out.frames()

    @staticmethod
    def cost(frames: int, width: int, height: int, settings: Mapping[str, Any], gpu: Gpu | None) -> Cost:
        """Time on the processor alone, whatever the settings. Raises SettingError."""
        PreviewEngine.about.validated(settings)
        return Cost("preview", frames, width, height, seconds=_SECONDS * frames * width * height / 1e6)


def _check_shapes(request: GenerateRequest) -> None:
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


class _Painter:
    """Paints frames in order, keeping what the next frame needs of this one."""

    def __init__(self, request: GenerateRequest, settings: PreviewSettings) -> None:
        self._request = request
        self._settings = settings
        self._camera_from_world = inverse(request.trajectory.world_from_camera)
        self._depth = GuideDepth(request)
        self._steady = SteadyFill(settings.temporal)
        self._memory = ColourVotes()
        self._last: int | None = None
        self._last_painted: UInt8 | None = None

    def paint(self, i: int) -> UInt8:  # [H, W, 3]
        if self._last_painted is not None and self._same_as_last(i):
            # Not only cheaper: a static camera over a still picture must not shimmer by a single level.
            self._last = i
            return self._last_painted
        colour, mask = self._request.guides.colour[i], self._request.guides.mask[i]
        painted = np.where(mask[..., None], colour, self._fill(i, colour, mask))
        self._last, self._last_painted = i, painted
        return painted

    def _same_as_last(self, i: int) -> bool:
        guides, move, last = self._request.guides, self._request.trajectory, self._last
        return (
            np.array_equal(move.world_from_camera[i], move.world_from_camera[last])
            and np.array_equal(move.intrinsics[i], move.intrinsics[last])
            and np.array_equal(guides.mask[i], guides.mask[last])
            and np.array_equal(guides.colour[i], guides.colour[last])
        )

    def _fill(self, i: int, colour: UInt8, mask: Bool) -> UInt8:  # [H, W, 3]
        settings = self._settings
        if settings.fill == "none":
            filled = np.zeros(colour.shape, np.float32)
        elif settings.fill == "nearest":
            filled = _fill_nearest(colour, mask)
        else:
            filled = self._fill_background(i, colour, mask)
        if settings.mark_holes > 0:
            filled = filled + settings.mark_holes * (HOLE_TINT - filled)
        return np.rint(filled).astype(np.uint8)

    def _fill_background(self, i: int, colour: UInt8, mask: Bool) -> Float32:  # [H, W, 3]
        height, width = mask.shape
        h, w = half_size(height, width)
        scale = np.array([w / width, h / height, w / width, h / height])
        lens = self._request.trajectory.intrinsics[i] * scale
        view = self._camera_from_world[i]
        away = away_from_source((h, w), lens.astype(np.float32), view[:3, 3].astype(np.float32))
        depth = self._depth.half(i, lens, view)
        filled = fill_from_background(colour, mask, depth, away, softness=self._settings.softness, memory=self._memory)
        inverse_depth = None
        if depth is not None:
            nearness = np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0)[..., None].astype(np.float32)
            inverse_depth = filled.sides.spread(nearness)[..., 0]
        return self._steady.follow(colour, mask, filled, view, lens, depth, inverse_depth)


def _fill_nearest(colour: UInt8, mask: Bool) -> Float32:  # [H, W, 3]
    """Every hole pixel takes its nearest visible pixel's colour; mid-dark grey if nothing is visible."""
    if not mask.any():
        return np.full(colour.shape, 40.0, np.float32)
    _, labels = cv2.distanceTransformWithLabels((~mask).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((int(labels.max()) + 1, 3), np.float32)
    nearest = np.asarray(labels, np.int32)
    colours[nearest[mask]] = colour[mask]
    return colours[nearest]
