"""Build the wheel of library, server and protocol, with kernels compiled ahead for this system: into dist/.

    python scripts/build_wheel.py [--output DIR] [--python 3.11 --python 3.12] [--pure]

A wheel for one system carries what ``compile_kernels.py`` makes for each of the Pythons asked for (all that the package
runs on and this machine has), in the versions of ``constraints.txt``; each gets an environment in build/kernels. Any
other Python, numba or processor can install it, too, and compiles at first use, as from a pure wheel. Kernels can be
built on the system only that they are for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from blender_versions import find_python

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "build" / "kernels"
PYTHONS = ("3.11", "3.12", "3.13")
SOURCES = "sources.txt"
"""In a folder of kernels: what they were made from, so that they are made once."""
SYSTEMS = {
    ("Linux", "x86_64"): "manylinux_2_17_x86_64",
    ("Linux", "aarch64"): "manylinux_2_17_aarch64",
    ("Darwin", "arm64"): "macosx_11_0_arm64",
    ("Windows", "AMD64"): "win_amd64",
}
"""What a wheel's tag calls the system. Kernels call numba and Python alone, no library of the system's."""
FIXED_EPOCH = 315532800
"""1980 in seconds: the same sources give the same bytes."""


class BuildFailed(Exception):
    """One sentence about what went wrong."""


def main() -> int:
    """Build one; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="these alone (may be repeated)")
    parser.add_argument("--pure", action="store_true", help="without kernels, for all systems")
    options = parser.parse_args()
    try:
        if options.pure:
            wheel = build(options.output)
        else:
            pythons = options.python or [each for each in PYTHONS if find_python(each) is not None]
            make_kernels(pythons)
            wheel = build(options.output, kernels=KERNELS / "made", python=environment_of(pythons[-1]))
    except BuildFailed as error:
        print(f"build_wheel: {error}", file=sys.stderr)
        return 1
    print(f"{wheel}  {wheel.stat().st_size / 1e6:.1f} MB")
    return 0


def build(output: Path, *, kernels: Path | None = None, python: Path = Path(sys.executable)) -> Path:
    """The wheel, in ``output``, by the pip of ``python``; pure without ``kernels``, the folder of them.

    Raises BuildFailed.
    """
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(FIXED_EPOCH)}
    environment.pop("EX4D_KERNELS", None)
    if kernels is not None:
        environment |= {"EX4D_KERNELS": str(kernels), "EX4D_KERNELS_SYSTEM": system()}
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run([*command, f"--wheel-dir={folder}", str(ROOT)], "the backend's wheel", environment)
        (wheel,) = Path(folder).glob("ex4d-*.whl")
        return Path(shutil.copy2(wheel, output / wheel.name))


def system() -> str:
    """This system, as a wheel's tag has it. Raises BuildFailed for one that has no kernels."""
    found = SYSTEMS.get((platform.system(), platform.machine()))
    if found is None:
        raise BuildFailed(f"Kernels are not built for {platform.system()} {platform.machine()}; use --pure.")
    return found


def made_kernels() -> Path | None:
    """The folder of kernels if it is there and was made from these very sources."""
    folders = sorted((KERNELS / "made").glob("cp*"))
    now = sources()
    fresh = [f for f in folders if (f / SOURCES).is_file() and (f / SOURCES).read_text(encoding="utf-8") == now]
    return KERNELS / "made" if folders and fresh == folders else None


def make_kernels(pythons: Sequence[str]) -> None:
    """Compile for each of the Pythons, where that has not been done from these sources. Raises BuildFailed."""
    system()
    if not pythons:
        raise BuildFailed(f"None of the Pythons {', '.join(PYTHONS)} is here.")
    wanted = {f"cp{version.replace('.', '')}": version for version in pythons}
    now = sources()
    for folder in (KERNELS / "made").glob("cp*"):
        if folder.name not in wanted or not (folder / SOURCES).is_file():
            shutil.rmtree(folder)
    for name, version in wanted.items():
        made = KERNELS / "made" / name
        if made.is_dir() and (made / SOURCES).read_text(encoding="utf-8") == now:
            continue
        shutil.rmtree(made, ignore_errors=True)
        print(f"Compiling kernels for Python {version} (a minute) ...", flush=True)
        command = [str(environment_of(version)), str(ROOT / "scripts" / "compile_kernels.py"), str(KERNELS / "made")]
        run(command, f"the kernels for Python {version}")
        (made / SOURCES).write_text(now, encoding="utf-8")


def sources() -> str:
    """A hash of all that kernels can depend on: the library's files, the pins, and what compiles them."""
    digest = hashlib.sha256()
    files = [*(ROOT / "ex4d").rglob("*.py"), *(ROOT / "protocol" / "ex4d_ground").rglob("*.py")]
    files += [ROOT / "constraints.txt", ROOT / "scripts" / "compile_kernels.py"]
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest() + "\n"


def environment_of(version: str) -> Path:
    """The Python of an environment with what the library needs, pinned; made where it is not whole."""
    folder = KERNELS / f"environment-{version}"
    own, done = folder / ("Scripts" if os.name == "nt" else "bin") / "python", folder / ".done"
    pins = ROOT / "constraints.txt"
    if done.is_file() and done.stat().st_mtime >= pins.stat().st_mtime:
        return own
    python = find_python(version)
    if python is None:
        raise BuildFailed(f"Python {version} is not here.")
    print(f"Installing what the library needs for Python {version} (once) ...", flush=True)
    run([str(python), "-m", "venv", str(folder)], f"an environment of Python {version}")
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pip = [str(own), "-m", "pip", "--disable-pip-version-check", "-q", "install", "-c", str(pins)]
    run([*pip, *needed], f"what the library needs, for Python {version}")
    done.touch()
    return own


def run(command: list[str], what: str, environment: dict[str, str] | None = None) -> None:
    """Run a command quietly. Raises BuildFailed with its output."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise BuildFailed(f"{what} failed: {(done.stderr or done.stdout).strip()[-1500:]}")


if __name__ == "__main__":
    sys.exit(main())
