"""Installing the backend: the one command that does it on this system, and where it is found afterwards.

The add-on runs nothing of it: a person pastes the command into a terminal. It makes a virtual environment of the
backend's own below the user's data folder and installs into it what the extension's zip carries, so no index of
packages is asked for our name. Knows nothing of Blender.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from shutil import which

from ex4d_ground.shells import line, shells

from .errors import AddonError

PROGRAM = "ex4d-backend"
PYTHON_VERSIONS = ((3, 12), (3, 13), (3, 11))
"""Those that the backend runs on, preferred first."""
WHEEL_FOLDER = "backend"
"""In the extension's zip: what is installed."""
COMPILED = "compiled"
"""The wheel's extra that pins what its kernels were compiled with."""
HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin")
"""Not on the PATH of a Blender that was not started in a terminal."""
PROBE = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
PROBE_TIMEOUT_S = 5.0


def environment_folder(platform: str, environment: Mapping[str, str], home: str) -> PurePath:
    """Where the backend's virtual environment goes for a user, by ``sys.platform``, their environment and home."""
    if platform == "win32":
        data = PureWindowsPath(environment.get("LOCALAPPDATA") or PureWindowsPath(home, "AppData", "Local"))
    elif platform == "darwin":
        data = PurePosixPath(home, "Library", "Application Support")
    else:
        data = PurePosixPath(environment.get("XDG_DATA_HOME", ""))
        if not data.is_absolute():  # the XDG specification has it ignored then
            data = PurePosixPath(home, ".local", "share")
    return data / "ex4d" / "backend"


def program(platform: str, folder: PurePath, name: str = PROGRAM) -> PurePath:
    """A program of the virtual environment in ``folder``."""
    return folder / "Scripts" / f"{name}.exe" if platform == "win32" else folder / "bin" / name


def command(
    platform: str, python: Sequence[str], source: PurePath, folder: PurePath, shell: str = "", *, anew: bool = False
) -> str:
    """The line that makes the environment in ``folder`` with ``python`` and installs ``source`` into it.

    ``source`` is a wheel or a folder; ``anew`` empties the environment first; ``shell`` is one of
    :func:`ex4d_ground.shells.shells`, "" the usual one.
    """
    make = [*python, "-m", "venv", *(("--clear",) if anew else ()), str(folder)]
    own_python = str(program(platform, folder, "python"))
    put = [own_python, "-m", "pip", "install", "--upgrade", wanted_of(source)]
    return line(shell or shells(platform)[0], make, put)


def wanted_of(source: PurePath) -> str:
    """What pip is asked for: with a wheel for one system, the numba that its kernels were compiled with, too."""
    parts = source.stem.split("-")  # name, version, Python, its interface, system
    is_for_one_system = source.suffix == ".whl" and len(parts) >= 5 and parts[-1] != "any"
    return f"{source}[{COMPILED}]" if is_for_one_system else str(source)


def here() -> Path:
    """Where the backend's environment is, or would be, for this user."""
    return Path(environment_folder(sys.platform, os.environ, str(Path.home())))


def installed() -> Path | None:
    """The backend that such a command has installed; None if there is none."""
    found = Path(program(sys.platform, here()))
    return found if found.is_file() else None


def is_broken() -> bool:
    """Whether the environment is there, and its Python, which belongs to another program, is not any more."""
    folder = here()
    if not folder.is_dir():
        return False
    return not (_its_python_is_there(folder) and Path(program(sys.platform, folder, "python")).exists())


def _its_python_is_there(folder: Path) -> bool:
    try:
        lines = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    homes = [value.strip() for key, _, value in (line.partition("=") for line in lines) if key.strip() == "home"]
    return bool(homes) and Path(homes[0]).is_dir()


def carried() -> Path:
    """What is installed: the wheel in the extension's zip, or the checkout. Raises AddonError if it is gone."""
    addon = Path(__file__).resolve().parents[1]
    wheels = sorted((addon / WHEEL_FOLDER).glob("ex4d-*.whl"))
    if wheels:
        return wheels[-1]
    if (addon.parent / "pyproject.toml").is_file() and (addon.parent / "backend" / "ex4d_backend").is_dir():
        return addon.parent
    raise AddonError(f"The backend's wheel is not in {addon / WHEEL_FOLDER}; install the extension again.")


def command_here(shell: str = "") -> str:
    """The command for this machine and user. Raises AddonError if there is nothing to install."""
    python = find_python() or fallback_python(sys.platform)
    return command(sys.platform, python, carried(), here(), shell, anew=is_broken())


def fallback_python(platform: str) -> tuple[str, ...]:
    """How a Python would be called once somebody has installed one."""
    version = "{}.{}".format(*PYTHON_VERSIONS[0])
    return ("py", f"-{version}") if platform == "win32" else (f"python{version}",)


def no_python(platform: str) -> str:
    """What to do where no Python fits, as a sentence."""
    called, others = " ".join(fallback_python(platform)), "3.11 to 3.13"
    source = "your distribution's packages" if platform.startswith("linux") else "python.org"
    return f"No Python {others} that makes environments is here; install one from {source} first, as {called}."


@lru_cache(maxsize=1)
def find_python() -> tuple[str, ...]:
    """A Python that the backend runs on and that can make environments, as the start of a command; () if none is here.

    One of the system is taken before Blender's own, which goes when that Blender goes. Looked for once.
    """
    return next((python for python in _candidates(sys.platform) if _fits(python)), ())


def _candidates(platform: str) -> list[tuple[str, ...]]:
    versions = ["{}.{}".format(*version) for version in PYTHON_VERSIONS]
    if platform == "win32":
        launcher = which("py")
        found = [(launcher, f"-{version}") for version in versions] if launcher else []
    else:
        path = os.pathsep.join(chain([os.environ.get("PATH", os.defpath)], HOMEBREW))
        # macOS' own python3 is a stub that asks to install the developer's tools.
        names = [f"python{version}" for version in versions] + (["python3"] if platform != "darwin" else [])
        found = [(each,) for name in names if (each := which(name, path=path))]
    own = Path(sys.executable or "")  # some builds name Blender itself, and asking that would open a window
    return [*found, (str(own),)] if own.stem.lower().startswith("python") else found


def _fits(python: tuple[str, ...]) -> bool:
    """Whether it is there, of a version that fits, and makes environments (Debian has that in a package of its own)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHON_MANAGER_AUTOMATIC_INSTALL"] = "false"  # asking Windows' launcher must not install anything
    try:
        asked = subprocess.run(
            [*python, "-I", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and asked.stdout.split() in [[str(n) for n in v] for v in PYTHON_VERSIONS]
