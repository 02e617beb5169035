"""From drawn guides to a take: an engine run, and the takes of two eyes joined."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Unpack

import numpy as np
from msgspec import structs, to_builtins

from ex4d.dwmesh import DWMesh
from ex4d.engines import Engine, OnFrame, get_engine
from ex4d.engines.base import FirstEye
from ex4d.engines.kept_windows import KeptWindows
from ex4d.engines.shot import KEEP_LOADED, generate_shot
from ex4d.frames.ahead import aside
from ex4d.option_text import OptionText
from ex4d.progress import CancelToken, Watch
from ex4d.shots.draw import Drawing, RenderedShot, draw_shot
from ex4d.shots.layers import layers_of
from ex4d.takes import take_metadata
from ex4d.trajectory import near_depth_of
from ex4d.trajectory.timing import in_real_time
from ex4d.types import Clip, Sound, Take
from ex4d_ground.arrays import FAR
from ex4d_ground.cameras import Trajectory
from ex4d_ground.descriptions import EngineInfo
from ex4d_ground.errors import SettingError, WeightsError
from ex4d_ground.footage import Footage, exact_rate, rate_text, timecode_after
from ex4d_ground.options import MeshOptions
from ex4d_ground.stereo import Comfort, Eyes, fitting_eyes
from ex4d_ground.takes import TakeInfo, source_camera_record

AUTO = "auto"
"""The eyes' distance that fits the clip's depth (:func:`ex4d_ground.stereo.fitting_eyes`)."""


@dataclass(frozen=True)
class Stereo:
    """What is asked of the two eyes."""

    baseline: float | str
    """Distance of the eyes in the depth's unit, or :data:`AUTO`."""
    convergence: float | None = None
    """Depth without parallax; None: infinity, or what fits where the distance is :data:`AUTO`."""

    def __post_init__(self) -> None:
        named = (("stereo", "distance", self.baseline), ("convergence", "depth", self.convergence))
        for name, what, value in named:
            if isinstance(value, float | int) and not 0 < value < float("inf"):
                raise SettingError(OptionText(f"{{{name}}} must be a positive {what}, got {value:g}."))
            if isinstance(value, float | int) and not 1 / FAR <= value <= FAR:
                text = f"{{{name}}} must be between {1 / FAR:g} and {FAR:g}, got {value:g}."
                raise SettingError(OptionText(text))

    def eyes(self, clip: Clip, move: Trajectory) -> Eyes:
        """The eyes of a take of ``clip``; the left one is the camera of ``move``."""
        if isinstance(self.baseline, str):
            near, far = depth_range(clip)
            fitting = fitting_eyes(near, far, focal_px=float(move.intrinsics[0, 0]), width=move.width)
            return fitting if self.convergence is None else Eyes.of(fitting.distance, self.convergence)
        return Eyes.of(self.baseline, self.convergence)


def depth_range(clip: Clip) -> tuple[float, float]:
    """Depth of a clip's nearest and farthest thing in its first frame; infinity where it shows the sky."""
    far = float(clip.depth[0].max())
    return near_depth_of(clip), np.inf if far >= clip.sky_from else far


def comfort(eyes: Eyes, clip: Clip, move: Trajectory) -> Comfort:
    """Parallax of the clip's depth range through the move's first lens."""
    return Comfort.of(eyes, *depth_range(clip), focal_px=float(move.intrinsics[0, 0]), width=move.width)


def joined_eyes(eyes: Eyes, left: Take, right: Take) -> Take:
    """Both eyes' takes as one, which is the left one with the other beside it; coverage is the lesser of both."""
    return replace(left, right=right, eyes=eyes, coverage=np.minimum(left.coverage, right.coverage))


