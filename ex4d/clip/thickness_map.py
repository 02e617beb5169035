"""How thick the things in a clip are, where somebody knows it: a map with a length per pixel, from a file."""

from pathlib import Path

import numpy as np

from ex4d_ground.array_files import DAMAGED
from ex4d_ground.arrays import Float32
from ex4d_ground.errors import InputError, ShapeError, in_brief


def read_thickness_map(path: Path) -> Float32:  # [H, W] or [T, H, W]
    """Read an .npy, or an .npz with the key "thickness" or one array; NaN says nothing of a pixel.

    Raises InputError or ShapeError with the file's name.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                names = archive.files
                key = "thickness" if "thickness" in names else names[0] if len(names) == 1 else ""
                if not key:
                    raise InputError(f"{path} has no array 'thickness'; it has: {', '.join(names) or 'nothing'}.")
                values = archive[key]
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{path} is no thickness map that can be read (.npy or .npz): {in_brief(error)}.") from error
    if values.ndim not in (2, 3) or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise ShapeError(f"{path} must hold numbers of [H, W] or [T, H, W], got {values.shape} {values.dtype}.")
    return np.ascontiguousarray(values, np.float32)
