"""From a video to checked z-depth: estimate, align, steady, convert, mend edges; or the same from a depth file.

Steps run one after the other over arrays that are memory-mapped when large, so memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ex4d.clip.depth import read_opened
from ex4d.clip.pairing import paired_sources
from ex4d.clip.resample import require_same_view, resized
from ex4d.depth.align import Alignment, align
from ex4d.depth.base import DepthEstimate, FrameSource
from ex4d.depth.convert import ConvertOptions, FileKind, file_to_depth, length_factor, values_to_depth
from ex4d.depth.edge_steps import edge_steps
from ex4d.depth.edges import EdgeOptions
from ex4d.depth.estimator import recorded
from ex4d.depth.fallback import estimate_within_memory
from ex4d.depth.frames import StreamedFrames, open_frames, opened_beside
from ex4d.depth.lens import lens_warning, resolve_lens
from ex4d.depth.registry import DEFAULT_ESTIMATOR, get_estimator
from ex4d.depth.store import DepthFile, new_values
from ex4d.depth.temporal import TemporalOptions, flicker, mean_flicker, steady
from ex4d.frames import Frames
from ex4d.lens import Lens
from ex4d.progress import Watch, reported
from ex4d.types import Clip
from ex4d_ground import stages
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import EstimatorInfo
from ex4d_ground.errors import DepthError
from ex4d_ground.remedies import fewer_frames
from ex4d_ground.source_camera import SourceCamera

ZOOM = 0.1
"""Share by which an estimated focal length has to change over a clip to be a zoom and not the estimate's own unrest."""


@dataclass(frozen=True)
class DepthOptions:
    """What happens to the depth of a clip, besides the estimator's own settings."""

    align: bool | None = None
    """Per-frame scale and shift; None: for estimators that look at one image at a time."""
    steady: bool | None = None
    """Temporal filter; None: for estimators that look at one image at a time."""
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    convert: ConvertOptions = field(default_factory=ConvertOptions)
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    measure_flicker: bool = True

    @classmethod
    def ex4d_parity(cls) -> DepthOptions:
        """EX-4D's own: its mapping of the estimator's output and nothing else."""
        return cls(False, False, edges=EdgeOptions(fill=False, sharpen=False, clamp_far=False), measure_flicker=False)


@dataclass(frozen=True)
class DepthReport:
    """What was done, for people and for the record."""

    lens: Intrinsics
    notes: tuple[str, ...] = ()
    """Sentences a user should read: licence, assumed lens, cuts."""
    warnings: tuple[str, ...] = ()
    """What was not done as asked because memory ran out: told while it happened, see :mod:`ex4d.depth.fallback`."""
    filled: int = 0
    """Pixels that held no depth and were filled."""
    sharpened: int = 0
    """Pixels on soft depth edges that went to one side."""
    clamped: int = 0
    """Pixels brought in front of the border shell."""
    alignment: Alignment | None = None
    flicker_before: Float64 | None = None
    """Per frame, in per cent; see :func:`ex4d.depth.temporal.flicker`."""
    flicker_after: Float64 | None = None

    def lines(self) -> list[str]:
        """The report, one fact a line."""
        return [
            f"Focal length: {self.lens.fx:.1f} px ({self.lens.fov_deg:.1f} deg), {self.lens.source}.",
            *self.details(),
        ]

    def details(self) -> list[str]:
        """:meth:`lines` without the first, the focal length."""
        facts = []
        if self.flicker_before is not None and self.flicker_after is not None:
            before, after = (mean_flicker(f) or 0.0 for f in (self.flicker_before, self.flicker_after))
            facts.append(f"Flicker: {before:.2f} % before, {after:.2f} % after.")
        if self.alignment is not None:
            spread = float(self.alignment.scale.max() / self.alignment.scale.min())
            facts.append(f"Aligned: frame scales differed by a factor of {spread:.2f}.")
        if self.filled:
            facts.append(f"Filled {self.filled} pixels without depth.")
        if self.sharpened:
            facts.append(f"Sharpened soft depth edges: {self.sharpened} pixels went to the near or the far side.")
        if self.clamped:
            facts.append(f"Moved {self.clamped} pixels from behind the mesh's border to its front.")
        return [*facts, *self.notes]


@dataclass(frozen=True)
class EstimatedDepth:
    """Depth of a clip, ready to be saved or to become a :class:`~ex4d.types.Clip`."""

    file: DepthFile
    report: DepthReport


