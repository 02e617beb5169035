"""COLMAP's text model: cameras.txt, images.txt and an empty points3D.txt in a folder.

COLMAP stores camera_from_world as a quaternion (w, x, y, z) and a translation, in the same axes and with the same
image origin (the corner) as ours. Source times and the move's name have no place in it.
"""

import re
from pathlib import Path

import numpy as np

from ex4d_ground.cameras import Trajectory, from_matrices
from ex4d_ground.errors import TrajectoryError
from ex4d_ground.files import atomic_path, frame_name, read_text
from ex4d_ground.poses import inverse, quaternion_from_rotation, rotation_from_quaternion


def save(folder: Path, trajectory: Trajectory) -> None:
    """Write the three files; one PINHOLE camera per distinct lens. Raises OutputError."""
    lenses, camera_of_frame = np.unique(trajectory.intrinsics, axis=0, return_inverse=True)
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"]
    for i, lens in enumerate(lenses):
        cameras.append(f"{i + 1} PINHOLE {trajectory.width} {trajectory.height} {_numbers(lens)}")
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then a line of 2D points (none)"]
    for i, c in enumerate(inverse(trajectory.world_from_camera)):
        numbers = _numbers(np.concatenate([quaternion_from_rotation(c[:3, :3]), c[:3, 3]]))
        images += [f"{i + 1} {numbers} {int(camera_of_frame.reshape(-1)[i]) + 1} {frame_name(i)}", ""]
    for name, lines in (("cameras.txt", cameras), ("images.txt", images), ("points3D.txt", ["# no points"])):
        with atomic_path(folder / name) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(folder: Path) -> Trajectory:
    """Read a text model of pinhole cameras, in the natural order of its image names; normal source time.

    Raises TrajectoryError for missing files, other camera models, or mixed picture sizes.
    """
    cameras = {}
    for line in _lines(folder, "cameras.txt"):
        if line:
            camera_id, *rest = line.split()
            cameras[camera_id] = _camera(folder, camera_id, rest)
    described = _without_points(_lines(folder, "images.txt"))
    images = sorted((_image(folder, line) for line in described), key=lambda image: _natural(image[1]))
    if not images:
        raise TrajectoryError(f"{folder / 'images.txt'} lists no images.")
    unknown = [image for image in images if image[0] not in cameras]
    if unknown:
        raise TrajectoryError(f"{folder}: image {unknown[0][1]} uses camera {unknown[0][0]}, which cameras.txt lacks.")
    rows = [cameras[camera_id] for camera_id, _, _ in images]
    sizes = {size for _, size in rows}
    if len(sizes) != 1:
        raise TrajectoryError(f"{folder} mixes picture sizes {sorted(sizes)}; all images must have one size.")
    return from_matrices(
        np.stack([inverse(pose) for _, _, pose in images]),
        intrinsics=np.array([lens for lens, _ in rows]),
        size=rows[0][1],
        name=folder.name,
    )


def _numbers(values: np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts frame_2 before frame_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _lines(folder: Path, name: str) -> list[str]:
    try:
        text = read_text(folder / name)
    except (OSError, UnicodeDecodeError) as error:
        raise TrajectoryError(f"{folder} is no COLMAP text model: {name} cannot be read ({error}).") from error
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


def _camera(folder: Path, camera_id: str, rest: list[str]) -> tuple[list[float], tuple[int, int]]:
    try:
        model, width, height, *numbers = rest
        values = [float(v) for v in numbers]
        size = (int(width), int(height))
        if model == "SIMPLE_PINHOLE":
            f, cx, cy = values
            return [f, f, cx, cy], size
        if model == "PINHOLE":
            fx, fy, cx, cy = values
            return [fx, fy, cx, cy], size
    except ValueError as error:
        raise TrajectoryError(f"{folder}: camera {camera_id} in cameras.txt is malformed: {error}.") from error
    raise TrajectoryError(
        f"{folder}: camera {camera_id} is a {model}; "
        "only PINHOLE and SIMPLE_PINHOLE can be used, undistort the images first."
    )


def _image(folder: Path, line: str) -> tuple[str, str, np.ndarray]:
    parts = line.split(maxsplit=9)
    if len(parts) != 10:
        raise TrajectoryError(f"{folder}: images.txt has a line with {len(parts)} of 10 fields: {line[:60]!r}.")
    try:
        numbers = np.array([float(v) for v in parts[1:8]])
    except ValueError as error:
        raise TrajectoryError(f"{folder}: images.txt has a malformed number: {error}.") from error
    pose = np.eye(4)
    pose[:3, :3] = rotation_from_quaternion(numbers[:4])
    pose[:3, 3] = numbers[4:]
    return parts[8], parts[9], pose
