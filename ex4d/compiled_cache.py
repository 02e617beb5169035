"""A place for compiled kernels where the usual ones cannot be written to, as on a farm: code read-only, no home."""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

_VARIABLES = {"NUMBA_CACHE_DIR": "numba", "TRITON_CACHE_DIR": "triton"}


def choose_cache_folder() -> None:
    """Have kernels kept in a temporary folder of this user's own, if neither the code's nor the user's can be written.

    Numba refuses to start without a place for them. Variables that are set already are left alone.
    """
    package = Path(__file__).parent
    missing = [name for name in _VARIABLES if not os.environ.get(name)]
    if not missing or "numba" in sys.modules or _writable(package / "raster" / "__pycache__") or _home_is_writable():
        return
    folder = _temporary()
    for name in missing:
        os.environ[name] = str(folder / _VARIABLES[name])


def _home_is_writable() -> bool:
    import platformdirs

    try:
        return _writable(Path(platformdirs.user_cache_dir("numba")))
    except RuntimeError:  # no home and no entry of this user
        return False


def _writable(path: Path) -> bool:
    """Whether a folder can be written to, or made."""
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """This user's folder for it, kept over runs; one for this run alone if somebody else holds that name.

    What lies there is executed, so it must belong to this user and be closed to others.
    """
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"ex4d-kernels-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
        mine = not hasattr(os, "getuid") or (state.st_uid == os.getuid() and not state.st_mode & 0o077)
        if stat.S_ISDIR(state.st_mode) and mine and os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError:
        pass
    own = Path(tempfile.mkdtemp(prefix="ex4d-kernels-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own