def estimate_depth(
    source: Path | Frames | FrameSource,
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    settings: Mapping[str, Any] | None = None,
    options: DepthOptions = DepthOptions(),
    lens: Lens | None = None,
    lens_from: Path | None = None,
    num_frames: int | None = None,
    fps: float = 15.0,
    pixel_aspect: float = 1.0,
    seed: int = 42,
    **watch: Unpack[Watch],
) -> EstimatedDepth:
    """Depth and lens of a video file, a folder of images or frames [T, H, W, 3] uint8.

    ``lens`` overrides everything that metadata or the estimator know; ``lens_from`` is the file whose metadata is asked
    (the source itself, if it is a path), ``fps`` and ``pixel_aspect`` are for arrays. Raises what
    :meth:`DepthEstimator.estimate` raises, ClipError and SettingError.
    """
    chosen = get_estimator(estimator)
    info = chosen.info()
    values = info.validated(settings or {})
    frames = open_frames(source, num_frames=num_frames, fps=fps, cancel=watch.get("cancel"))
    raw = estimate_within_memory(chosen, frames, settings=values, seed=seed, **watch)
    asked = source if isinstance(source, Path) else lens_from
    aspect = frames.info.pixel_aspect if isinstance(frames, StreamedFrames) else pixel_aspect
    used = resolve_lens(
        frames.width, frames.height, given=lens, video=asked, estimated=raw.intrinsics, pixel_aspect=aspect
    )
    steps = _Steps(frames, used, options, info, watch)
    depth, report_ = steps.run(raw)
    camera, said = steps.camera, steps.camera_note
    licence = licence_of(info, raw)
    read = frames.info.notes if isinstance(frames, StreamedFrames) else []
    warnings = (
        *read,
        *raw.notes,
        said,
        *((f"{info.title}: {licence}.",) if info.research_only else ()),
        lens_warning(used),
    )
    details = raw.details | {"settings": recorded(values), "lens_source": used.source}
    details |= {"out_of_memory": list(raw.warnings)} if raw.warnings else {}
    file = DepthFile(depth, info.name, licence, raw.meaning, frames.fps, used, details, camera)
    notes = (*report_.notes, *(w for w in warnings if w))
    return EstimatedDepth(file, replace(report_, notes=notes, warnings=raw.warnings))


def depth_from_file(
    source: Path,
    *,
    video: Path | UInt8 | FrameSource,
    kind: FileKind = "depth",
    scale: float | None = None,
    offset: float = 0.0,
    channel: str | None = None,
    options: DepthOptions = DepthOptions(align=False, steady=False, measure_flicker=False),
    lens: Lens | None = None,
    num_frames: int | None = None,
    **watch: Unpack[Watch],
) -> EstimatedDepth:
    """Depth that another program wrote, made z-depth of ``video``: sequences, disparity, inverted, scaled, Z passes.

    Raises DepthError (unreadable, other length or size than the video), ClipError, SettingError.
    """
    video_source, depth_source, note = video, source, ""
    if isinstance(video, Path):
        video_source, depth_source, note = paired_sources(video, source, num_frames=num_frames)
    frames = open_frames(video_source, num_frames=num_frames, cancel=watch.get("cancel"))
    streamed = frames.info if isinstance(frames, StreamedFrames) else None
    used = resolve_lens(
        frames.width,
        frames.height,
        given=lens,
        video=video if isinstance(video, Path) else None,
        pixel_aspect=streamed.pixel_aspect if streamed else 1.0,
    )
    is_depth = kind in ("depth", "ray")  # elsewhere the largest number is the nearest
    how = {"scale": scale, "channel": channel, "num_frames": num_frames, "maximum_is_hole": is_depth}
    opened = opened_beside(frames, depth_source, **how)
    size = (frames.height, frames.width)
    require_same_view((opened.height, opened.width), size, opened.label)
    if opened.num_frames != frames.num_frames:
        both, one = min(opened.num_frames, frames.num_frames), opened.num_frames == 1
        raise DepthError(
            f"{source} holds {opened.num_frames} frame{'' if one else 's'} of depth but the video has "
            f"{frames.num_frames}; give depth of the video's own length.",
            remedy=fewer_frames(both) if both > 1 else None,
        )
    values = read_opened(opened, **watch)
    values = file_to_depth(
        values, kind, offset=offset, intrinsics=used.resized(opened.width, opened.height), cancel=watch.get("cancel")
    )
    notes = list(streamed.notes) if streamed else []
    if values.shape[1:] != size:
        values = np.stack([resized(frame, size) for frame in values])
        notes.append(f"{source} is brought from {opened.width}x{opened.height} pixels to the video's, its edges kept.")
    info = EstimatorInfo("file", f"Depth file {source.name}", "scale-free", "as the file's", temporally_steady=True)
    # numbers of a file are in its own units: keep them, apart from what the user asked to scale
    raw = DepthEstimate(values, "metric", details={"file": source.name, "kind": kind})
    depth, report_ = _Steps(frames, used, options, info, watch, estimated=False).run(raw)
    warnings = tuple(w for w in (note, *notes, lens_warning(used)) if w)
    file = DepthFile(depth, "file", "", "scale-free", frames.fps, used, raw.details | {"lens_source": used.source})
    return EstimatedDepth(file, replace(report_, notes=(*report_.notes, *warnings)))


