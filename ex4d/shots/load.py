"""From a shot's options to its clip, mesh and camera move."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from ex4d.clip import InvalidDepth, load_clip, read_thickness_map
from ex4d.clip.depth import open_depth, read_opened
from ex4d.clip.depth_facts import read_depth_facts
from ex4d.clip.invalid import fill_invalid, require_valid
from ex4d.clip.load import check_depth_fits, with_pictures
from ex4d.clip.pairing import paired_sources
from ex4d.clip.video import VideoInfo, read_pictures
from ex4d.depth import DepthOptions, DepthReport, EdgeOptions, estimate_depth, get_estimator, save_depth, to_clip
from ex4d.depth.lens_file import frame_size, lens_from_file
from ex4d.dwmesh import DWMesh
from ex4d.lens import Lens
from ex4d.needs import RunNeeds
from ex4d.option_text import OptionText
from ex4d.progress import Watch
from ex4d.shots.filming import file_move, filmed, preset_move
from ex4d.shots.options import ShotOptions
from ex4d.shots.parity import FOCAL_PX, read_published
from ex4d.shots.sets import with_set
from ex4d.trajectory import far_from_source
from ex4d.types import Clip, check_clip_size
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import Ex4dError, ShapeError
from ex4d_ground.files import COLOUR_SUFFIXES
from ex4d_ground.sequences import clip_name


@dataclass(frozen=True)
class LoadedShot:
    """A shot with its clip, and what was done to have its depth."""

    options: ShotOptions
    clip: Clip
    filled: InvalidDepth | None = None
    """Pixels of the depth file that were filled, where that was asked for."""
    estimated: DepthReport | None = None
    """What was done to estimate depth, where there was none."""
    notes: tuple[str, ...] = ()
    """What people should know of the files."""

    def mesh(self) -> DWMesh:
        """Build the mesh. Raises DepthError, ShapeError, SettingError, InputError."""
        return DWMesh(self.clip, self.options.mesh_options(), thickness_map=self.thickness_map())

    def thickness_map(self) -> Float32 | None:  # [H, W] or [T, H, W]
        """What is painted of the thickness, of as many frames as the clip has. Raises InputError, ShapeError."""
        if self.options.thickness_map is None:
            return None
        painted = read_thickness_map(self.options.thickness_map)
        return painted[: self.clip.num_frames] if painted.ndim == 3 and self.options.num_frames else painted

    def trajectory(self, on_note: Callable[[str], None] | None = None) -> Trajectory:
        """The camera move; ``on_note`` is told what people should know of a camera file.

        Of a file only the cameras that show the clip's frames are used, where the clip was cut by ``num_frames``.
        Raises TrajectoryError, ShapeError, SettingError.
        """
        options, clip = self.options, self.clip
        if options.camera_file is None:
            return preset_move(options, clip)
        move = file_move(options, clip, on_note)
        far = far_from_source(move, clip)
        if far and on_note is not None:
            on_note(f"{options.camera_file} {far}")
        if options.parity and (move.width, move.height) != (clip.width, clip.height):
            text = (
                f"{options.camera_file} renders {move.width}x{move.height} pixels but the clip is "
                f"{clip.width}x{clip.height}; {{parity}} needs one size: use another camera file or drop {{parity}}."
            )
            raise ShapeError(OptionText(text))
        return move


def load_shot(
    options: ShotOptions,
    *,
    takes: bool = False,
    solves: bool = True,
    known: bool = False,
    guides: Callable[[int], int] | None = None,
    on_needs: Callable[[RunNeeds], None] | None = None,
    **watch: Unpack[Watch],
) -> LoadedShot:
    """Read the clip, estimating its depth if there is none.

    Without ``solves`` a filming camera that is to be estimated is left to the caller.
    ``on_needs`` is told what the whole run takes, before anything long is done; a run that the scratch disk cannot hold
    is refused there. ``takes`` says that an engine's frames follow, ``known`` that the engine is shown what else the
    clip knows, ``guides`` of how many frames guides are kept, of so many (None: of all).

    Raises ClipError, DepthError, SettingError, ShapeError, TrajectoryError, Cancelled, and what
    :func:`ex4d.depth.estimate_depth` raises.
    """

    def reckon(frames: int, width: int, height: int, plate_bytes: int, in_place: bool = False) -> None:
        kept = None if guides is None else guides(frames)
        parts = {"plate_bytes": plate_bytes, "in_place": in_place, "guides": kept, "known": known, "takes": takes}
        needs = RunNeeds.of(frames, width, height, **parts)
        if on_needs is not None:
            on_needs(needs)
        needs.require_room()

    def opened(info: VideoInfo, width: int, height: int, in_place: bool) -> None:
        if info.num_frames:  # else its container does not say
            count = min(info.num_frames, options.num_frames or info.num_frames)
            reckon(count, width, height, plate_bytes_of(info), in_place)

    if options.depth is None:
        shot = _estimated(options, reckon, watch)
    elif options.parity:
        shot = _published(options, options.depth, watch)
    else:
        shot = _given(options, options.depth, opened, watch)
    if options.estimates_camera and not solves:
        return shot
    clip, more = filmed(options, shot.clip, **watch)
    clip, of_set = with_set(options, clip, **watch)
    return replace(shot, clip=clip, notes=(*shot.notes, *more, *of_set))


def _given(
    options: ShotOptions, depth: Path, on_opened: Callable[[VideoInfo, int, int, bool], None], watch: Watch
) -> LoadedShot:
    """The clip with the depth that was given."""
    filled: list[InvalidDepth] = []
    notes: list[str] = []
    clip = load_clip(
        options.input_video,
        depth,
        lens=given_lens(options) if options.lens_from is not None else _numbers(options),
        num_frames=options.num_frames,
        fill_invalid=options.fill_invalid,
        fps=options.fps,
        depth_scale=options.depth_scale,
        depth_channel=options.depth_channel,
        colour=options.colour,
        fields=options.fields,
        on_filled=filled.append,
        on_note=notes.append,
        on_opened=on_opened,
        **watch,
    )
    return LoadedShot(options, clip, filled[0] if filled else None, notes=tuple(notes))


def _published(options: ShotOptions, path: Path, watch: Watch) -> LoadedShot:
    """The clip after the published program's input step; depth may be of the size before or after it."""
    video, files, note = paired_sources(options.input_video, path)
    read = read_published(video, num_frames=options.num_frames, keep_size=options.keep_size, **watch)
    limit = None if options.num_frames == 0 or read.video.shown else len(read.frames)
    opened = open_depth(files, scale=options.depth_scale, channel=options.depth_channel, num_frames=limit)
    opened = opened.played_as(read.video, len(read.frames)) if read.video.shown else opened
    values = read.depth(read_opened(opened, **watch))
    check_depth_fits(values, read.frames, label=str(path))
    filled = None
    if options.fill_invalid:
        values, filled = fill_invalid(values, label=str(path), **watch)
    else:
        require_valid(values, label=str(path))
    height, width = read.frames.shape[1:3]
    facts, lens = read_depth_facts(path), Intrinsics.from_focal(width, height, FOCAL_PX)
    clip = Clip(read.frames, values, lens, options.fps or read.fps, clip_name(options.input_video, COLOUR_SUFFIXES))
    clip = replace(clip, depth_source=facts.source, depth_licence=facts.licence)
    return LoadedShot(options, clip, filled, notes=(note,) if note else ())


