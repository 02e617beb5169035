"""A lens as its matrix K: text or .npy, 3x3 or 4x4, or the four numbers fx, fy, cx, cy."""

from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import InputError, SettingError, in_brief
from ex4d_ground.files import read_text, require_regular

SUFFIXES = (".txt", ".npy", ".csv")
_MAX_BYTES = 1 << 16
OFF_CENTRE = 0.25
"""A principal point may lie this share of the picture's side from where it is expected; beyond, the lens is of another
picture."""


def load_lens_matrix(path: Path, width: int, height: int) -> Intrinsics:
    """The lens of a K file for pictures of this size, which the file does not say. Raises SettingError."""
    require_regular(path, _MAX_BYTES, SettingError)
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False).astype(np.float64)
        else:
            lines = [line for line in read_text(path).splitlines() if not line.lstrip().startswith("#")]
            words = " ".join(lines).replace(",", " ").replace(";", " ").replace("[", " ").replace("]", " ").split()
            values = np.array([float(word) for word in words])
    except (*DAMAGED, MemoryError) as error:
        raise SettingError(f"{path} cannot be read as the matrix of a lens: {in_brief(error)}.") from error
    numbers = values.reshape(-1)
    if numbers.size in (9, 16):
        k = numbers.reshape(3, 3) if numbers.size == 9 else numbers.reshape(4, 4)
        fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    elif numbers.size == 4:
        fx, fy, cx, cy = numbers
    else:
        raise SettingError(f"{path} holds {numbers.size} numbers; a lens is a matrix of 3x3, or fx, fy, cx, cy.")
    try:
        lens = Intrinsics(float(fx), float(fy), float(cx), float(cy), width, height, f"given: {path.name}")
    except InputError as error:
        raise SettingError(f"{path} is no lens: {error}") from error
    if abs(lens.cx / width - 0.5) > OFF_CENTRE or abs(lens.cy / height - 0.5) > OFF_CENTRE:
        raise SettingError(
            f"{path} has its middle at {lens.cx:g}, {lens.cy:g} pixels, as a picture of about {2 * lens.cx:.0f}x"
            f"{2 * lens.cy:.0f} has, but the video is {width}x{height}; scale the matrix to the video."
        )
    return lens
