"""COLMAP's models: cameras and images in a folder, as text or binary; written as text with an empty points3D.txt.

COLMAP stores camera_from_world as a quaternion (w, x, y, z) and a translation, in the same axes and with the same
image origin (the corner) as ours. Source times and the move's name have no place in it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ex4d_ground.camera_files.colmap_binary import MODELS, read_cameras, read_images
from ex4d_ground.camera_files.pictures import check_pictures
from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError, in_brief
from ex4d_ground.files import frame_name, read_text, require_regular, staged_folder
from ex4d_ground.poses import inverse, quaternion_from_rotation, rotation_from_quaternion
from ex4d_ground.sequences import natural_key

_ENDINGS = (".txt", ".bin")
_MAX_BYTES = 1 << 30
"""The points of a long clip's images take this much and no more."""
_NUMBERS = dict(MODELS.values())
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


def save(folder: Path, trajectory: Trajectory) -> None:
    """Write the three files, all or none; one PINHOLE camera per distinct lens. Raises OutputError."""
    lenses, camera_of_frame = np.unique(trajectory.intrinsics, axis=0, return_inverse=True)
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"]
    for i, lens in enumerate(lenses):
        cameras.append(f"{i + 1} PINHOLE {trajectory.width} {trajectory.height} {_numbers(lens)}")
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of 2D points (none)"]
    for i, c in enumerate(inverse(trajectory.world_from_camera)):
        numbers = _numbers(np.concatenate([quaternion_from_rotation(c[:3, :3]), c[:3, 3]]))
        images += [f"{i + 1} {numbers} {int(camera_of_frame.reshape(-1)[i]) + 1} {frame_name(i)}", ""]
    with staged_folder(folder) as staging:
        for name, lines in (("cameras.txt", cameras), ("images.txt", images), ("points3D.txt", ["# no points"])):
            (staging / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def find_model(folder: Path) -> Path | None:
    """The folder of a model: this one, or where COLMAP and others put it in here; None if there is none."""
    for place in (".", "0", "sparse/0", "sparse", "colmap/sparse/0", "text"):
        inner = folder / place if place != "." else folder
        if any((inner / f"cameras{ending}").is_file() for ending in _ENDINGS):
            return inner
        if any((inner / f"images{ending}").is_file() for ending in _ENDINGS):
            return inner
    return None


def other_models(model: Path) -> list[Path]:
    """The models beside one that COLMAP has numbered: it writes one for each part that it could not join."""
    if not model.name.isdecimal():
        return []
    beside = (path for path in model.parent.iterdir() if path.name.isdecimal() and path != model)
    return sorted((path for path in beside if find_model(path) == path), key=lambda path: int(path.name))


def load(folder: Path, note: Callable[[str], None], whole: int | None = None) -> Trajectory:
    """Read a model in the natural order of its image names; normal source time. Text is preferred where both are there.

    A camera that bends lines gives its focal length and centre, and ``note`` is told; so it is of images that are
    missing, see :func:`~ex4d_ground.camera_files.pictures.check_pictures` for ``whole``. Raises TrajectoryError for
    missing files, cameras of unknown models, or mixed picture sizes.
    """
    described, lines = _read_model(folder)
    cameras = {camera_id: _camera(folder, camera_id, rest) for camera_id, rest in described.items()}
    images = sorted((_image(folder, line) for line in lines), key=lambda image: natural_key(image[1]))
    if not images:
        raise TrajectoryError(f"The model in {folder} lists no images.")
    unknown = [image for image in images if image[0] not in cameras]
    if unknown:
        raise TrajectoryError(f"{folder}: image {unknown[0][1]} uses camera {unknown[0][0]}, which the model lacks.")
    rows = [cameras[camera_id] for camera_id, _, _ in images]
    sizes = {size for _, size, _ in rows}
    if len(sizes) != 1:
        raise TrajectoryError(f"{folder} mixes picture sizes {sorted(sizes)}; all images must have one size.")
    bent = sorted({model for _, _, model in rows} - {""})
    if bent:
        note(
            f"The lens in {folder} bends lines ({', '.join(bent)}): its focal length and centre are used, not its "
            "distortion"
        )
    check_pictures(folder, [name for _, name, _ in images], note, whole)
    return from_matrices(
        np.stack([inverse(pose) for _, _, pose in images]),
        intrinsics=np.array([lens for lens, _, _ in rows]),
        size=rows[0][1],
        name=folder.name,
    )


def _read_model(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The fields of each camera by its id, and the line of each image."""
    texts = [folder / "cameras.txt", folder / "images.txt"]
    binaries = [folder / "cameras.bin", folder / "images.bin"]
    if all(path.is_file() for path in binaries) and not all(path.is_file() for path in texts):
        for path in binaries:
            require_regular(path, _MAX_BYTES, TrajectoryError)
        return read_cameras(binaries[0]), read_images(binaries[1])
    cameras = {}
    for line in _lines(folder, "cameras.txt"):
        if line:
            camera_id, *rest = line.split()
            cameras[camera_id] = rest
    return cameras, _without_points(_lines(folder, "images.txt"))


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)


def _lines(folder: Path, name: str) -> list[str]:
    try:
        require_regular(folder / name, _MAX_BYTES, TrajectoryError)
        text = read_text(folder / name)
    except (OSError, UnicodeDecodeError) as error:
        raise TrajectoryError(f"{folder} is no COLMAP model: {name} cannot be read ({in_brief(error)}).") from error
    return [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]


def _without_points(lines: list[str]) -> list[str]:
    """The lines that describe images. The line of 2D points after each may be empty, and some programs leave it out."""
    described: list[str] = []
    after_image = False
    for line in lines:
        if line and not (after_image and _is_points(line)):
            described.append(line)
            after_image = True
        else:
            after_image = False
    return described


def _is_points(line: str) -> bool:
    """Whether a line holds 2D points, that is threes of numbers, and not an image with its name at the end."""
    parts = line.split()
    try:
        return len(parts) % 3 == 0 and all(float(part) is not None for part in parts)
    except ValueError:
        return False


def _camera(folder: Path, camera_id: str, rest: list[str]) -> tuple[list[float], tuple[int, int], str]:
    """Lens, picture size, and the model's name if it bends lines with these numbers."""
    try:
        model, width, height, *numbers = rest
        values = [float(v) for v in numbers]
        size = (int(width), int(height))
        if model not in _NUMBERS:
            raise TrajectoryError(f"{folder}: camera {camera_id} is a {model}, which is no camera model that is known.")
        if len(values) != _NUMBERS[model]:
            raise ValueError(f"a {model} has {_NUMBERS[model]} numbers, got {len(values)}")
    except ValueError as error:
        if isinstance(error, TrajectoryError):
            raise
        raise TrajectoryError(f"{folder}: camera {camera_id} is malformed: {error}.") from error
    one_focal = model in _ONE_FOCAL
    lens = [values[0], *values[:3]] if one_focal else values[:4]
    bent = "FISHEYE" in model or model == "FOV" or any(values[3 if one_focal else 4 :])
    return lens, size, model if bent else ""


def _image(folder: Path, line: str) -> tuple[str, str, np.ndarray]:
    parts = line.split(maxsplit=9)
    if len(parts) != 10:
        raise TrajectoryError(f"{folder}: the images have a line with {len(parts)} of 10 fields: {line[:60]!r}.")
    try:
        numbers = np.array([float(v) for v in parts[1:8]])
    except ValueError as error:
        raise TrajectoryError(f"{folder}: the images have a malformed number: {error}.") from error
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_quaternion(numbers[:4])
    pose[:3, 3] = numbers[4:]
    return parts[8], parts[9], pose
