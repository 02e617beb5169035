"""From a shot's options to its clip, mesh and camera move."""

from dataclasses import dataclass, replace
from typing import Unpack

from ex4d.clip import InvalidDepth, load_clip, read_thickness_map, read_video, with_source_camera
from ex4d.depth import DEFAULT_ESTIMATOR, DepthOptions, DepthReport, EdgeOptions, estimate_depth, save_depth, to_clip
from ex4d.depth.lens_file import frame_size, lens_from_file
from ex4d.dwmesh import DWMesh
from ex4d.lens import Lens
from ex4d.option_text import OptionText
from ex4d.progress import Watch
from ex4d.shots.options import ShotOptions
from ex4d.trajectory import PRESETS, near_depth_of, preset
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.camera_files import load_camera
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import ShapeError


@dataclass(frozen=True)
class LoadedShot:
    """A shot with its clip, and what was done to have its depth."""

    options: ShotOptions
    clip: Clip
    filled: InvalidDepth | None = None
    """Pixels of the depth file that were filled, where that was asked for."""
    estimated: DepthReport | None = None
    """What was done to estimate depth, where there was none."""

    def mesh(self) -> DWMesh:
        """Build the mesh. Raises DepthError, ShapeError, SettingError, InputError."""
        return DWMesh(self.clip, self.options.mesh_options(), thickness_map=self.thickness_map())

    def thickness_map(self) -> Float32 | None:  # [H, W] or [T, H, W]
        """What is painted of the thickness, of as many frames as the clip has. Raises InputError, ShapeError."""
        if self.options.thickness_map is None:
            return None
        painted = read_thickness_map(self.options.thickness_map)
        return painted[: self.clip.num_frames] if painted.ndim == 3 and self.options.num_frames else painted

    def trajectory(self) -> Trajectory:
        """The camera move. Raises TrajectoryError, ShapeError, SettingError."""
        options, clip = self.options, self.clip
        if options.camera_file is None:
            return preset(
                options.cam,
                clip,
                near_depth=near_depth_of(clip, options.mesh_options().border_depth),
                amount=options.amount,
                overshoot=options.parity and PRESETS[options.cam].published,
            )
        move = load_camera(options.camera_file, size=(clip.width, clip.height))
        if options.parity and (move.width, move.height) != (clip.width, clip.height):
            text = (
                f"{options.camera_file} renders {move.width}x{move.height} pixels but the clip is "
                f"{clip.width}x{clip.height}; {{parity}} needs one size: use another camera file or drop {{parity}}."
            )
            raise ShapeError(OptionText(text))
        return move


def load_shot(options: ShotOptions, **watch: Unpack[Watch]) -> LoadedShot:
    """Read the clip, estimating its depth if there is none.

    Raises ClipError, DepthError, SettingError, ShapeError, TrajectoryError, Cancelled, and what
    :func:`ex4d.depth.estimate_depth` raises.
    """
    if options.depth is None:
        shot = _estimated(options, watch)
    else:
        filled: list[InvalidDepth] = []
        clip = load_clip(
            options.input_video,
            options.depth,
            lens=given_lens(options) if options.lens_from is not None else Lens(None, options.fov, options.focal_px),
            num_frames=options.num_frames,
            fill_invalid=options.fill_invalid,
            fps=options.fps,
            depth_scale=options.depth_scale,
            depth_channel=options.depth_channel,
            on_filled=filled.append,
            **watch,
        )
        shot = LoadedShot(options, clip, filled[0] if filled else None)
    if options.source_camera is None:
        return shot
    camera = load_camera(options.source_camera, size=(shot.clip.width, shot.clip.height))
    return replace(shot, clip=with_source_camera(shot.clip, camera, longer=options.num_frames is not None))


def given_lens(options: ShotOptions) -> Lens | None:
    """The lens that the options give; None if they give none. Raises ClipError, SettingError."""
    if options.lens_from is not None:
        return Lens(lens_from_file(options.lens_from, *frame_size(options.input_video)))
    if options.fov is None and options.focal_px is None:
        return None
    return Lens.told(fov_deg=options.fov, focal_px=options.focal_px)


def _estimated(options: ShotOptions, watch: Watch) -> LoadedShot:
    video = options.input_video
    frames, own_fps = read_video(video, num_frames=options.num_frames, **watch)
    edges = EdgeOptions(border_depth=options.mesh_options().border_depth)
    result = estimate_depth(
        frames,
        estimator=options.estimator or DEFAULT_ESTIMATOR,
        settings=options.estimator_settings,
        options=DepthOptions.ex4d_parity() if options.parity else DepthOptions(edges=edges),
        lens=given_lens(options),
        lens_from=video,
        fps=options.fps or own_fps,
        **watch,
    )
    if options.save_depth is not None:
        save_depth(options.save_depth, result.file, **watch)
    clip = replace(to_clip(frames, result, name=video.stem), fps=options.fps or own_fps)
    return LoadedShot(options, clip, estimated=result.report)
