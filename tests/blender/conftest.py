"""Blender in the test's own process, emptied before every test, and a small clip made of numbers."""

from __future__ import annotations

import logging
import math
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import console
import numpy as np
import pytest
from live_parts import filmed, live
from own_backend import address_of
from picture_files import read_rgba
from small_clip import ROOT, SmallClip, make_clip, png_bytes, write_source_files
from small_shot import build_shot, write_shot_files

for folder in (ROOT, ROOT / "protocol"):  # Blender's own environment has nothing of ours installed
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from under_way import two_frames  # noqa: E402

__all__ = ["filmed", "live", "two_frames", "write_shot_files"]
"""Fixtures of live mode and of takes under way; scripts that build a shot take its files from here."""

bpy = pytest.importorskip("bpy", reason="needs the bpy wheel")


def pytest_configure(config: pytest.Config) -> None:
    # Another Blender's environment starts with this folder and does not read the conftest above.
    import process_end  # its folder is on the path once pytest runs

    process_end.register(config, process_end, console)
    # What the add-on keeps for a user, above all takes under way: those of a run that was killed are not this one's.
    folder = tempfile.TemporaryDirectory(prefix="ex4d-blender-", ignore_cleanup_errors=True)
    os.environ["BLENDER_USER_DATAFILES"] = folder.name
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.blender)


@pytest.fixture(scope="session")
def small_clip() -> SmallClip:
    return make_clip()


@pytest.fixture
def blender(tmp_path: Path) -> Iterator[Any]:
    """``bpy`` with an empty saved scene and the add-on enabled; everything is closed again afterwards."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.preferences.addon_enable(module="blender_addon")
    yield bpy
    bpy.ops.preferences.addon_disable(module="blender_addon")
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def shot(blender: Any, small_clip: SmallClip) -> Any:
    """The small clip as a shot in the scene, without a backend."""
    return build_shot(blender, small_clip)


@pytest.fixture
def moving_camera(blender: Any, shot: Any) -> Any:
    """Roll, shift, animated focal length and a vertical sensor fit, in a shot that is itself moved and scaled."""
    from blender_addon.scene import shot as shots

    scene = blender.context.scene
    shot.location, shot.scale = (1, 2, 3), (2, 2, 2)
    shot.rotation_euler[2] = 0.3
    scene.render.resolution_x, scene.render.resolution_y = 150, 90
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 1.0, 1.25
    camera = shots.new_camera("Mover", shot)
    lens = camera.data
    lens.sensor_fit, lens.sensor_width, lens.sensor_height = "VERTICAL", 30, 20
    lens.clip_start, lens.clip_end = 0.01, 1000
    keys = ((1, 25.0, (0, 0, 0), (math.pi, 0, 0)), (5, 16.0, (1.2, -0.4, 1.0), (math.pi + 0.1, -0.25, 0.5)))
    for frame, focal, location, rotation in keys:
        lens.lens, lens.shift_x, lens.shift_y = focal, 0.03 * frame, -0.02 * frame
        camera.location, camera.rotation_euler = location, rotation
        for path in ("lens", "shift_x", "shift_y"):
            lens.keyframe_insert(path, frame=frame)
        for path in ("location", "rotation_euler"):
            camera.keyframe_insert(path, frame=frame)
    shot.ex4d.camera = scene.camera = camera
    return camera


@pytest.fixture
def render(blender: Any, tmp_path: Path) -> Any:
    """Render the current frame with Cycles, one sample at every pixel's centre; returns [H, W, 4] uint8."""

    def run() -> np.ndarray:
        scene = blender.context.scene
        scene.render.engine = "CYCLES"
        scene.render.film_transparent = True
        scene.render.image_settings.color_mode = "RGBA"
        scene.view_settings.view_transform = "Standard"
        cycles = scene.cycles
        cycles.device, cycles.samples, cycles.use_denoising = "CPU", 1, False
        cycles.pixel_filter_type, cycles.filter_width = "GAUSSIAN", 0.01
        scene.render.threads_mode, scene.render.threads = "FIXED", 2
        scene.render.filepath = str(tmp_path / "render.png")
        blender.ops.render.render(write_still=True)
        return read_rgba(blender, scene.render.filepath)

    return run