def given_lens(options: ShotOptions) -> Lens | None:
    """The lens that the options give; None if they give none. Raises ClipError, SettingError."""
    if options.lens_from is not None:
        return Lens(lens_from_file(options.lens_from, *frame_size(options.input_video)))
    if options.fov is None and options.focal_px is None:
        return None
    numbers = _numbers(options)
    more = {"fy_px": numbers.fy_px, "cx_px": numbers.cx_px, "cy_px": numbers.cy_px}
    return Lens.told(fov_deg=numbers.fov_deg, focal_px=numbers.focal_px, **more)


def _numbers(options: ShotOptions) -> Lens:
    return Lens(None, options.fov, options.focal_px, options.fy, options.cx, options.cy)


def require_estimator(options: ShotOptions) -> None:
    """Raise what the estimator lacks here, before anything is read: WeightsError, MissingExtraError,
    MissingProgramError.

    Its settings may name other weights; then it says so itself.
    """
    if options.estimator_settings:
        return
    try:
        get_estimator(options.estimator_name).require()
    except Ex4dError as error:
        text = f"{str(error).rstrip('.')}; there is also {{depth}}, for depth that you have."
        raise error.reworded(OptionText(text)) from None


def plate_bytes_of(info: VideoInfo) -> int:
    """What a pixel of the plate that is kept of a video takes; 0 for a video that is its own 8-bit view."""
    if info.view is None or (info.view.as_is and info.view.space.bits == 8):
        return 0
    return 12 if info.view.space.floating or info.view.space.bits > 10 else 6


def _estimated(options: ShotOptions, reckon: Callable[[int, int, int, int], None], watch: Watch) -> LoadedShot:
    require_estimator(options)
    video = options.input_video
    notes: tuple[str, ...] = ()
    pixel_aspect = 1.0
    if options.parity:
        read = read_published(video, num_frames=options.num_frames, keep_size=options.keep_size, **watch)
        frames, own_fps = read.frames, read.fps
        plate = info = None
    else:
        reading = {"num_frames": options.num_frames, "colour": options.colour, "fields": options.fields}
        frames, plate, info = read_pictures(video, **reading, **watch)
        own_fps, notes, pixel_aspect = info.fps, tuple(info.notes), info.pixel_aspect
    check_clip_size(*frames.shape[1:3])
    reckon(len(frames), frames.shape[2], frames.shape[1], 0 if info is None else plate_bytes_of(info))
    edges = EdgeOptions(border_depth=options.mesh_options().border_depth)
    result = estimate_depth(
        frames,
        estimator=options.estimator_name,
        settings=options.estimator_settings,
        options=DepthOptions.ex4d_parity() if options.parity else DepthOptions(edges=edges),
        lens=given_lens(options),
        lens_from=video,
        fps=options.fps or own_fps,
        pixel_aspect=pixel_aspect,
        **watch,
    )
    if options.save_depth is not None:
        save_depth(options.save_depth, result.file, **watch)
    clip = replace(to_clip(frames, result, name=clip_name(video, COLOUR_SUFFIXES)), fps=options.fps or own_fps)
    clip = clip if info is None else with_pictures(clip, plate, info, video, options.fps)
    return LoadedShot(options, clip, estimated=result.report, notes=notes)
