"""Another clip of the place that a shot shows, for its world memory."""

from dataclasses import replace
from typing import Unpack

import numpy as np

from ex4d.clip import load_clip, with_source_camera
from ex4d.clip.depth import find_depth_pictures, has_channels
from ex4d.progress import Watch
from ex4d.shots.options import ShotOptions
from ex4d.types import Clip, SetClip
from ex4d_ground.camera_files import load_camera
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.poses import inverse


def with_set(options: ShotOptions, clip: Clip, **watch: Unpack[Watch]) -> tuple[Clip, tuple[str, ...]]:
    """The clip with the set that the options name, and what people should know of that one's files.

    Raises ClipError, DepthError, TrajectoryError, Cancelled.
    """
    if options.set_video is None:
        return clip, ()
    assert options.set_depth is not None and options.set_camera is not None
    notes: list[str] = []
    channel = options.depth_channel if has_channels(find_depth_pictures(options.set_depth)) else None
    other = load_clip(
        options.set_video,
        options.set_depth,
        fill_invalid=options.fill_invalid,
        depth_scale=options.depth_scale,
        depth_channel=channel,
        colour=options.colour,
        fields=options.fields,
        on_filled=lambda filled: notes.append(f"Filled depth in {filled.describe()}.") if filled.count else None,
        on_note=notes.append,
        **watch,
    )
    size = other.width, other.height
    camera = load_camera(
        options.set_camera, size=size, lens=other.intrinsics, on_note=notes.append, whole=other.num_frames
    )
    if len(camera) != other.num_frames:
        raise TrajectoryError(
            f"The set's camera {options.set_camera} has {len(camera)} poses but the set's clip {other.num_frames} "
            "frames; give the camera of exactly these frames."
        )
    first = np.eye(4)
    if options.source_camera is not None:
        first = load_camera(options.source_camera, size=size, lens=other.intrinsics).world_from_camera[0]
    try:
        filmed = with_source_camera(other, camera)
    except TrajectoryError as error:
        raise error.reworded(f"The set's camera {options.set_camera} is not that of the set's clip: {error}") from None
    lens = filmed.intrinsics
    notes.append(f"Focal length: {lens.fx:.1f} px ({lens.fov_deg:.1f} deg), {lens.source}")
    placed = SetClip(filmed, inverse(first) @ camera.world_from_camera[0])
    return replace(clip, sets=(placed,)), tuple(f"Of the set: {line}" for line in notes)
