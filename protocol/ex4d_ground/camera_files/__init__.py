"""Camera files: our .npz, EX-4D's camera_*.npz, nerfstudio's transforms.json and COLMAP's text model.

Only our own file holds everything (lens per frame, source time); what another layout cannot hold is said in its
writer's docstring, and refused where losing it would make the file wrong. FORMATS.md describes each.
"""

from pathlib import Path
from typing import Literal

from ex4d_ground.camera_files import colmap, nerfstudio, npz
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import InputError, TrajectoryError

CameraLayout = Literal["ex4d-blender", "ex4d", "nerfstudio", "colmap"]

__all__ = ["CameraLayout", "load_camera", "save_camera"]


def save_camera(path: Path | str, trajectory: Trajectory, *, layout: CameraLayout | None = None) -> None:
    """Write a move. Without ``layout`` the name decides: ``.npz`` ours, ``.json`` nerfstudio, no suffix COLMAP.

    Raises OutputError if it cannot be written, TrajectoryError if the layout cannot hold this move.
    """
    path = Path(path)
    layout = layout or _layout_of_name(path)
    if layout == "ex4d-blender":
        npz.save(path, trajectory)
    elif layout == "ex4d":
        npz.save_ex4d(path, trajectory)
    elif layout == "nerfstudio":
        nerfstudio.save(path, trajectory)
    elif layout == "colmap":
        colmap.save(path, trajectory)
    else:
        raise TrajectoryError(f"Camera layout must be ex4d-blender, ex4d, nerfstudio or colmap, got {layout!r}.")


def load_camera(path: Path | str, *, size: tuple[int, int] | None = None) -> Trajectory:
    """Read a move of any layout :func:`save_camera` writes; an .npz tells by its contents which one it is.

    ``size`` (width, height) is for EX-4D's files only, which hold none: without it the principal point is taken as
    the picture's middle. Raises TrajectoryError with the file's name and what is wrong with it.
    """
    path = Path(path)
    if path.name in ("cameras.txt", "images.txt", "points3D.txt"):  # a file browser picks files, not folders
        path = path.parent
    if not path.exists():
        raise TrajectoryError(f"There is no camera file {path}; check the name.")
    layout = _layout_of_name(path)
    try:
        if layout == "nerfstudio":
            return nerfstudio.load(path)
        if layout == "colmap":
            return colmap.load(path)
        return npz.load(path, size)
    except InputError as error:
        if str(path) in str(error):
            raise
        raise TrajectoryError(f"The camera file {path} cannot be used: {error}") from error


def _layout_of_name(path: Path) -> CameraLayout:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return "ex4d-blender"
    if suffix == ".json":
        return "nerfstudio"
    if path.is_dir() or not suffix:
        return "colmap"
    raise TrajectoryError(
        f"A camera file is an .npz, a transforms .json or a folder with COLMAP's text files, got {path.name!r}."
    )
