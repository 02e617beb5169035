"""One call from a video file to a depth file, with a summary that can be sent: what a server's depth job runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

from ex4d.depth.registry import DEFAULT_ESTIMATOR, get_estimator
from ex4d.depth.run import DepthOptions, EstimatedDepth, estimate_depth
from ex4d.depth.store import save_depth
from ex4d.depth.temporal import mean_flicker
from ex4d.lens import Lens
from ex4d.progress import Watch
from ex4d_ground.descriptions import MEANINGS, EstimatorInfo, Meaning
from ex4d_ground.takes import source_camera_record


@dataclass(frozen=True)
class DepthSummary:
    """What was estimated and on what terms; plain numbers and text."""

    estimator: str
    title: str
    """The estimator's name for people."""
    licence: str
    research_only: bool
    """True if the estimator, or the model chosen for it, may not be used commercially."""
    meaning: Meaning
    """Of the estimator's raw values."""
    meaning_text: str
    """The same in words."""
    unit: str
    """Of the depth in the file: "metres" or "scene units" (the scale is not known)."""
    num_frames: int
    height: int
    width: int
    fps: float
    intrinsics: tuple[float, float, float, float]
    """fx, fy, cx, cy in pixels."""
    fov_deg: float
    intrinsics_source: str
    """Where the focal length came from, for people."""
    filled: int
    """Pixels without depth that were filled."""
    sharpened: int
    """Pixels on soft depth edges that went to the near or the far side."""
    clamped: int
    """Pixels from behind the mesh's border that went to its front."""
    flicker_before: float | None
    """Mean over the clip, per cent; None if it was not measured."""
    flicker_after: float | None
    camera: dict[str, Any] | None
    """How the camera moved, as :func:`ex4d_ground.takes.source_camera_record` has it; None if it is not known."""
    notes: tuple[str, ...]
    """Sentences a user should read: memory that ran out and what was done, licence, assumed lens, cuts."""

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON-ready data."""
        return asdict(self)


def estimate_to_file(
    video: Path,
    target: Path,  # .npz, replaced as a whole or not at all
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    settings: Mapping[str, Any] | None = None,
    options: DepthOptions = DepthOptions(),
    lens: Lens | None = None,
    num_frames: int | None = None,
    seed: int = 42,
    **watch: Unpack[Watch],
) -> DepthSummary:
    """Estimate the depth of ``video`` into ``target``. Raises what :func:`estimate_depth` raises, and OutputError."""
    result = estimate_depth(
        video,
        estimator=estimator,
        settings=settings,
        options=options,
        lens=lens,
        num_frames=num_frames,
        seed=seed,
        **watch,
    )
    save_depth(target, result.file, **watch)
    return summarise(result, get_estimator(estimator).info(), unit_scale=options.convert.unit_scale)


def summarise(result: EstimatedDepth, info: EstimatorInfo, *, unit_scale: float = 1.0) -> DepthSummary:
    """The summary of a finished estimate by the estimator of ``info``, whose chosen model may restrict its licence."""
    file, report, lens = result.file, result.report, result.report.lens
    num_frames, height, width = file.depth.shape
    return DepthSummary(
        estimator=file.estimator,
        title=info.title,
        licence=file.licence,
        research_only=info.research_only or bool(file.details.get("research_only", False)),
        meaning=file.meaning,
        meaning_text=MEANINGS[file.meaning],
        unit="metres" if file.meaning == "metric" and unit_scale == 1.0 else "scene units",
        num_frames=num_frames,
        height=height,
        width=width,
        fps=file.fps,
        intrinsics=(lens.fx, lens.fy, lens.cx, lens.cy),
        fov_deg=lens.fov_deg,
        intrinsics_source=lens.source,
        filled=report.filled,
        sharpened=report.sharpened,
        clamped=report.clamped,
        flicker_before=mean_flicker(report.flicker_before),
        flicker_after=mean_flicker(report.flicker_after),
        camera=None if file.source_camera is None else source_camera_record(file.source_camera),
        notes=(*report.warnings, *report.notes),
    )