def run_engine(
    engine: Engine,
    shot: RenderedShot,
    *,
    settings: Mapping[str, Any],
    seed: int = 0,
    fps: float | None = None,
    keep_loaded: bool = False,
    layers: bool = False,
    kept: KeptWindows | None = None,
    beside: tuple[RenderedShot, Take] | None = None,
    on_frame: OnFrame | None = None,
    **watch: Unpack[Watch],
) -> Take:
    """Run an engine on a rendered shot and keep everything needed to make the result again.

    ``settings`` are all of the engine's; ``keep_loaded`` leaves its model loaded for the next shot, whatever they say.
    ``kept`` is where an engine with windows keeps those that are done. ``fps`` of None is the clip's. A take of a plate
    has layers in the plate's depth; ``layers`` asks for mask and depth of any other. ``beside`` is the left eye's shot
    and take where this is the right eye's: an engine that can fills its holes alike. ``on_frame`` is told each finished
    frame. Raises what the engine raises, and Cancelled.
    """
    fps = shot.clip.fps if fps is None else fps
    info = engine.info()
    licences = {f"engine {info.name}": info.licence}
    used: dict[str, Any] = {}

    def describe(stop: CancelToken) -> dict[str, Any]:
        return take_metadata(shot.clip, licences=licences, cancel=stop)

    with aside(describe, watch.get("cancel")) as described:  # reads the whole clip, for its checksum
        frames = generate_shot(
            engine,
            shot.plan,
            shot.guides_with_lead_in,
            shot.clip,
            settings={**settings, KEEP_LOADED: True} if keep_loaded else settings,
            seed=seed,
            fps=fps,
            kept=kept,
            first_eye=None if beside is None else _first_eye(*beside),
            on_frame=on_frame,
            on_used=used.__setitem__,
            **watch,
        )
        metadata = described()
    details = _details(shot, info, fps, used)
    take = Take(frames, fps, info.name, dict(settings), seed, shot.trajectory, shot.guides.coverage, metadata, details)
    take = replace(take, sound=sound_of(shot, fps)[0])
    if not layers and shot.clip.plate is None:
        return take
    return replace(take, layers=layers_of(shot, frames, info, settings))


def _details(shot: RenderedShot, engine: EngineInfo, fps: float, used: dict[str, Any]) -> TakeInfo:
    """What a take's description says of its shot beside its frames; ``used`` is how the engine says it worked."""
    return TakeInfo(
        engine=engine.name,
        engine_licence=engine.licence,
        rasterizer=shot.rasterizer,
        lead_in_frames=shot.plan.trim,
        used=used,
        mesh={"options": to_builtins(shot.mesh.options)},
        raster=to_builtins(shot.drawing.options),
        footage=_footage(shot, fps),
        colour=None if shot.clip.view is None else shot.clip.view.space,
        tone_mapped=shot.clip.view is not None and shot.clip.view.tone,
        clip=source_camera_of(shot.clip),
    )


def _first_eye(shot: RenderedShot, take: Take) -> FirstEye | None:
    """The left eye as it was finished; None where frames were made in front of it that are gone."""
    return None if shot.plan.trim else FirstEye(shot.guides, shot.trajectory, take.frames)


def source_camera_of(clip: Clip) -> dict[str, Any]:
    """What a take's ``clip`` says of the camera that filmed it: nothing of one that stood still."""
    moving = clip.moving_camera
    return {} if moving is None else {"source_camera": source_camera_record(moving)}


def _footage(shot: RenderedShot, fps: float) -> Footage:
    """What stays with the take: the time code is that of the source frame that the first frame shows."""
    footage, move = shot.clip.footage, shot.trajectory
    rate = exact_rate(fps)
    if fps == shot.clip.fps and footage.rate:
        rate = Fraction(footage.rate)
    code = (
        timecode_after(footage.timecode, round(float(move.source_time[0])), rate)
        if in_real_time(move.source_time)
        else ""
    )
    heard = sound_of(shot, fps)[0] is not None
    return structs.replace(footage, rate=rate_text(rate), timecode=code, sound=heard)


def sound_of(shot: RenderedShot, fps: float | None = None) -> tuple[Sound | None, str]:
    """The sound of a take of this shot, and a sentence where the source's is left out."""
    clip, move = shot.clip, shot.trajectory
    if not clip.footage.sound:
        return None, ""
    if clip.sound is None or fps not in (None, clip.fps):
        return None, "The clip's sound is left out: the take has another frame rate."
    if not in_real_time(move.source_time):
        return None, "The clip's sound is left out: the move does not follow the clip's time."
    return Sound(clip.sound, float(np.floor(move.source_time[0] + 0.5)) / clip.fps), ""


def generate(
    source: DWMesh | Clip,
    trajectory: Trajectory,
    *,
    engine: str = "preview",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    fps: float | None = None,
    drawing: Drawing = Drawing(),
    on_frame: OnFrame | None = None,
    **watch: Unpack[Watch],
) -> Take:
    """Draw the guides of a move and have an engine finish them; a clip gets a mesh with solid occluders.

    ``settings`` that are not given take the engine's defaults. Raises SettingError, MissingExtraError, WeightsError,
    RasterError, TrajectoryError, what the engine raises, and Cancelled.
    """
    maker = get_engine(engine)
    info = maker.info()
    chosen = info.validated(settings or {})
    if not info.available:
        raise WeightsError(info.missing, remedy=info.remedy)
    mesh = DWMesh(source, MeshOptions(mode="solid")) if isinstance(source, Clip) else source
    shot = draw_shot(mesh, trajectory, drawing, settings=chosen, **watch)
    return run_engine(maker, shot, settings=chosen, seed=seed, fps=fps, on_frame=on_frame, **watch)
