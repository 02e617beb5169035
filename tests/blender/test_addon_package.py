"""The built zip: its manifest is valid, its wheels fit, and it installs, works and goes, in Blender itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from small_clip import ROOT, write_source_files

PYTHON50 = Path(os.environ.get("EX4D_BPY50_PYTHON", ROOT / ".venv-bpy50" / "bin" / "python"))
PLATFORM_WORDS = {
    "linux-x64": r"manylinux\S*x86_64",
    "windows-x64": "win_amd64",
    "macos-arm64": r"macosx\S*(arm64|universal2)",
    "macos-x64": r"macosx\S*(x86_64|universal2)",
}


@pytest.fixture(scope="session")
def build_addon():
    """The build script as a module; skipped in an environment without its tools (Blender 5.0's)."""
    pytest.importorskip("ex4d", reason="the zips are built in the main environment only")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import build_addon
    finally:
        sys.path.pop(0)
    return build_addon


@pytest.fixture(scope="session")
def linux_zip(build_addon, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("dist")
    return build_addon.build("linux-x64", build_addon.PYTHONS[0], output=output, wheels=ROOT / "build" / "wheels")


def manifest_of(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_zip_holds_its_wheels_and_nothing_of_the_tests(linux_zip):
    manifest = manifest_of(linux_zip)
    with zipfile.ZipFile(linux_zip) as archive:
        names = archive.namelist()
    wheels = sorted(name for name in names if name.endswith(".whl"))
    assert sorted(name.removeprefix("./") for name in manifest["wheels"]) == wheels
    assert {re.split("-", Path(name).name)[0] for name in wheels} == {"ex4d_protocol", "msgspec", "pyzmq"}
    assert not [name for name in names if "__pycache__" in name or "numpy" in name]
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "panels/__init__.py"} <= set(names)


def test_same_sources_give_the_same_protocol_wheel(build_addon, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (build_addon.protocol_wheel(tmp_path / name, "1.2.3") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_every_zips_wheels_fit_its_platform_and_python(build_addon, tmp_path):
    for platform, words in PLATFORM_WORDS.items():
        for python in build_addon.PYTHONS:
            path = build_addon.build(platform, python, output=tmp_path, wheels=ROOT / "build" / "wheels")
            manifest = manifest_of(path)
            assert manifest["platforms"] == [platform]
            assert manifest["blender_version_min"] == python.blender_min
            assert manifest.get("blender_version_max", "") == python.blender_max
            for wheel in manifest["wheels"]:
                pure = wheel.endswith("-py3-none-any.whl")
                assert pure or re.search(words, wheel), f"{wheel} is not for {platform}"
            tag = "cp" + python.version.replace(".", "")
            assert [w for w in manifest["wheels"] if f"msgspec-0.22.0-{tag}-{tag}-" in w], "pins Blender to one Python"
    build_addon.blender_ext("server-generate", f"--repo-dir={tmp_path}")
    assert (tmp_path / "index.json").read_text().count("archive_url") == len(PLATFORM_WORDS) * len(build_addon.PYTHONS)


def install_twice(python: Path, linux_zip: Path, small_clip, tmp_path: Path, address: str) -> None:
    video, depth = write_source_files(small_clip, tmp_path / "in")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH", "COV"))}
    for name in ("CONFIG", "SCRIPTS", "EXTENSIONS", "DATAFILES"):
        folder = tmp_path / "user" / name.lower()
        folder.mkdir(parents=True)
        environment[f"BLENDER_USER_{name}"] = str(folder)
    environment["EX4D_BACKEND_DATA_DIR"] = str(tmp_path / "data")
    arguments = (linux_zip, video, depth, small_clip.focal_px, tmp_path, address)
    command = [str(python), str(Path(__file__).with_name("install_zip.py")), *(str(a) for a in arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    said = f"{done.stdout[-2500:]}\n{done.stderr[-2500:]}"
    assert done.returncode == 0 and "INSTALLED TWICE" in done.stdout, said
    assert "Traceback" not in said
    extensions = tmp_path / "user" / "extensions"
    assert not (extensions / "user_default" / "ex4d").exists(), "its folder stayed behind"
    left = [p for p in extensions.rglob("*") if p.is_file() and re.search("zmq|msgspec|ex4d", p.name)]
    assert not left, "wheels stayed behind"


def test_installs_works_and_goes_twice_in_a_row(linux_zip, small_clip, tmp_path, address):
    install_twice(Path(sys.executable), linux_zip, small_clip, tmp_path, address)


@pytest.mark.skipif(not PYTHON50.exists(), reason=f"no Blender 5.0 at {PYTHON50}; 'make test' makes it")
def test_the_same_in_blender_5_0(linux_zip, small_clip, tmp_path, address):
    install_twice(PYTHON50, linux_zip, small_clip, tmp_path, address)
