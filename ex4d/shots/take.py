"""From drawn guides to a take: an engine run, and the pictures of two eyes joined."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Unpack

import numpy as np
from msgspec import to_builtins

from ex4d.dwmesh import DWMesh
from ex4d.engines import Engine, OnFrame, get_engine
from ex4d.engines.shot import KEEP_LOADED, generate_shot
from ex4d.engines.stereo import right_eye, side_by_side
from ex4d.option_text import OptionText
from ex4d.progress import Watch
from ex4d.shots.draw import Drawing, RenderedShot, draw_shot
from ex4d.takes import take_metadata
from ex4d.types import Clip, Take
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError, WeightsError
from ex4d_ground.options import MeshOptions
from ex4d_ground.takes import TakeInfo


@dataclass(frozen=True)
class Stereo:
    """The second eye."""

    baseline: float
    """Distance of the eyes in the depth's unit."""
    convergence: float | None = None
    """Depth without parallax; None: infinity."""

    def __post_init__(self) -> None:
        named = (("stereo", "distance", self.baseline), ("convergence", "depth", self.convergence))
        for name, what, value in named:
            if value is not None and not 0 < value < float("inf"):
                raise SettingError(OptionText(f"{{{name}}} must be a positive {what}, got {value:g}."))

    def moves(self, trajectory: Trajectory) -> list[Trajectory]:
        """The left eye's move, which is the one given, and the right eye's."""
        return [trajectory, right_eye(trajectory, baseline=self.baseline, convergence=self.convergence)]

    def joined(self, left: Take, right: Take) -> Take:
        """Both eyes' takes side by side as one."""
        return replace(
            left,
            frames=side_by_side(left.frames, right.frames),
            coverage=np.minimum(left.coverage, right.coverage),
            metadata={**left.metadata, "stereo": {"layout": "side by side, left eye first", **asdict(self)}},
        )


def run_engine(
    engine: Engine,
    shot: RenderedShot,
    *,
    settings: Mapping[str, Any],
    seed: int = 0,
    fps: float | None = None,
    keep_loaded: bool = False,
    on_frame: OnFrame | None = None,
    **watch: Unpack[Watch],
) -> Take:
    """Run an engine on a rendered shot and keep everything needed to make the result again.

    ``settings`` are all of the engine's; ``keep_loaded`` leaves its model loaded for the next shot, whatever they say.
    ``fps`` of None is the clip's. Raises what the engine raises.
    """
    fps = shot.clip.fps if fps is None else fps
    frames = generate_shot(
        engine,
        shot.plan,
        shot.guides_with_lead_in,
        shot.clip,
        settings={**settings, KEEP_LOADED: True} if keep_loaded else settings,
        seed=seed,
        fps=fps,
        on_frame=on_frame,
        **watch,
    )
    info = engine.info()
    details = TakeInfo(
        engine=info.name,
        engine_licence=info.licence,
        rasterizer=shot.rasterizer,
        lead_in_frames=shot.plan.trim,
        mesh={"options": to_builtins(shot.mesh.options)},
        raster=to_builtins(shot.drawing.options),
    )
    metadata = take_metadata(shot.clip, licences={f"engine {info.name}": info.licence})
    return Take(frames, fps, info.name, dict(settings), seed, shot.trajectory, shot.guides.coverage, metadata, details)


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
