"""Build, validate and index the extension: one zip per platform and Python, into dist/.

    python scripts/build_addon.py [--output DIR] [--wheels DIR] [--only linux-x64 --only-python 3.11]

Each zip holds the add-on, the protocol as a pure wheel, and the pyzmq and msgspec wheels of its platform; numpy is
Blender's own. It carries the backend's wheel besides, for the command that installs it on an artist's
machine; with compiled kernels for this machine's platform, if ``make wheel`` has made them.
Blender 4.2 to 5.0 run Python 3.11 and later ones 3.13, some distributions build theirs with 3.14, and
Blender takes a zip for exactly one of them (it reads the wheels' names), so there is one zip for each. The manifest's
builder and validator is Blender's own command line, ``blender_ext.py`` inside the ``bpy`` wheel; nothing else of the
project needs to be installed. Wheels are fetched by name once and kept in build/wheels.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import re
import shutil
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from platform import machine

import build_wheel
from build_wheel import BuildFailed, run

ROOT = Path(__file__).resolve().parents[1]
ADDON, PROTOCOL = ROOT / "blender_addon", ROOT / "protocol"
DEPENDENCIES = ("pyzmq", "msgspec")
EXAMPLE = ("clip.mp4", "depth.npz", "LICENSE")
"""Of examples/: what Try the Example shows, 1.3 MB."""
FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Zip entries carry this time, so that the same sources give the same bytes."""


@dataclass(frozen=True)
class Python:
    """A Python that Blender runs on, and the Blender versions that do."""

    version: str
    blender_min: str
    blender_max: str = ""
    """First version that no longer does; "" if the newest does."""


PYTHONS = (Python("3.11", "4.2.0", "5.1.0"), Python("3.13", "5.1.0"), Python("3.14", "5.1.0"))
PLATFORMS: dict[str, tuple[str, ...]] = {
    "linux-x64": ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_26_x86_64", "manylinux_2_28_x86_64"),
    "windows-x64": ("win_amd64",),
    "windows-arm64": ("win_arm64",),
    "macos-arm64": ("macosx_11_0_arm64", "macosx_10_15_universal2", "macosx_10_9_universal2"),
    "macos-x64": ("macosx_10_15_x86_64", "macosx_10_9_x86_64", "macosx_10_15_universal2", "macosx_10_9_universal2"),
}
"""Blender's platform names and the wheel platforms that run there, preferred first."""
GONE = {"macos-x64": "5.0.0"}
"""First Blender that there is not for a platform any more."""


def main() -> int:
    """Build everything asked for; returns the exit code."""
    options = parse()
    output, wheels = options.output.absolute(), options.wheels.absolute()
    output.mkdir(parents=True, exist_ok=True)
    try:
        for target in targets(options):
            zip_path = build(*target, output=output, wheels=wheels)
            print(f"{zip_path.relative_to(output.parent)}  {zip_path.stat().st_size / 1e6:.1f} MB")
        blender_ext("server-generate", f"--repo-dir={output}")
    except BuildFailed as error:
        print(f"build_addon: {error}", file=sys.stderr)
        return 1
    print(f"Extension repository: {output / 'index.json'}")
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "wheels", help="where fetched wheels are kept")
    parser.add_argument("--only", action="append", choices=tuple(PLATFORMS), help="these platforms only")
    parser.add_argument("--only-python", action="append", choices=[p.version for p in PYTHONS])
    return parser.parse_args(arguments)


def targets(options: argparse.Namespace) -> Iterator[tuple[str, Python]]:
    """Every platform and Python asked for."""
    for platform in options.only or PLATFORMS:
        for python in PYTHONS:
            if not options.only_python or python.version in options.only_python:
                there = for_platform(platform, python)
                if there is not None:
                    yield platform, there


def for_platform(platform: str, python: Python) -> Python | None:
    """The Blender versions with that Python on a platform; None if there is none."""
    end = GONE.get(platform)
    if end is None or (python.blender_max and numbers(python.blender_max) <= numbers(end)):
        return python
    return replace(python, blender_max=end) if numbers(python.blender_min) < numbers(end) else None


def numbers(version: str) -> tuple[int, ...]:
    """A version to compare."""
    return tuple(int(part) for part in version.split("."))


