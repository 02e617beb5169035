"""What guides are to show, checked before any work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.guides.objects import GuideObject, check_objects
from ex4d_ground.arrays import Bool, Int32, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import SettingError, TrajectoryError
from ex4d_ground.options import RasterOptions

OnGuide = Callable[[int, UInt8, Bool], None]
"""Called with (output frame, colour [H, W, 3], mask [H, W]), in order, from the caller's thread."""


@dataclass(frozen=True)
class GuideRequest:
    """A mesh, the camera that moves past it, and how to draw what it sees; see ``ex4d.guides.render_guides``.

    Raises TrajectoryError for a source time outside the clip, SettingError for a first frame of another size than the
    source, ShapeError for objects that do not fit.
    """

    mesh: DWMesh
    trajectory: Trajectory
    options: RasterOptions = field(default_factory=RasterOptions)
    source_first_frame: bool = False
    objects: Sequence[GuideObject] = ()
    depth: bool = False
    """On a GPU: add the z-depth of what is seen."""
    frames_per_batch: int | None = None
    """On a GPU: frames built and drawn at once; by default as many as fit about 4 GiB, up to 64."""

    def __post_init__(self) -> None:
        self.times  # noqa: B018 - raises for a time outside the clip
        mesh, trajectory = self.mesh, self.trajectory
        if self.source_first_frame and (trajectory.height, trajectory.width) != (mesh.height, mesh.width):
            raise SettingError(
                f"The first frame can only be the source picture at the source's size {mesh.width}x{mesh.height}, "
                f"not {trajectory.width}x{trajectory.height}; render at that size or leave source_first_frame off."
            )
        check_objects(self.objects, len(trajectory))
        if self.frames_per_batch is not None and self.frames_per_batch < 1:
            raise SettingError(f"At least one frame a batch is needed, got {self.frames_per_batch}.")

    @cached_property
    def times(self) -> list[int]:
        """The source frame that each output frame shows."""
        return source_frames(self.trajectory, self.mesh.num_frames).tolist()

    @cached_property
    def seen(self) -> Trajectory:
        """The move's cameras in the axes of the meshes they look at (:meth:`ex4d.types.Clip.seen_by_source`)."""
        return self.mesh.clip.seen_by_source(self.trajectory)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Output frames, height and width."""
        return len(self.trajectory), self.trajectory.height, self.trajectory.width


def source_frames(trajectory: Trajectory, num_frames: int) -> Int32:  # [N]
    """The source frame nearest each ``source_time`` (halves go to the later one). Raises TrajectoryError."""
    nearest = np.floor(trajectory.source_time + 0.5)
    outside = np.flatnonzero((nearest < 0) | (nearest >= num_frames))
    if outside.size:
        i = int(outside[0])
        raise TrajectoryError(
            f"Frame {i + 1} of the move shows frame {trajectory.source_time[i] + 1:g} of the clip, which has "
            f"{num_frames} frames; use a move of the clip's length, or keep its source time within the clip."
        )
    return nearest.astype(np.int32)


def device_bytes(mesh: DWMesh) -> int:
    """Memory that drawing ``mesh`` on a device needs at least: its clip, and as much again to work with."""
    return 2 * (mesh.clip.depth.nbytes + mesh.clip.frames.nbytes)
