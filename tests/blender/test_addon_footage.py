"""Footage of a large clip is played from the video itself where Blender shows what the backend reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_clip import ROOT

WIDTH, HEIGHT, FRAMES = 720, 96, 6
"""Just above the side at which footage is spared; low, so that it is quick."""

KINDS = {
    "bt709": ({"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}, "yuv420p", True),
    "bt601": ({"colorspace": 6, "color_range": 1, "color_primaries": 1, "color_trc": 1}, "yuv420p", True),
    "full range": ({"colorspace": 1, "color_range": 2, "color_primaries": 1, "color_trc": 1}, "yuvj420p", True),
    "ten bits": ({"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}, "yuv420p10le", False),
    "HLG": ({"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 18}, "yuv420p10le", False),
}
"""Tags, pixel format, whether Blender plays the video itself."""

WRITE = """
import sys, json, av, numpy as np
path, tags, pixels, width, height, count = json.loads(sys.argv[1])
rows, columns = np.mgrid[:height, :width]
with av.open(path, "w") as container:
    stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
    stream.width, stream.height, stream.pix_fmt = width, height, pixels
    for name, value in tags.items():
        setattr(stream.codec_context, name, value)
    for t in range(count):
        frame = np.stack([columns * 255 // width, rows * 255 // height, np.full_like(rows, 30 + 30 * t)], -1)
        picture = av.VideoFrame.from_ndarray(frame.astype(np.uint8), format="rgb24")
        for packet in stream.encode(picture):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)
"""


@pytest.fixture
def video(project_python, tmp_path):
    """Writes a video of a kind, and its depth."""
    import json

    def write(tags: dict[str, int], pixels: str) -> dict[str, str]:
        path, depth = tmp_path / "clip.mp4", tmp_path / "depth.npy"
        told = json.dumps([str(path), tags, pixels, WIDTH, HEIGHT, FRAMES])
        done = subprocess.run([*project_python, "-c", WRITE, told], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        np.save(depth, np.full((FRAMES, HEIGHT, WIDTH), 5, np.float32))
        return {"video_path": str(path), "depth_path": str(depth)}

    return write


def footage_of(blender):
    node = next(n for n in blender.data.materials["clip Footage"].node_tree.nodes if n.type == "TEX_IMAGE")
    return node.image


def shot_folder(blender) -> Path:
    return Path(blender.data.filepath).parent / "scene_ex4d" / "clip"


def pixels(image) -> np.ndarray:  # [H, W, 3] 0..255
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(height, width, 4)[::-1, :, :3] * 255


@pytest.mark.parametrize("kind", KINDS)
def test_the_video_is_played_where_blender_shows_what_the_backend_reads(connected, video, reference, kind):
    tags, form, plays = KINDS[kind]
    where = video(tags, form)
    connected.ops.ex4d.import_clip(**where)
    image, folder = footage_of(connected), shot_folder(connected)
    assert (image.source == "MOVIE") == plays
    assert not (folder / "colour").exists() if plays else len(list((folder / "colour").glob("*.jpg"))) == FRAMES
    if not plays:
        image = connected.data.images.load(str(folder / "colour" / "frame_0001.jpg"))
    read = reference("read", where["video_path"])["first"]
    off = np.abs(pixels(image) - read)
    assert off.max() <= 4 if plays else off.mean() < 2
    kept = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    mesh = 12 * 640 * 85 * FRAMES
    assert mesh < kept < 1.2 * mesh


def test_every_frame_of_the_video_appears_on_its_own_and_follows_a_retime(connected, video, render):
    connected.ops.ex4d.import_clip(**video(*KINDS["bt709"][:2]))
    scene, shot = connected.context.scene, connected.context.scene.ex4d.shot
    scene.render.resolution_percentage = 25

    def blue(frame: int) -> float:
        scene.frame_set(frame)
        picture = render()
        return float(np.median(picture[8:16, 40:140, 2]))

    plain = [blue(frame) for frame in range(1, FRAMES + 1)]
    np.testing.assert_allclose(plain, 30 + 30 * np.arange(FRAMES), atol=10)
    shot.ex4d.use_source_time = True
    shot.ex4d.source_time = 4.0
    assert [blue(frame) for frame in (1, 3)] == [plain[4], plain[4]]


def test_the_footage_is_no_choice_of_the_import_and_can_be_compared(connected, video):
    from blender_addon.jobs import footage

    connected.ops.ex4d.import_clip(**video(*KINDS["bt709"][:2]))
    assert footage.everything() == []
    connected.ops.ex4d.add_camera_move(preset="30")
    connected.ops.ex4d.generate(engine="preview")
    assert connected.ops.ex4d.compare_takes() == {"FINISHED"}