def build(platform: str, python: Python, *, output: Path, wheels: Path) -> Path:
    """Stage the add-on with its wheels, have Blender's tool zip it, and validate the zip."""
    stage = output / f".stage-{platform}-py{python.version}"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        shutil.copytree(ADDON, stage, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        (stage / "example").mkdir()
        for name in EXAMPLE:
            shutil.copy2(ROOT / "examples" / name, stage / "example" / name)
        backend_wheel(stage / "backend", platform)
        (stage / "wheels").mkdir()
        names = []
        for wheel in fetch_wheels(platform, python, wheels):
            shutil.copy2(wheel, stage / "wheels" / wheel.name)
            names.append(wheel.name)
        manifest = (ADDON / "blender_manifest.toml").read_text(encoding="utf-8")
        names.append(protocol_wheel(stage / "wheels", version_of(manifest)).name)
        (stage / "blender_manifest.toml").write_text(fill_manifest(manifest, platform, python, names), encoding="utf-8")
        target = output / f"ex4d-{version_of(manifest)}-{platform}-py{python.version}.zip"
        blender_ext("build", f"--source-dir={stage}", f"--output-filepath={target}")
        blender_ext("validate", str(target))
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return target


def version_of(manifest: str) -> str:
    """The version a manifest states."""
    return str(tomllib.loads(manifest)["version"])


def fill_manifest(manifest: str, platform: str, python: Python, wheels: list[str]) -> str:
    """The manifest with platform, wheels and Blender versions of one zip; its tables stay at the end."""
    head, separator, tables = manifest.partition("\n[")
    head = re.sub(r"(?m)^blender_version_min = .*$", f'blender_version_min = "{python.blender_min}"', head)
    lines = [head.rstrip(), f'platforms = ["{platform}"]']
    if python.blender_max:
        lines.append(f'blender_version_max = "{python.blender_max}"')
    lines += ["wheels = [", *(f'  "./wheels/{name}",' for name in sorted(wheels)), "]", ""]
    return "\n".join(lines) + separator + tables


def fetch_wheels(platform: str, python: Python, folder: Path) -> list[Path]:
    """The platform's wheels of the pinned dependencies, from ``folder`` or the package index. Raises BuildFailed."""
    target = folder / f"{platform}-py{python.version}"
    pins = [f"{name}=={pinned(name)}" for name in DEPENDENCIES]
    wanted = [pin.replace("==", "-") + "-" for pin in pins]
    if not all(any(p.name.startswith(start) for p in target.glob("*.whl")) for start in wanted):
        shutil.rmtree(target, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python.version}"]
        command += [f"--platform={tag}" for tag in PLATFORMS[platform]]
        run([*command, f"--dest={target}", *pins], f"the wheels for {platform}, Python {python.version}")
    return sorted(p for p in target.glob("*.whl") if any(p.name.startswith(start) for start in wanted))


def pinned(name: str) -> str:
    """The version constraints.txt pins. Raises BuildFailed."""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}=="):
            return line.split("==")[1].split()[0]
    raise BuildFailed(f"constraints.txt pins no {name}; add the version to bundle.")


def protocol_wheel(folder: Path, version: str) -> Path:
    """Both packages of protocol/ as one pure wheel in ``folder`` (PEP 427): sources, METADATA, WHEEL and RECORD."""
    info = f"ex4d_protocol-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {name}\n" for name in ("numpy", *DEPENDENCIES))
    files = {p.relative_to(PROTOCOL).as_posix(): p.read_bytes() for p in sorted(PROTOCOL.glob("ex4d_*/**/*.py"))}
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: ex4d-protocol\nVersion: {version}\nLicense: Apache-2.0\n{requires}"
    ).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: ex4d\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"ex4d_protocol-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), data, zipfile.ZIP_DEFLATED)
    return path


def backend_wheel(folder: Path, platform: str = "") -> Path:
    """Library, backend and protocol as one wheel in ``folder``: what the add-on's install command installs.

    It carries compiled kernels where ``build_wheel.py`` has made some from these sources for that platform, which is
    this machine's; else it is pure. It is no wheel of the extension: Blender never installs it into itself. Raises
    BuildFailed.
    """
    return build_wheel.build(folder, kernels=build_wheel.made_kernels() if platform == own_platform() else None)


def own_platform() -> str:
    """This machine as Blender calls it."""
    name = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    return f"{name}-{'arm64' if machine() in ('arm64', 'aarch64', 'ARM64') else 'x64'}"


def digest(data: bytes) -> str:
    """A RECORD's form of a SHA-256."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def blender_ext(*arguments: str) -> None:
    """Run Blender's extension command line, found inside the ``bpy`` package. Raises BuildFailed."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or spec.origin is None:
        raise BuildFailed("Blender's bpy module is not installed; 'make addon' makes an environment that has it.")
    found = sorted(Path(spec.origin).parent.glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    if not found:
        raise BuildFailed(f"The bpy module at {spec.origin} has no extension tool; use bpy 4.2 or later.")
    run([sys.executable, str(found[-1]), *arguments], f"'blender_ext {arguments[0]}'")


if __name__ == "__main__":
    sys.exit(main())
