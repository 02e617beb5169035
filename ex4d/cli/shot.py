"""From options to guides: what recon, preview, coverage and demo have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ex4d.cli.console import frame_ranges, note, warn
from ex4d.errors import ClipError, DepthError, SettingError, ShapeError
from ex4d.progress import CancelToken, OnProgress

if TYPE_CHECKING:
    from ex4d.dwmesh import DWMesh
    from ex4d.generate.shot import ShotPlan
    from ex4d.types import Clip, Guides, Intrinsics, MeshOptions, Trajectory

PARITY_FOCAL_PX = 500.0

DEFAULT_MODE = "solid"
"""Occluders unless --mode or --parity says otherwise: docs/decisions/0009."""


@dataclass(frozen=True)
class ShotOptions:
    """The options of :mod:`ex4d.cli.options`, checked by :meth:`check` before any work."""

    input_video: Path
    depth: Path | None
    """None: it is estimated."""
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
    mode: str | None = None
    thickness: str | None = None
    estimator: str | None = None
    estimator_settings: tuple[str, ...] = ()
    save_depth: Path | None = None
    lens_from: Path | None = None
    other_frames: bool = False
    thickness_map: Path | None = None
    source_camera: Path | None = None

    @property
    def camera_file(self) -> Path | None:
        """The camera file that ``cam`` names, or None if it names a preset."""
        from ex4d.trajectory import PRESETS

        path = Path(self.cam)
        if self.cam in PRESETS:  # also where a folder of that name lies about
            return None
        return path if path.suffix.lower() in (".npz", ".json") or len(path.parts) > 1 or path.is_dir() else None

    @property
    def depth_file(self) -> Path:
        """The depth, for commands that estimate none. Raises SettingError."""
        if self.depth is None:
            raise SettingError("This needs finished depth; give --depth (make it with 'ex4d depth').")
        return self.depth

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
        self._check_source_camera()
        self._check_depth()
        files = ((self.input_video, ClipError, "video"), (self.depth, DepthError, "depth"))
        known = ((self.lens_from, ClipError, "lens"), (self.thickness_map, ClipError, "thickness map"))
        for path, error, what in (*files, *known):
            if path is not None and not path.exists():
                raise error(f"There is no file or folder {path}; check the path of the {what}.")

    def _check_numbers(self) -> None:
        if sum(value is not None for value in (self.fov, self.focal, self.lens_from)) > 1:
            raise SettingError("--fov, --focal and --lens_from exclude each other; give one of them.")
        if self.parity and (self.fov, self.focal, self.lens_from, self.border_depth) != (None,) * 4:
            raise SettingError(
                "--parity fixes the focal length and the border; drop --fov, --focal, --lens_from and --border_depth."
            )
        solid = (self.thickness, self.thickness_map, self.source_camera) != (None,) * 3 or self.other_frames
        if self.parity and (self.mode not in (None, "endless") or solid):
            raise SettingError(
                "--parity is the published endless mesh; drop --mode, --thickness, --thickness_map, --other_frames and "
                "--source_camera."
            )
        if self.fov is not None and not 0 < self.fov < 180:
            raise SettingError(f"--fov must lie between 0 and 180 degrees, got {self.fov:g}.")
        for name, value in (("--focal", self.focal), ("--depth_scale", self.depth_scale), ("--fps", self.fps)):
            if value is not None and not 0 < value < float("inf"):
                raise SettingError(f"{name} must be a positive number, got {value:g}.")
        if self.num_frames is not None and self.num_frames < 2:
            raise SettingError(f"--num_frames must be at least 2, got {self.num_frames}.")

    def _check_depth(self) -> None:
        from ex4d.cli.estimated import check_estimator

        if self.depth is None:
            if self.depth_scale is not None or self.depth_channel is not None:
                raise SettingError(
                    "--depth_scale and --depth_channel belong to a depth file; give --depth or drop them."
                )
            check_estimator(self.estimator, self.estimator_settings, self.save_depth)
        elif self.estimator is not None or self.estimator_settings or self.save_depth is not None:
            raise SettingError(
                "--depth is finished depth, so --estimator, --depth_set and --save_depth do not apply; drop them."
            )

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

    def _check_source_camera(self) -> None:
        from ex4d.trajectory import load_camera

        if self.source_camera is not None:
            load_camera(self.source_camera)

    def mesh_options(self) -> MeshOptions:
        """How the mesh is built. Raises SettingError."""
        from ex4d.types import MeshOptions

        if self.parity:
            return MeshOptions.ex4d_parity()
        given: dict[str, Any] = {"mode": self.mode or DEFAULT_MODE, "border_depth": self.border_depth}
        if self.other_frames and given["mode"] != "solid":
            raise SettingError("--other_frames belongs to solid occluders; drop --mode endless or --other_frames.")
        if self.source_camera is not None and not self.other_frames:
            raise SettingError("--source_camera is for --other_frames; give both or neither.")
        if self.thickness_map is not None and given["mode"] != "solid":
            raise SettingError("--thickness_map belongs to solid occluders; drop --mode endless or --thickness_map.")
        given["other_frames"] = self.other_frames
        options = MeshOptions(**{name: value for name, value in given.items() if value is not None})
        if self.thickness is None:
            return options
        if options.mode != "solid":
            raise SettingError("--thickness belongs to solid occluders; drop --mode endless or --thickness.")
        thickness, unit = parse_thickness(self.thickness)
        return replace(options, thickness=thickness, thickness_unit=unit)

    def load(self, *, on_progress: OnProgress, cancel: CancelToken) -> Clip:
        """Read the clip, estimating its depth if there is none; say where depth and focal length came from.

        Says what was filled, and warns where the depth does not suit the mesh.
        """
        from ex4d.cli.estimated import estimated_clip
        from ex4d.clip import load_clip_with_report

        focal = PARITY_FOCAL_PX if self.parity else self.focal
        lens = self._lens()
        if self.depth is None:
            clip = estimated_clip(
                self.input_video, estimator=self.estimator, settings=self.estimator_settings, lens=lens, fov=self.fov,
                focal=focal, num_frames=self.num_frames, fps=self.fps, border_depth=self.mesh_options().border_depth,
                parity=self.parity, save_to=self.save_depth, on_progress=on_progress, cancel=cancel,
            )  # fmt: skip
        else:
            loaded = load_clip_with_report(
                self.input_video,
                self.depth,
                intrinsics=lens,
                fov_deg=self.fov,
                focal_px=focal,
                num_frames=self.num_frames,
                fill_invalid=self.fill_invalid,
                fps=self.fps,
                depth_scale=self.depth_scale,
                depth_channel=self.depth_channel,
                on_progress=on_progress,
                cancel=cancel,
            )
            clip = loaded.clip
            if loaded.filled.count:
                note(f"Filled depth in {loaded.filled.describe()}.")
        if self.source_camera is not None:
            from ex4d.clip import with_source_camera
            from ex4d.trajectory import load_camera

            camera = load_camera(self.source_camera, size=(clip.width, clip.height))
            clip = with_source_camera(clip, camera, longer=self.num_frames is not None)
        _say_sources(clip)
        _warn_if_behind_border(clip, self.mesh_options().border_depth)
        return clip

    def mesh(self, clip: Clip) -> DWMesh:
        """The mesh of ``clip`` with these options. Raises DepthError, ShapeError, SettingError, InputError."""
        from ex4d.clip import read_thickness_map
        from ex4d.dwmesh import DWMesh

        painted = read_thickness_map(self.thickness_map) if self.thickness_map is not None else None
        if painted is not None and painted.ndim == 3 and self.num_frames is not None:
            painted = painted[: clip.num_frames]
        return DWMesh(clip, self.mesh_options(), thickness_map=painted)

    def _lens(self) -> Intrinsics | None:
        """What --lens_from says, for the clip's size."""
        if self.lens_from is None:
            return None
        from ex4d.depth.lens_file import frame_size, lens_from_file

        return lens_from_file(self.lens_from, *frame_size(self.input_video))

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


