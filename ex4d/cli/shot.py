"""From options to guides: what recon, preview, coverage and demo have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ex4d.cli.console import frame_ranges, note, warn
from ex4d.errors import ClipError, DepthError, SettingError, ShapeError
from ex4d.progress import CancelToken, OnProgress

if TYPE_CHECKING:
    from ex4d.dwmesh import DWMesh
    from ex4d.types import Clip, Guides, MeshOptions, Trajectory

PARITY_FOCAL_PX = 500.0


@dataclass(frozen=True)
class ShotOptions:
    """The options of :mod:`ex4d.cli.options`, checked by :meth:`check` before any work."""

    input_video: Path
    depth: Path
    cam: str
    depth_scale: float | None = None
    depth_channel: str | None = None
    num_frames: int | None = None
    fps: float | None = None
    fill_invalid: bool = False
    amount: float | None = None
    fov: float | None = None
    focal: float | None = None
    border_depth: float | None = None
    parity: bool = False

    @property
    def camera_file(self) -> Path | None:
        """The camera file that ``cam`` names, or None if it names a preset."""
        from ex4d.trajectory import PRESETS

        path = Path(self.cam)
        if self.cam in PRESETS:  # also where a folder of that name lies about
            return None
        return path if path.suffix.lower() in (".npz", ".json") or len(path.parts) > 1 or path.is_dir() else None

    @property
    def cam_name(self) -> str:
        """The camera's name as it stands in output file names (letters, digits, dot, dash, underscore)."""
        name = self.camera_file.stem.removeprefix("camera_") if self.camera_file else self.cam
        return re.sub(r"[^\w.-]", "_", name) or "camera"

    def check(self) -> None:
        """Raise the error of the first option that cannot work, before anything is read or written."""
        self._check_numbers()
        self._check_camera()
        self.mesh_options()
        for path, error, what in ((self.input_video, ClipError, "video"), (self.depth, DepthError, "depth")):
            if not path.exists():
                raise error(f"There is no file or folder {path}; check the path of the {what}.")

    def _check_numbers(self) -> None:
        if self.fov is not None and self.focal is not None:
            raise SettingError("--fov and --focal exclude each other; give one of them.")
        if self.parity and (self.fov, self.focal, self.border_depth) != (None, None, None):
            raise SettingError(
                "--parity fixes the focal length and the border; drop --fov, --focal and --border_depth."
            )
        if self.fov is not None and not 0 < self.fov < 180:
            raise SettingError(f"--fov must lie between 0 and 180 degrees, got {self.fov:g}.")
        for name, value in (("--focal", self.focal), ("--depth_scale", self.depth_scale), ("--fps", self.fps)):
            if value is not None and not 0 < value < float("inf"):
                raise SettingError(f"{name} must be a positive number, got {value:g}.")
        if self.num_frames is not None and self.num_frames < 2:
            raise SettingError(f"--num_frames must be at least 2, got {self.num_frames}.")

    def _check_camera(self) -> None:
        from ex4d.trajectory import PRESETS, load_camera

        if self.camera_file is not None:
            if self.amount is not None:
                raise SettingError("--amount belongs to presets; a camera file goes as far as it goes: drop --amount.")
            load_camera(self.camera_file)
            return
        info = PRESETS.get(self.cam)
        if info is None:
            raise SettingError(
                f"There is no camera {self.cam!r}; choose one of {', '.join(PRESETS)}, or give a camera .npz file."
            )
        if self.amount is not None and not info.minimum <= self.amount <= info.maximum:
            raise SettingError(
                f"--amount of {self.cam} must be between {info.minimum:g} and {info.maximum:g} ({info.unit}), "
                f"got {self.amount:g}."
            )

    def mesh_options(self) -> MeshOptions:
        """How the mesh is built. Raises SettingError."""
        from ex4d.types import MeshOptions

        if self.parity:
            return MeshOptions.ex4d_parity()
        return MeshOptions() if self.border_depth is None else MeshOptions(border_depth=self.border_depth)

    def load(self, *, on_progress: OnProgress, cancel: CancelToken) -> Clip:
        """Read the clip; say what was filled, and warn where the depth does not suit the mesh."""
        from ex4d.clip import load_clip_with_report

        loaded = load_clip_with_report(
            self.input_video,
            self.depth,
            fov_deg=self.fov,
            focal_px=PARITY_FOCAL_PX if self.parity else self.focal,
            num_frames=self.num_frames,
            fill_invalid=self.fill_invalid,
            fps=self.fps,
            depth_scale=self.depth_scale,
            depth_channel=self.depth_channel,
            on_progress=on_progress,
            cancel=cancel,
        )
        if loaded.filled.count:
            note(f"Filled depth in {loaded.filled.describe()}.")
        _warn_if_behind_border(loaded.clip, self.mesh_options().border_depth)
        return loaded.clip

    def trajectory(self, clip: Clip) -> Trajectory:
        """The camera move for ``clip``. Raises TrajectoryError, ShapeError."""
        from ex4d.trajectory import PRESETS, load_camera, near_depth_of, preset

        if self.camera_file is None:
            near = near_depth_of(clip, self.mesh_options().border_depth)
            return preset(
                self.cam,
                num_frames=clip.num_frames,
                intrinsics=clip.intrinsics,
                near_depth=near,
                amount=self.amount,
                overshoot=self.parity and PRESETS[self.cam].published,
            )
        move = load_camera(self.camera_file, size=(clip.width, clip.height))
        if self.parity and (move.width, move.height) != (clip.width, clip.height):
            raise ShapeError(
                f"{self.camera_file} renders {move.width}x{move.height} pixels but the clip is "
                f"{clip.width}x{clip.height}; --parity needs one size: use another camera file or drop --parity."
            )
        return move


@dataclass(frozen=True)
class RenderedShot:
    """A clip seen by a moved camera."""

    clip: Clip
    mesh: DWMesh
    trajectory: Trajectory
    guides: Guides


def render_shot(options: ShotOptions, *, on_progress: OnProgress, cancel: CancelToken) -> RenderedShot:
    """Load, build, render; warn about frames in which the camera sees nothing."""
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import render_guides
    from ex4d.types import RasterOptions

    clip = options.load(on_progress=on_progress, cancel=cancel)
    trajectory = options.trajectory(clip)
    mesh = DWMesh(clip, options.mesh_options())
    guides = render_guides(
        mesh,
        trajectory,
        options=RasterOptions.ex4d_parity() if options.parity else RasterOptions(),
        source_first_frame=options.parity,
        on_progress=on_progress,
        cancel=cancel,
    )
    empty = guides.empty_frames()
    if empty:
        warn(
            f"The camera sees nothing of the clip in {len(empty)} of {len(guides.mask)} frames "
            f"(coverage 0 in frames {frame_ranges(empty)}); move it nearer to the source camera there."
        )
    return RenderedShot(clip, mesh, trajectory, guides)


def _warn_if_behind_border(clip: Clip, border_depth: float) -> None:
    share = float((clip.depth > border_depth).mean())
    if share > 0.5:
        warn(
            f"{100 * share:.0f} % of the depth lies beyond the border at {border_depth:g}, where the mesh is closed; "
            "if the depth is in millimetres or such, give --depth_scale, otherwise raise --border_depth."
        )