@pytest.fixture(scope="session")
def backend_command() -> str:
    """The command that starts a real backend.

    A Blender in an environment without the library is told by the environment variable whose interpreter has it.
    """
    return os.environ.get("EX4D_BACKEND_COMMAND") or shlex.join([sys.executable, "-m", "ex4d_backend"])


@pytest.fixture(scope="session")
def project_python(backend_command) -> list[str]:
    """The interpreter that has the library, as the start of a command."""
    *python, option, module = shlex.split(backend_command)
    assert (option, module) == ("-m", "ex4d_backend"), f"the backend's command is {backend_command}"
    return python


@pytest.fixture
def reference(project_python, tmp_path):
    """``reference(kind, *sources)``: what the library says of a test's data, see ``reference.py``."""

    def ask(kind: str, *sources: object) -> dict[str, np.ndarray]:
        target = tmp_path / f"reference_{kind}.npz"
        script = Path(__file__).with_name("reference.py")
        command = [*project_python, str(script), kind, *map(str, sources), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)
        assert done.returncode == 0, done.stderr
        with np.load(target) as found:
            return dict(found)

    return ask


@pytest.fixture
def guides_of(blender, small_clip, reference, tmp_path):
    """``guides_of(move)``: the library's guides of the shot, whose pictures get the library's visibility, too."""

    def ask(move: Any) -> dict[str, np.ndarray]:
        from blender_addon.work import files
        from ex4d_ground.files import frame_name

        asked = tmp_path / "asked.npz"
        np.savez(
            asked, frames=small_clip.frames, depth=small_clip.depth, focal_px=small_clip.focal_px,
            world_from_camera=move.world_from_camera, intrinsics=move.intrinsics, source_time=move.source_time,
            width=move.width, height=move.height,
        )  # fmt: skip
        guides = reference("guides", asked)
        folder = files.shot_folder(blender.data.filepath, "clip")
        for t, visible in enumerate(guides["visible"]):  # in place of the fixture's simple one
            picture = png_bytes(visible.astype(np.uint8) * 255)
            files.write_whole(folder / files.VISIBLE_FOLDER / frame_name(t), picture)
        return guides

    return ask


@pytest.fixture(scope="session")
def backend(backend_command, tmp_path_factory):
    """A real backend, shared by the tests, started and stopped by the add-on's own code."""
    from blender_addon.work.local_backend import LocalBackend

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EX4D_BACKEND_WORKER_SILENT_S", "600")  # a machine so busy is no worker that hangs
        running = LocalBackend(shlex.split(backend_command), base=tmp_path_factory.mktemp("backend"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def address(backend):
    return address_of(backend)


@pytest.fixture
def connected(blender, address):
    assert blender.ops.ex4d.connect(address=address) == {"FINISHED"}
    return blender


@pytest.fixture
def sources(small_clip, tmp_path):
    video, depth = write_source_files(small_clip, tmp_path / "in")
    return {"video_path": str(video), "depth_path": str(depth), "focal_px": small_clip.focal_px}


@pytest.fixture
def ready(blender, address, sources, tmp_path, monkeypatch):
    """A connected Blender with a shot, a camera move, and everything saved; its journal is the test's own."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    operators = blender.ops.ex4d
    operators.connect(address=address)
    operators.import_clip(**sources)
    operators.add_camera_move(preset="30")
    blender.ops.wm.save_mainfile()
    return blender


@pytest.fixture
def quiet(caplog, capfd):
    """Fails the test if the add-on logged an exception or Python printed one."""
    yield
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info], caplog.text
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err, out + err


@pytest.fixture
def online(blender, monkeypatch):
    """A connected session without a backend behind it; yields the session."""
    from drawn_panels import CAPABILITIES

    from blender_addon.jobs import engine_settings, estimators
    from blender_addon.work import session

    kind = session.AddonSession
    monkeypatch.setattr(kind, "connected", property(lambda _self: True))
    monkeypatch.setattr(kind, "address", property(lambda _self: "tcp://127.0.0.1:7764"))
    monkeypatch.setattr(kind, "capabilities", property(lambda _self: CAPABILITIES))
    engine_settings.sync(CAPABILITIES.engines)
    engine_settings.sync(map(estimators.as_engine, CAPABILITIES.estimators))
    return session.get()


@pytest.fixture(scope="session")
def build_addon():
    """The build script as a module; it needs nothing but pip and Blender's own tool."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import build_addon
    finally:
        sys.path.pop(0)
    return build_addon
