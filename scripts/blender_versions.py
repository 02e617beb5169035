"""The Blender versions that the add-on is tested in: which there are, the Python of each, and how each is installed.

python scripts/blender_versions.py python 3.11 3.13   the first of these Pythons that this machine has, as a path
python scripts/blender_versions.py main               the version for the project's environment of this very Python
python scripts/blender_versions.py install 5.3.0 DIR  make DIR an environment with that Blender, for the add-on's tests
python scripts/blender_versions.py addon SCRIPT ...   run a script in the newest of these environments, made if need be

Runs on any Python from 3.8, with nothing installed.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

Version = namedtuple("Version", "blender python")
VERSIONS = (
    Version("4.2.23", "3.11"),
    Version("4.5.15", "3.11"),
    Version("5.0.1", "3.11"),
    Version("5.1.2", "3.13"),
    Version("5.2.3", "3.13"),
    Version("5.3.0", "3.13"),
)
"""Oldest first. Blender's Python module runs on exactly one Python."""

MAIN = {"3.11": "4.5.15", "3.13": "5.3.0"}
"""The version in the project's own environment, by its Python."""

NEEDED = ("pyzmq", "msgspec", "pytest", "numpy")
"""What the add-on's tests need beside Blender; constraints.txt pins them."""


def find_python(*wanted: str) -> "Path | None":
    """The interpreter of the first of the ``wanted`` Pythons ("3.11") that this machine has; None if it has none.

    Looked for as ``python3.11`` and ``python3`` on the PATH, then among pyenv's; one that cannot make an environment
    does not count.
    """
    for version in wanted:
        names = (shutil.which("python" + version), shutil.which("python3"))
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        own = sorted(pyenv.glob(version + ".*/bin/python"), key=lambda p: _numbers(p.parts[-3]), reverse=True)
        for path in [*(Path(name) for name in names if name), *own]:
            if _is(path, version):
                return path
    return None


def _numbers(text: str) -> "tuple[int, ...]":
    return tuple(int(number) for number in re.findall(r"\d+", text))


def _is(path: Path, version: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([str(path), "-c", code], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def environment_of(version: Version) -> Path:
    """The folder of a version's environment in this checkout."""
    return ROOT / f".venv-bpy{version.blender}"


def install(version: Version, folder: Path) -> int:
    """Make ``folder`` an environment with that Blender; does nothing where it is whole. Returns the exit code."""
    done = folder / ".done"
    pins = ROOT / "constraints.txt"
    newest = max(path.stat().st_mtime for path in (pins, Path(__file__)))
    if done.exists() and done.stat().st_mtime >= newest:
        return 0
    python = find_python(version.python)
    if python is None:
        print(f"Blender {version.blender} needs Python {version.python}, which this machine lacks.", file=sys.stderr)
        return 1
    print(f"Installing Blender {version.blender} into {folder.name} for the add-on's tests (once) ...", flush=True)
    subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
    own = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(own), "-m", "pip", "--disable-pip-version-check", "-q", "install", "-c", str(pins)]
    subprocess.run([*pip, f"bpy=={version.blender}", *NEEDED], check=True)
    done.touch()
    return 0


def python_of(version: Version) -> Path:
    """The interpreter of a version's environment."""
    return environment_of(version) / ("Scripts" if os.name == "nt" else "bin") / "python"


def run_in_newest(*command: str) -> int:
    """Run a script in the environment of the newest Blender that this machine can have; returns its exit code."""
    version = next((v for v in reversed(VERSIONS) if find_python(v.python)), None)
    if version is None:
        print("Python 3.11 or 3.13 is needed, for Blender's own tool.", file=sys.stderr)
        return 1
    return install(version, environment_of(version)) or subprocess.call([str(python_of(version)), *command])


def main(command: str, *arguments: str) -> int:
    """What the command line asks; returns the exit code."""
    if command == "python":
        found = find_python(*arguments)
        print(found or "")
        return 0 if found else 1
    if command == "main":
        print(MAIN.get("{}.{}".format(*sys.version_info[:2]), ""))
        return 0
    if command == "addon":
        return run_in_newest(*arguments)
    if command == "install":
        return install(next(v for v in VERSIONS if v.blender == arguments[0]), Path(arguments[1]).absolute())
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
