"""Camera files: our .npz, EX-4D's, nerfstudio's transforms.json, COLMAP's models, poses of TUM, KITTI and 7-Scenes, and
what ViPE, MegaSaM and Depth Anything 3 write.

Only our own file holds everything (lens per frame, source time); what another layout cannot hold is said in its
writer's docstring, and refused where losing it would make the file wrong. FORMATS.md describes each.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from ex4d_ground.arrays import FAR
from ex4d_ground.camera_files import colmap, nerfstudio, npz, poses_text, solvers
from ex4d_ground.camera_files.axes import SOURCE, WORLD, CameraAxes, CameraFile
from ex4d_ground.camera_files.npz import DEPTH_CAMERA
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.errors import InputError, TrajectoryError
from ex4d_ground.files import require_regular

CameraLayout = Literal["ex4d-blender", "ex4d", "nerfstudio", "colmap"]
OnNote = Callable[[str], None]
"""Told what people should know of a file that can be used, in a sentence without full stop."""

MAX_BYTES = 128 << 20
"""A larger file is no camera file."""
MAX_POSES = 100_000
MAX_SIDE, MAX_PIXELS = 16384, 1 << 27

__all__ = [
    "DEPTH_CAMERA",
    "SOURCE",
    "WORLD",
    "CameraAxes",
    "CameraFile",
    "CameraLayout",
    "OnNote",
    "holds_model",
    "load_camera",
    "load_camera_file",
    "save_camera",
]


def save_camera(path: Path | str, trajectory: Trajectory, *, layout: CameraLayout | None = None) -> None:
    """Write a move in the world. Without ``layout`` the name decides: ``.npz`` ours, ``.json`` nerfstudio, no suffix
    COLMAP. Of a source camera that moves, EX-4D's layout cannot say that the poses are not relative to it.

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


def load_camera(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    lens: Intrinsics | None = None,
    on_note: OnNote | None = None,
    whole: int | None = None,
) -> Trajectory:
    """The cameras of a file or folder as they are there: :func:`load_camera_file` without what they are relative to."""
    return load_camera_file(path, size=size, lens=lens, on_note=on_note, whole=whole).move


def load_camera_file(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    lens: Intrinsics | None = None,
    on_note: OnNote | None = None,
    whole: int | None = None,
) -> CameraFile:
    """Read the cameras of a file or folder; names and contents tell the layout.

    ``size`` (width, height) is for files that hold none, ``lens`` for those that hold poses alone; without it a lens is
    assumed for them, and ``on_note`` is told. A lens that bends lines does not hinder the path: its focal length and
    centre are used, and ``on_note`` is told. Pictures that have no camera in it are said as well; where they are among
    the first ``whole``, since the file says how a clip of so many frames was filmed, they are refused. Raises
    TrajectoryError with the file's name and what is wrong with it.
    """
    path = Path(path)
    if path.suffix.lower() in (".txt", ".bin", ".ply") and path.stem in ("cameras", "images", "points3D"):
        path = path.parent  # a file browser picks files, not folders
    if path.name == solvers.RECONSTRUCTION and path.is_file():
        path = path.parent
    if not path.exists():
        raise TrajectoryError(f"There is no camera file {path}; check the name.")
    note = on_note or (lambda _: None)
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large is refused below, in a sentence
            file = _read(path, size, lens, note, whole)
        _check_reasonable(file.move)
        return file
    except InputError as error:
        if str(path) in str(error):
            raise
        raise TrajectoryError(f"The camera file {path} cannot be used: {error}") from error
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise TrajectoryError(
            f"The camera file {path} holds a value of the wrong kind, such as text or a list where a number belongs; "
            "export it again."
        ) from error
    except OSError as error:
        raise TrajectoryError(f"The camera file {path} cannot be read: {error.strerror or error}.") from error


def holds_model(folder: Path) -> bool:
    """Whether a folder holds cameras with their lens: COLMAP's model or a transforms.json."""
    return colmap.find_model(folder) is not None or (folder / "transforms.json").is_file()


def _read(
    path: Path, size: tuple[int, int] | None, lens: Intrinsics | None, note: OnNote, whole: int | None
) -> CameraFile:
    if path.is_dir():
        return _read_folder(path, size, lens, note, whole)
    require_regular(path, None, TrajectoryError)
    suffix = path.suffix.lower()
    if suffix == ".npz":  # pictures and depth may lie beside the cameras: only those are read
        held = solvers.members(path)
        if {"depth", "facts"} <= held.keys():
            if npz.DEPTH_CAMERA not in held:
                raise TrajectoryError(f"{path} is a depth file whose estimator knew no camera; give a camera file.")
            return CameraFile(npz.load_of_depth(path), WORLD)
        found = solvers.load_archive(path, held, size)
        if found is not None:
            return CameraFile(found, WORLD)
    require_regular(path, MAX_BYTES, TrajectoryError)
    if suffix == ".npz":
        return npz.load(path, size)
    if suffix == ".json":
        return nerfstudio.load(path, size, note, whole)
    if path.name == solvers.STREAMED and (streamed := solvers.load_streamed(path, size)) is not None:
        return CameraFile(streamed, WORLD)
    if suffix in poses_text.SUFFIXES:
        return CameraFile(poses_text.load(path, size, lens, note), WORLD)
    raise TrajectoryError(
        "A camera file is an .npz, a transforms .json, a .txt with poses, or a folder with COLMAP's model, a solver's "
        f"results or a pose a frame, got {path.name!r}."
    )


def _read_folder(
    folder: Path, size: tuple[int, int] | None, lens: Intrinsics | None, note: OnNote, whole: int | None
) -> CameraFile:
    model = colmap.find_model(folder)
    if model is not None:
        others = [] if model == folder else colmap.other_models(model)
        if others:
            names = ", ".join(path.name for path in others)
            note(
                f"{model.parent} holds {1 + len(others)} models that COLMAP did not join; {model.name} is used, not "
                f"{names}"
            )
        return CameraFile(colmap.load(model, note, whole), WORLD)
    if (folder / "transforms.json").is_file():
        return nerfstudio.load(folder / "transforms.json", size, note, whole)
    solved = solvers.load_folder(folder, size)
    if solved is not None:
        return CameraFile(solved, WORLD)
    return CameraFile(poses_text.load_folder(folder, size, lens, note, whole), WORLD)


def _check_reasonable(move: Trajectory) -> None:
    """Refuse what no program here could draw, before it is tried. Raises TrajectoryError."""
    if len(move) > MAX_POSES:
        raise TrajectoryError(f"It holds {len(move)} cameras; {MAX_POSES} are the most that can be used.")
    w, h = move.width, move.height
    if not (2 <= w <= MAX_SIDE and 2 <= h <= MAX_SIDE and w * h <= MAX_PIXELS):
        raise TrajectoryError(f"Pictures of {w}x{h} pixels cannot be drawn; give 2 to {MAX_SIDE} pixels a side.")
    lenses = np.abs(move.intrinsics).max(axis=1)
    for what, values in (
        ("position", np.abs(move.world_from_camera[:, :3, 3]).max(axis=1)),
        ("lens", np.maximum(lenses, 1 / move.intrinsics[:, :2].min(axis=1))),
        ("source time", np.abs(move.source_time)),
    ):
        if values.max() >= FAR:
            i = int(values.argmax())
            raise TrajectoryError(f"The {what} of frame {i + 1} is out of all bounds ({values[i]:g}); export it again.")


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
