"""Blender in the test's own process, emptied before every test, and a small clip made of numbers."""

from __future__ import annotations

import math
import os
import shlex
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, ROOT / "protocol"):  # Blender's own environment has nothing of ours installed
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

bpy = pytest.importorskip("bpy", reason="needs the bpy wheel")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.blender)


@dataclass(frozen=True)
class SmallClip:
    """A disc that moves before a wavy wall, with its DW-mesh."""

    frames: np.ndarray  # [T, H, W, 3] uint8
    depth: np.ndarray  # [T, H, W] float32
    visible: np.ndarray  # [T, H, W] bool
    faces: np.ndarray  # [F, 3] int32
    focal_px: float

    @property
    def size(self) -> tuple[int, int, int]:
        """T, H, W."""
        return self.depth.shape

    def vertices(self, t: int) -> np.ndarray:  # [H * W, 3]
        """Pixel centres lifted to their depth."""
        _, height, width = self.size
        rows, columns = np.mgrid[:height, :width]
        z = self.depth[t]
        x = (columns + 0.5 - width / 2) / self.focal_px * z
        y = (rows + 0.5 - height / 2) / self.focal_px * z
        return np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)


def make_clip(frames: int = 5, height: int = 96, width: int = 128) -> SmallClip:
    rows, columns = np.mgrid[:height, :width]
    depth = np.empty((frames, height, width), np.float32)
    colour = np.zeros((frames, height, width, 3), np.uint8)
    visible = np.ones((frames, height, width), bool)
    for t in range(frames):
        depth[t] = 8 + 0.4 * np.sin(columns / 11) + 0.4 * np.cos(rows / 9)
        colour[t, ..., 0], colour[t, ..., 1] = columns * 255 // width, rows * 255 // height
        colour[t, ..., 2] = ((columns // 6 + rows // 6) % 2) * 200
        radius = np.hypot(columns - 40 - 4 * t, rows - 45)
        depth[t][radius < 20] = 3.5
        colour[t][radius < 20] = (250, 40, 200)
        visible[t][np.abs(radius - 20) < 2] = False
        edge = np.ones((height, width), bool)
        edge[1:-1, 1:-1] = False
        depth[t][edge] = 100
        visible[t][:2] = visible[t][-2:] = visible[t][:, :2] = visible[t][:, -2:] = False
    grid = np.arange(height * width).reshape(height, width)
    upper = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[:-1, 1:]], -1).reshape(-1, 3)
    lower = np.stack([grid[1:, 1:], grid[:-1, 1:], grid[1:, :-1]], -1).reshape(-1, 3)
    last = height * width - 1
    caps = np.array([[width - 1, 0, last], [last, 0, last - width + 1]])
    faces = np.concatenate([upper, lower, caps]).astype(np.int32)
    return SmallClip(colour, depth, visible, faces, focal_px=120.0)


def png_bytes(image: np.ndarray) -> bytes:  # [H, W] or [H, W, 3] uint8
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + image[0].size), np.uint8)  # each row starts with its filter type, 0
    rows[:, 1:] = image.reshape(height, -1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if image.ndim == 2 else 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def write_shot_files(clip: SmallClip, folder: Path) -> None:
    """What an import leaves on disk: mesh.pc2, colour/ and visible/."""
    from blender_addon import files, pc2

    frames, height, width = clip.size
    with pc2.Pc2Writer(folder / files.CACHE_FILE, points=height * width, samples=frames) as writer:
        for t in range(frames):
            writer.write(t, clip.vertices(t))
            name = files.frame_name(t)
            files.write_whole(folder / files.COLOUR_FOLDER / name, png_bytes(clip.frames[t]))
            mask = clip.visible[t].astype(np.uint8) * 255
            files.write_whole(folder / files.VISIBLE_FOLDER / name, png_bytes(mask))
        writer.close()


def write_source_files(clip: SmallClip, folder: Path) -> tuple[Path, Path]:
    """The clip as a user has it: a folder of PNG frames and an .npz of depth."""
    video, depth = folder / "clip", folder / "depth.npz"
    video.mkdir(parents=True)
    for t, frame in enumerate(clip.frames):
        (video / f"{t:03d}.png").write_bytes(png_bytes(frame))
    np.savez(depth, depth=clip.depth)
    return video, depth


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
    from blender_addon import files
    from blender_addon import shot as shots

    frames, height, width = small_clip.size
    folder = files.shot_folder(blender.data.filepath, "clip")
    write_shot_files(small_clip, folder)
    facts = shots.ClipFacts(
        name="clip",
        num_frames=frames,
        width=width,
        height=height,
        fps=24.0,
        intrinsics=(small_clip.focal_px, small_clip.focal_px, width / 2, height / 2),
        intrinsics_source="given",
        near_depth=3.5,
        clip_json="{}",
        video_path="",
        depth_path="",
    )
    made = shots.build(blender.context, facts, small_clip.faces, folder, shot_id="0" * 32, frame_start=1)
    shots.fit_scene(blender.context.scene, made)
    return made


@pytest.fixture
def moving_camera(blender: Any, shot: Any) -> Any:
    """Roll, shift, animated focal length and a vertical sensor fit, in a shot that is itself moved and scaled."""
    from blender_addon import shot as shots

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
        image = blender.data.images.load(scene.render.filepath, check_existing=False)
        image.colorspace_settings.name = "Non-Color"
        width, height = image.size
        values = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(values)
        blender.data.images.remove(image)
        return np.round(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)

    return run


@pytest.fixture(scope="session")
def backend_command() -> str:
    """The command that starts a real backend; Blender 5.0's environment is told by the environment variable."""
    return os.environ.get("EX4D_BACKEND_COMMAND") or shlex.join([sys.executable, "-m", "ex4d_backend"])


@pytest.fixture(scope="session")
def backend(backend_command, tmp_path_factory):
    """A real backend, shared by the tests, started and stopped by the add-on's own code."""
    from blender_addon.local_backend import LocalBackend

    running = LocalBackend(shlex.split(backend_command), base=tmp_path_factory.mktemp("backend"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def address(backend):
    steps = backend.wait_address(60)
    while True:
        try:
            next(steps)
            time.sleep(0.05)
        except StopIteration as end:
            return end.value


@pytest.fixture
def connected(blender, address):
    assert blender.ops.ex4d.connect(address=address) == {"FINISHED"}
    return blender


@pytest.fixture
def sources(small_clip, tmp_path):
    video, depth = write_source_files(small_clip, tmp_path / "in")
    return {"video_path": str(video), "depth_path": str(depth), "focal_px": small_clip.focal_px}
