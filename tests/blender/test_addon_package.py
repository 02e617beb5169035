"""The built zip: its manifest is valid, its wheels fit, and it installs, works and goes, in Blender itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import bpy
import pytest
from small_clip import ROOT, write_source_files

import blender_addon

PLATFORM_WORDS = {
    "linux-x64": r"manylinux\S*x86_64",
    "windows-x64": "win_amd64",
    "windows-arm64": "win_arm64",
    "macos-arm64": r"macosx\S*(arm64|universal2)",
    "macos-x64": r"macosx\S*(x86_64|universal2)",
}
ZIPS = {  # platform and Python -> the first Blender, and the first one that it is not for any more
    **{(platform, "3.11"): ("4.2.0", "5.1.0") for platform in PLATFORM_WORDS},
    **{(p, python): ("5.1.0", "") for p in PLATFORM_WORDS for python in ("3.13", "3.14") if p != "macos-x64"},
    ("macos-x64", "3.11"): ("4.2.0", "5.0.0"),
}
WHEELS = ROOT / "build" / "wheels"


@pytest.fixture(scope="session")
def linux_zip(build_addon, tmp_path_factory) -> Path:
    """Built and validated by this Blender's tool, for its Python."""
    own = "{}.{}".format(*sys.version_info[:2])
    python = next(each for each in build_addon.PYTHONS if each.version == own)
    return build_addon.build("linux-x64", python, output=tmp_path_factory.mktemp("dist"), wheels=WHEELS)


def manifest_of(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return tomllib.loads(archive.read("blender_manifest.toml").decode())


def test_zip_holds_its_wheels_and_nothing_of_the_tests(linux_zip):
    manifest = manifest_of(linux_zip)
    with zipfile.ZipFile(linux_zip) as archive:
        names = archive.namelist()
    wheels = sorted(name for name in names if name.endswith(".whl") and not name.startswith("backend/"))
    assert sorted(name.removeprefix("./") for name in manifest["wheels"]) == wheels
    assert {re.split("-", Path(name).name)[0] for name in wheels} == {"ex4d_protocol", "msgspec", "pyzmq"}
    assert not [name for name in names if "__pycache__" in name or "numpy" in name]
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "panels/__init__.py"} <= set(names)
    assert {f"example/{name}" for name in ("clip.mp4", "depth.npz", "LICENSE")} <= set(names), "Try the Example"
    version = manifest["version"]
    carried = [name for name in names if name.startswith("backend/")]
    assert len(carried) == 1, "what the install command installs"
    assert re.fullmatch(rf"backend/ex4d-{version}-py3-none-(any|manylinux\w+)\.whl", carried[0])


def test_manifest_and_add_on_say_the_same_of_themselves():
    manifest = tomllib.loads((ROOT / "blender_addon" / "blender_manifest.toml").read_text(encoding="utf-8"))
    info = blender_addon.bl_info
    for key, said in (("version", "version"), ("blender", "blender_version_min")):
        assert ".".join(map(str, info[key])) == manifest[said]
    assert (info["name"], info["description"], info["author"]) == tuple(
        manifest[key] for key in ("name", "tagline", "maintainer")
    )
    assert manifest["website"].startswith("https://")
    assert info["blender"] <= bpy.app.version


@pytest.mark.any_blender
def test_same_sources_give_the_same_protocol_wheel(build_addon, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (build_addon.protocol_wheel(tmp_path / name, "1.2.3") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="session")
def all_zips(build_addon, tmp_path_factory) -> Path:
    """The folder of every zip and of their index, as ``make addon`` makes it."""
    output = tmp_path_factory.mktemp("all")
    for target in build_addon.targets(build_addon.parse([])):
        build_addon.build(*target, output=output, wheels=WHEELS)
    build_addon.blender_ext("server-generate", f"--repo-dir={output}")
    return output


@pytest.mark.slow
def test_every_zips_wheels_fit_its_platform_python_and_blender(all_zips):
    found = {}
    for path in all_zips.glob("*.zip"):
        manifest = manifest_of(path)
        (platform,) = manifest["platforms"]
        python = re.search(r"-py([\d.]+)\.zip$", path.name)[1]
        found[platform, python] = (manifest["blender_version_min"], manifest.get("blender_version_max", ""))
        for wheel in manifest["wheels"]:
            pure = wheel.endswith("-py3-none-any.whl")
            assert pure or re.search(PLATFORM_WORDS[platform], wheel), f"{wheel} is not for {platform}"
        tag = "cp" + python.replace(".", "")
        assert [w for w in manifest["wheels"] if re.search(f"msgspec-[^-]+-{tag}-{tag}-", w)], "pins it to one Python"
    assert found == ZIPS


@pytest.mark.slow
def test_the_index_offers_each_python_its_own_zip(all_zips):
    index = json.loads((all_zips / "index.json").read_text(encoding="utf-8"))
    offered = {(tuple(each["platforms"]), tuple(each["python_versions"])) for each in index["data"]}
    assert offered == {((platform,), (python,)) for platform, python in ZIPS}


def install_twice(linux_zip: Path, small_clip, tmp_path: Path, address: str) -> None:
    video, depth = write_source_files(small_clip, tmp_path / "in")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHONPATH", "COV"))}
    for name in ("CONFIG", "SCRIPTS", "EXTENSIONS", "DATAFILES"):
        folder = tmp_path / "user" / name.lower()
        folder.mkdir(parents=True)
        environment[f"BLENDER_USER_{name}"] = str(folder)
    environment["EX4D_BACKEND_DATA_DIR"] = str(tmp_path / "data")
    arguments = (linux_zip, video, depth, small_clip.focal_px, tmp_path, address)
    command = [sys.executable, str(Path(__file__).with_name("install_zip.py")), *(str(a) for a in arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    said = f"{done.stdout[-2500:]}\n{done.stderr[-2500:]}"
    assert done.returncode == 0 and "INSTALLED TWICE" in done.stdout, said
    assert "Traceback" not in said
    extensions = tmp_path / "user" / "extensions"
    assert not (extensions / "user_default" / "ex4d").exists(), "its folder stayed behind"
    left = [p for p in extensions.rglob("*") if p.is_file() and re.search("zmq|msgspec|ex4d", p.name)]
    assert not left, "wheels stayed behind"


def test_installs_works_and_goes_twice_in_a_row(linux_zip, small_clip, tmp_path, address):
    install_twice(linux_zip, small_clip, tmp_path, address)


@pytest.mark.any_blender
def test_same_sources_give_the_same_backend_wheel(build_addon, tmp_path):
    first, second = (build_addon.backend_wheel(tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        folders = {name.split("/")[0] for name in archive.namelist()}
        lines = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    assert {"ex4d", "ex4d_backend", "ex4d_protocol", "ex4d_ground"} <= folders and "blender_addon" not in folders
    assert "ex4d-backend = ex4d_backend.__main__:main" in lines, "what the add-on looks for"
