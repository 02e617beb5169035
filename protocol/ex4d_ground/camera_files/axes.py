"""What the poses of a camera file are relative to, which counts where the camera that filmed the clip moves."""

from typing import Any, Literal, NamedTuple

from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.source_camera import SourceCamera

CameraAxes = Literal["world", "source"]
WORLD: CameraAxes = "world"
"""The source camera of frame 0."""
SOURCE: CameraAxes = "source"
"""The source camera of the moment that each frame shows."""


class CameraFile(NamedTuple):
    """The cameras of a file."""

    move: Trajectory
    """As the file has them."""
    axes: CameraAxes
    """What they are relative to. Files that do not say mean the world, but those of EX-4D's program and of this one
    before it noted it mean the source camera of the same moment."""

    def in_world(self, camera: SourceCamera | None, axes: CameraAxes | None = None) -> Trajectory:
        """The move in the world of a clip that ``camera`` filmed; None: one that stood still.

        ``axes`` says it in the file's place. Raises TrajectoryError for a source time outside the clip.
        """
        relative = (axes or self.axes) == SOURCE
        return camera.in_world(self.move) if relative and camera is not None else self.move


def named_axes(value: Any) -> CameraAxes:
    """What a file says its poses are relative to. Raises TrajectoryError for something else."""
    if str(value) not in (WORLD, SOURCE):
        raise TrajectoryError(f"Its poses are relative to {str(value)!r}; 'world' and 'source' are known.")
    return SOURCE if str(value) == SOURCE else WORLD