def parse_thickness(text: str) -> tuple[float | Literal["auto"], Literal["share", "depth"]]:
    """``auto``, a share of the depth as ``8%``, or a length in the depth's unit. Raises SettingError."""
    text = text.strip()
    if text == "auto":
        return "auto", "share"
    try:
        number = float(text.removesuffix("%"))
    except ValueError as error:
        raise SettingError(f"--thickness is 'auto', a share such as 8%, or a length, got {text!r}.") from error
    return (number / 100, "share") if text.endswith("%") else (number, "depth")


@dataclass(frozen=True)
class RenderedShot:
    """A clip seen by a moved camera."""

    clip: Clip
    mesh: DWMesh
    trajectory: Trajectory
    guides: Guides
    """Of the plan's trajectory: with the lead-in, where there is one."""
    plan: ShotPlan


def render_shot(
    options: ShotOptions,
    *,
    settings: Mapping[str, Any] | None = None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> RenderedShot:
    """Load, build, render for an engine with these ``settings``; warn about frames that show nothing."""
    clip = options.load(on_progress=on_progress, cancel=cancel)
    trajectory = options.trajectory(clip)
    mesh = options.mesh(clip)
    return draw_shot(options, mesh, trajectory, settings=settings, on_progress=on_progress, cancel=cancel)


def draw_shot(
    options: ShotOptions,
    mesh: DWMesh,
    trajectory: Trajectory,
    *,
    settings: Mapping[str, Any] | None = None,
    store: Path | None = None,
    on_progress: OnProgress,
    cancel: CancelToken,
) -> RenderedShot:
    """The last step of :func:`render_shot`, for a mesh and a move that exist already.

    With ``store`` the guides are kept in that .npz, and taken from there if it exists.
    """
    from ex4d.generate.shot import plan_shot
    from ex4d.guides import render_guides
    from ex4d.types import RasterOptions

    plan = plan_shot(trajectory, mesh.clip, settings or {}, border_depth=options.mesh_options().border_depth)
    guides = _stored_guides(store, plan.trajectory)
    if guides is None:
        guides = render_guides(
            mesh,
            plan.trajectory,
            options=RasterOptions.ex4d_parity() if options.parity else RasterOptions(),
            source_first_frame=options.parity or plan.source_first_frame,
            on_progress=on_progress,
            cancel=cancel,
        )
        _store_guides(store, guides)
    if plan.message:
        note(plan.message)
    empty = plan.without_lead_in(guides).empty_frames()
    if empty:
        warn(
            f"The camera sees nothing of the clip in {len(empty)} of {len(trajectory)} frames "
            f"(coverage 0 in frames {frame_ranges(empty)}); move it nearer to the source camera there."
        )
    return RenderedShot(mesh.clip, mesh, trajectory, guides, plan)


def _stored_guides(path: Path | None, trajectory: Trajectory) -> Guides | None:
    """Guides that an interrupted run left in ``path``, if they are whole and of this move's shape."""
    import zipfile

    import numpy as np

    from ex4d.types import Guides

    if path is None or not path.is_file():
        return None
    try:
        with np.load(path) as stored:
            rgba = stored["rgba"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # damaged: drawn anew, which is always right
    if rgba.shape != (len(trajectory), trajectory.height, trajectory.width, 4):
        return None
    note(f"Going on with the guides in {path}.")
    return Guides(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3] > 0)


def _store_guides(path: Path | None, guides: Guides) -> None:
    import numpy as np

    from ex4d.files import atomic_path

    if path is None:
        return
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, rgba=guides.rgba)


def _say_sources(clip: Clip) -> None:
    """One line each: where the focal length came from, and the depth if its terms are known."""
    lens = clip.intrinsics
    hint = "; give --fov, --focal or --lens_from if you know better" if lens.source.startswith("default") else ""
    note(f"Focal length: {lens.fx:.1f} px ({lens.fov_deg:.1f} deg), {lens.source}{hint}.")
    if clip.depth_licence:
        note(f"Depth: {clip.depth_source}; licence: {clip.depth_licence}.")


def _warn_if_behind_border(clip: Clip, border_depth: float) -> None:
    share = float((clip.depth > border_depth).mean())
    if share > 0.5:
        warn(
            f"{100 * share:.0f} % of the depth lies beyond the border at {border_depth:g}, where the mesh is closed; "
            "if the depth is in millimetres or such, give --depth_scale, otherwise raise --border_depth."
        )
