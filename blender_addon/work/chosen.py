"""The folders that people choose for what is written."""

from pathlib import Path

import bpy

from ex4d_ground.remedies import save_file

from .errors import AddonError, StorageError


def chosen_folder(given: str) -> Path:
    """The folder of that path, which need not be there yet.

    Raises AddonError if it is relative to a .blend that was never saved, or the system refuses to look into it.
    """
    if given.startswith("//") and not bpy.data.filepath:
        raise AddonError(f"'{given}' lies beside the .blend, which has not been saved yet.", remedy=save_file())
    path = Path(bpy.path.abspath(given)).absolute()
    try:
        (path / "x").stat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # what writes there makes the folder, or says what is in its way
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror or error}; choose another folder.") from error
    return path