def to_clip(frames: Frames, estimated: EstimatedDepth, *, name: str = "clip") -> Clip:  # frames [T, H, W, 3]
    """The frames with their depth, lens and the depth's licence. Raises DepthError if they do not fit."""
    file = estimated.file
    return Clip(frames, np.asarray(file.depth), estimated.report.lens, file.fps, name, file.estimator, file.licence)


def licence_of(info: EstimatorInfo, raw: DepthEstimate) -> str:
    """The licence for the record: research-only models say so, also where only the chosen size is restricted."""
    restricted = raw.details.get("research_only", False)
    return info.licence_text if info.research_only or not restricted else f"{info.licence} - RESEARCH ONLY"


@dataclass
class _Steps:
    """The steps after estimation, with what they all need."""

    frames: FrameSource
    lens: Intrinsics
    options: DepthOptions
    info: EstimatorInfo
    watch: Watch
    estimated: bool = True
    """False for depth from a file."""
    camera: SourceCamera | None = None
    """What :meth:`run` found of the estimator's camera: in the finished depth's unit."""
    camera_note: str = ""
    _notes: list[str] = field(default_factory=list)

    def run(self, raw: DepthEstimate) -> tuple[Float32, DepthReport]:
        values, meaning, options = raw.values, raw.meaning, self.options
        cancel = self.watch.get("cancel")
        single = not self.info.temporally_steady
        before = after = self._flicker(raw, values)
        alignment = None
        if (single if options.align is None else options.align) and len(values) > 1:
            alignment = align(values, self.frames, meaning, self.lens, **self.watch)
            values = alignment.apply(values, cancel=cancel)
            self._note_cuts(alignment)
        if (single if options.steady is None else options.steady) and len(values) > 2:
            target = new_values((values.shape[0], values.shape[1], values.shape[2]))
            values = steady(values, self.frames, meaning, target, options=options.temporal, **self.watch)
        if values is not raw.values or alignment is not None:
            after = self._flicker(raw, values)
        self._hand_on(raw, values, aligned=alignment is not None)
        depth = values_to_depth(
            values, meaning, zero_is_infinity=raw.zero_is_infinity, options=options.convert, cancel=cancel
        )
        counts = self._edges(depth)
        mended = (counts.get("fill", 0), counts.get("sharpen", 0), counts.get("clamp", 0))
        return depth, DepthReport(self.lens, tuple(self._notes), (), *mended, alignment, before, after)

    def _hand_on(self, raw: DepthEstimate, values: Float32, *, aligned: bool) -> None:
        """Keep the estimator's camera, with the clip's lens; a lens that wavers by less than a zoom does is one."""
        if raw.source_camera is None:
            return
        factor = None if aligned else length_factor(values, raw.meaning, self.options.convert)
        if factor is None:
            why = "each frame was brought to a scale of its own" if aligned else "its depth has no unit"
            self.camera_note = f"How the estimator says that the camera moved is left out, as {why}."
            return
        own, k = raw.source_camera.intrinsics, self.lens
        zooms = float(np.ptp(own[:, 0]) / np.median(own[:, 0])) > ZOOM
        focal = own[:, :2] / own[0, :2] if zooms else np.ones((len(own), 2))
        rows = np.concatenate([focal * (k.fx, k.fy), np.tile((k.cx, k.cy), (len(own), 1))], axis=1)
        self.camera = replace(raw.source_camera, intrinsics=rows, width=k.width, height=k.height).scaled(factor)
        self.camera_note = "The estimator also says how the camera moved; that is kept with the depth."

    def _flicker(self, raw: DepthEstimate, values: Float32) -> Float64 | None:
        if not self.options.measure_flicker or len(values) < 3:
            return None
        return flicker(values, self.frames, raw.meaning, **self.watch)

    def _note_cuts(self, alignment: Alignment) -> None:
        if alignment.cuts:
            listed = ", ".join(str(t + 1) for t in alignment.cuts[:8])
            self._notes.append(
                f"Frames {listed} share too little with the frames before them to be aligned; split the clip at cuts."
            )

    def _edges(self, depth: Float32) -> dict[str, int]:
        """Mend every frame in place; how many pixels each step changed."""
        steps = edge_steps(self.options.edges, estimated=self.estimated)
        totals = dict.fromkeys(steps, 0)
        for index, frame in enumerate(
            reported(self.frames if steps else (), stages.DEPTH_EDGES, len(depth), **self.watch)
        ):
            for name, step in steps.items():
                depth[index], count = step(depth[index], frame)
                totals[name] += count
        return totals
