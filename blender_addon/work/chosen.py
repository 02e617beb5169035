"""The folders that people choose for what is written."""

from pathlib import Path

import bpy

from ex4d_ground.files import made_folder
from ex4d_ground.remedies import save_file

from . import files
from .errors import AddonError


def chosen_folder(given: str) -> Path:
    """The folder of that path, which need not be there yet.

    Raises AddonError if it is relative to a .blend that was never saved, or it can neither be made nor written to.
    """
    if given.startswith("//") and not bpy.data.filepath:
        raise AddonError(f"'{given}' lies beside the .blend, which has not been saved yet.", remedy=save_file())
    path = Path(bpy.path.abspath(given)).absolute()
    with files.writing(path), made_folder(path):
        return path
