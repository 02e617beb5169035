"""COLMAP's text model of a camera move: cameras.txt, images.txt and an empty points3D.txt in a folder.

COLMAP keeps camera_from_world as a quaternion (w, x, y, z) and a translation, in our axes and with our image origin
(the corner). Source times and the move's name have no place in it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import files
from .camera import CameraSamples
from .errors import AddonError

Float64 = NDArray[np.float64]


def save(folder: Path, move: CameraSamples) -> None:
    """Write the three files; one PINHOLE camera per distinct lens. Raises StorageError."""
    lenses, of_frame = np.unique(move.intrinsics, axis=0, return_inverse=True)
    cameras = ["# CAMERA_ID MODEL WIDTH HEIGHT fx fy cx cy"]
    for number, lens in enumerate(lenses, 1):
        cameras.append(f"{number} PINHOLE {move.width} {move.height} {_numbers(lens)}")
    images = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, each followed by a line of 2D points (none)"]
    for index, view in enumerate(np.linalg.inv(move.world_from_camera)):
        pose = _numbers(np.concatenate([_quaternion(view[:3, :3]), view[:3, 3]]))
        camera = int(of_frame.reshape(-1)[index]) + 1
        images += [f"{index + 1} {pose} {camera} {files.frame_name(index)}", ""]
    for name, lines in (("cameras.txt", cameras), ("images.txt", images), ("points3D.txt", ["# no points"])):
        files.write_whole(folder / name, ("\n".join(lines) + "\n").encode())


def load(folder: Path) -> CameraSamples:
    """Read a text model of pinhole cameras of one size, in the natural order of its pictures' names.

    Raises AddonError for another camera model or mixed sizes; ValueError, KeyError or OSError if it is damaged.
    """
    cameras: dict[str, tuple[list[float], tuple[int, int]]] = {}
    for line in _lines(folder / "cameras.txt"):
        if line:
            number, model, width, height, *rest = line.split()
            cameras[number] = _lens(number, model, [float(v) for v in rest]), (int(width), int(height))
    # Every second line lists 2D points and may be empty: only the first of each pair describes a camera.
    rows = [line.split(maxsplit=9) for line in _lines(folder / "images.txt")[::2] if line]
    rows.sort(key=lambda row: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", row[9])])
    used = [cameras[row[8]] for row in rows]
    sizes = {size for _, size in used}
    if len(sizes) > 1:
        raise AddonError(f"{folder.name} mixes picture sizes {sorted(sizes)}; all pictures must have one size.")
    views = np.tile(np.eye(4), (len(rows), 1, 1))
    for view, row in zip(views, rows, strict=True):
        numbers = np.array(row[1:8], np.float64)
        view[:3, :3], view[:3, 3] = _rotation(numbers[:4]), numbers[4:]
    width, height = next(iter(sizes))
    return CameraSamples(
        np.linalg.inv(views),
        np.array([lens for lens, _ in used]),
        np.arange(len(rows), dtype=np.float64),
        width=width,
        height=height,
        name=folder.name,
    )


def _lens(number: str, model: str, values: list[float]) -> list[float]:
    if model == "SIMPLE_PINHOLE":
        focal, cx, cy = values
        return [focal, focal, cx, cy]
    if model == "PINHOLE":
        fx, fy, cx, cy = values
        return [fx, fy, cx, cy]
    raise AddonError(f"COLMAP camera {number} is a {model}; undistort the pictures, so that it is a PINHOLE.")


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]


def _numbers(values: Float64) -> str:
    return " ".join(repr(float(value)) for value in values)


def _quaternion(rotation: Float64) -> Float64:  # [3, 3] -> [4] w, x, y, z
    """By the largest of the four components, which keeps the division away from zero."""
    r = rotation
    squares = np.array(
        [
            1 + r[0, 0] + r[1, 1] + r[2, 2],
            1 + r[0, 0] - r[1, 1] - r[2, 2],
            1 - r[0, 0] + r[1, 1] - r[2, 2],
            1 - r[0, 0] - r[1, 1] + r[2, 2],
        ]
    )
    sums = {(1, 2): r[1, 0] + r[0, 1], (1, 3): r[0, 2] + r[2, 0], (2, 3): r[2, 1] + r[1, 2]}
    differences = {(0, 1): r[2, 1] - r[1, 2], (0, 2): r[0, 2] - r[2, 0], (0, 3): r[1, 0] - r[0, 1]}
    products = np.diag(squares)
    for (i, j), value in {**sums, **differences}.items():
        products[i, j] = products[j, i] = value
    q = products[int(np.argmax(squares))]
    q = q / np.linalg.norm(q)
    return -q if q[0] < 0 else q


def _rotation(quaternion: Float64) -> Float64:  # [4] -> [3, 3]
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
