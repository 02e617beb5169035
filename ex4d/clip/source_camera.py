"""The camera that filmed, fitted to a clip: as many poses, pictures of its shape, a lens that begins as the clip's."""

from dataclasses import replace

import numpy as np

from ex4d.types import Clip
from ex4d_ground.camera_files.lens_matrix import OFF_CENTRE
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.source_camera import SourceCamera

SAME_LENS = 0.02
"""Share by which focal lengths may differ and be one lens."""


def with_source_camera(clip: Clip, camera: Trajectory | SourceCamera, *, longer: bool = False) -> Clip:
    """The clip with the motion of the camera that filmed it: a pose and a lens per frame, in any world, in its depth's
    unit.

    A camera ``longer`` than the clip is cut where that is expected, because the clip is the beginning of what it
    filmed. The clip keeps its lens, unless that was assumed; the camera's says how it changes from there. Moves are in
    the world of the camera's first frame. Raises TrajectoryError for another number of poses, a retimed move, pictures
    of another shape, or a lens that begins otherwise than the clip's.
    """
    count, name = clip.num_frames, camera.name if isinstance(camera, Trajectory) else camera.origin
    if len(camera) < count or (len(camera) > count and not longer):
        raise TrajectoryError(
            f"The source camera has {len(camera)} poses but the clip {count} frames; give the camera of exactly these "
            "frames."
        )
    source = camera if isinstance(camera, SourceCamera) else SourceCamera.of_trajectory(camera)
    source = source.first(count)
    _require_its_pictures(clip, source)
    source = source.resized(clip.width, clip.height)
    ours, first = clip.intrinsics, source.intrinsics[0]
    if abs(first[0] / ours.fx - 1) > SAME_LENS:  # else the camera's may be the clip's own
        if not ours.is_assumed:
            raise TrajectoryError(
                f"The source camera has a focal length of {first[0]:.1f} px in frame 1, the clip {ours.fx:.1f} px; "
                "give the clip its lens, or another camera file."
            )
        ours = replace(source.frame_intrinsics(0), source=f"given: {name}")
    start = np.array([ours.fx, ours.fy, ours.cx, ours.cy])
    focal, centre = source.intrinsics[:, :2] / first[:2] * start[:2], source.intrinsics[:, 2:] - first[2:] + start[2:]
    return replace(clip, intrinsics=ours, source_camera=replace(source, intrinsics=np.hstack([focal, centre])))


def _require_its_pictures(clip: Clip, camera: SourceCamera) -> None:
    """Refuse a camera of other pictures: of another shape, or with a middle that is not theirs. Raises TrajectoryError.

    The same pictures at another size are good, and so are anamorphic ones as they are shown.
    """
    lens, ours = camera.resized(clip.width, clip.height).intrinsics[0], clip.intrinsics
    shape = abs(camera.width / camera.height / (clip.width / clip.height) - 1)
    pixels = abs(lens[0] / lens[1] / (ours.fx / ours.fy) - 1)
    rounded = 1 / min(camera.width, camera.height, clip.width, clip.height)
    if min(shape, pixels) > SAME_LENS + rounded:
        raise TrajectoryError(
            f"The source camera is one of pictures of {camera.width}x{camera.height} pixels, but the clip's have "
            f"another shape, {clip.width}x{clip.height}; give the camera of these pictures."
        )
    off = lens[2:] - (ours.cx, ours.cy)
    if abs(off[0]) > OFF_CENTRE * clip.width or abs(off[1]) > OFF_CENTRE * clip.height:
        middle = 2 * camera.intrinsics[0, 2:]
        raise TrajectoryError(
            f"The source camera looks at the pixel {lens[2]:.0f}, {lens[3]:.0f}, as one of pictures of about "
            f"{middle[0]:.0f}x{middle[1]:.0f} pixels does, but the clip's are {clip.width}x{clip.height}; give the "
            "camera of these pictures."
        )
