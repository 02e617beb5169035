"""From a video alone to a shot: opened, dropped, from a strip, or the example; the backend comes by itself."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from depth_tool import write_depth_tool
from small_clip import png_bytes


@pytest.fixture
def first_minute(
    blender: Any, backend_command: str, project_python: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Blender as an artist finds it: nothing connected, a backend installed, and a small program that estimates."""
    monkeypatch.setenv("EX4D_BACKEND_COMMAND", backend_command)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EX4D_WEIGHTS", str(tmp_path / "weights"))
    config = write_depth_tool(tmp_path, project_python, ramp=0)
    monkeypatch.setenv("EX4D_DEPTH_CONFIG", str(config))
    blender.context.scene.ex4d.estimator = "ramp"
    return blender


@pytest.mark.any_blender
def test_a_video_alone_becomes_a_shot_and_the_backend_comes_by_itself(first_minute, sources, quiet):
    from blender_addon.work import session

    assert session.get().link is None
    assert first_minute.ops.ex4d.open_video(filepath=sources["video_path"]) == {"FINISHED"}
    shot = first_minute.context.scene.ex4d.shot
    assert (shot.ex4d.num_frames, shot.ex4d.width, shot.ex4d.height) == (5, 128, 96)
    assert shot.ex4d.depth_estimator and shot.ex4d.depth_path.endswith("depth.npy")
    assert session.get().backend is not None and session.get().connected


@pytest.mark.any_blender
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_dead_backend_is_started_again_by_whatever_needs_one(first_minute, sources):
    from blender_addon.work import session

    operators = first_minute.ops.ex4d
    operators.start_backend()
    dead = session.get().backend
    os.kill(dead.pid, signal.SIGKILL)
    dead._process.wait()
    assert operators.import_clip(**sources) == {"FINISHED"}
    alive = session.get().backend
    assert alive.pid != dead.pid
    os.kill(alive.pid, signal.SIGKILL)
    alive._process.wait()
    assert operators.restart_backend() == {"FINISHED"} and session.get().connected


@pytest.mark.any_blender
def test_where_starting_is_off_the_sentence_says_so(first_minute, sources):
    from blender_addon.work import connecting, preferences

    preferences.get(first_minute.context).auto_start = False
    expected = "No backend address is set and starting one is off; set either in the preferences"
    with pytest.raises(RuntimeError, match=expected):
        first_minute.ops.ex4d.open_video(filepath=sources["video_path"])
    assert "Starting a backend is off" in str(connecting.hindrance(first_minute.context))
    assert first_minute.context.scene.ex4d.shot is None


@pytest.mark.any_blender
def test_the_example_needs_no_model_and_comes_at_its_true_depth(first_minute, quiet):
    from blender_addon.panels.open_video import example_files

    assert first_minute.ops.ex4d.try_example() == {"FINISHED"}
    shot = first_minute.context.scene.ex4d.shot
    assert (shot.ex4d.num_frames, shot.ex4d.width, shot.ex4d.fps) == (49, 512, 15.0)
    depth = np.load(example_files()[1])["depth"][0]
    assert shot.ex4d.near_depth == pytest.approx(float(depth.min()), rel=0.05)
    assert shot.ex4d.depth_estimator == ""


@pytest.mark.parametrize("given", ["first", pytest.param("folder", marks=pytest.mark.slow)])
def test_a_sequence_that_is_no_png_is_converted_on_the_way(first_minute, tmp_path, given):
    folder = tmp_path / "plates"
    folder.mkdir()
    for number in range(1, 4):
        picture = folder / f"plate_{number:03d}.png"
        picture.write_bytes(png_bytes(np.full((96, 128, 3), 60 * number, np.uint8)))
        image = first_minute.data.images.load(str(picture))
        image.file_format = "TARGA"
        image.save(filepath=str(picture.with_suffix(".tga")))
        first_minute.data.images.remove(image)
        picture.unlink()
    path = folder if given == "folder" else folder / "plate_001.tga"
    assert first_minute.ops.ex4d.open_video(filepath=str(path)) == {"FINISHED"}
    assert first_minute.context.scene.ex4d.shot.ex4d.num_frames == 3


def test_the_active_strip_becomes_a_clip_as_it_plays(first_minute, sources):
    from blender_addon.work import compat

    scene = first_minute.context.scene
    editor = scene.sequence_editor_create()
    strips = compat.strips_of(editor)
    names = sorted(path.name for path in Path(sources["video_path"]).iterdir())
    strip = strips.new_image("Plate", str(Path(sources["video_path"]) / names[1]), 1, 1)
    for name in names[2:4]:
        strip.elements.append(name)
    assert not first_minute.ops.ex4d.open_strip.poll()
    editor.active_strip = strip
    assert first_minute.ops.ex4d.open_strip() == {"FINISHED"}
    assert scene.ex4d.shot.ex4d.num_frames == 3


@pytest.mark.any_blender
@pytest.mark.parametrize(
    ("path", "words"),
    [("nothing.mp4", "There is no video at"), ("empty", "holds no .png, "), ("", "No video is chosen")],
)
def test_what_is_no_video_is_one_sentence_and_starts_nothing(first_minute, tmp_path, path, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuntimeError, match=words):
        first_minute.ops.ex4d.open_video(filepath=str(tmp_path / path) if path else "")
    assert first_minute.context.scene.ex4d.shot is None


def test_it_is_in_the_import_menu_in_strips_menus_and_takes_drops_in_the_3d_view_alone(blender):
    from blender_addon.panels import open_video

    class Menu:
        def __init__(self) -> None:
            self.layout, self.drawn = self, []

        def operator(self, name: str, **_look: Any) -> None:
            self.drawn.append(name)

        def separator(self) -> None: ...

    for name, draw in open_video.entries.pairs:
        assert draw in getattr(blender.types, name).draw._draw_funcs
        menu = Menu()
        draw(menu, blender.context)
        assert menu.drawn in (["ex4d.open_video"], ["ex4d.open_strip"])
    if hasattr(blender.types, "FileHandler"):
        handler = blender.types.EX4D_FH_video
        kinds = [kind for kind in ("VIEW_3D", "SEQUENCE_EDITOR", "FILE_BROWSER") if drops(handler, kind)]
        assert kinds == ["VIEW_3D"] and ".mp4" in handler.bl_file_extensions.split(";")
        assert handler.bl_import_operator == "ex4d.open_video"


def drops(handler: Any, kind: str) -> bool:
    return handler.poll_drop(SimpleNamespace(area=SimpleNamespace(type=kind)))


def test_a_file_of_an_older_version_keeps_its_depth_file(first_minute, sources):
    props = first_minute.context.scene.ex4d
    props.video_path, props.depth_path = sources["video_path"], sources["depth_path"]
    assert first_minute.ops.ex4d.import_clip() == {"FINISHED"}
    assert props.shot.ex4d.depth_estimator == ""
    assert json.loads(props.shot.ex4d.clip_json)["depth"]["kind"] == "npz"
