"""A clip that was filmed with a zoom, in a shot that is retimed: live view, take, stereo, page and geometry agree."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from filmed_room import import_filmed, room
from geometry_parts import at, exported, lenses_of, pose_of, read_back, world_vertices
from live_parts import PATIENT_MS, guide_shown, guides_of, settle

FRAMES, WIDTH, HEIGHT = 6, 160, 120
TIMES = (5.0, 3.0, 3.0, 1.0, 0.0, 4.0)


@pytest.fixture
def zooming():
    return room(frames=FRAMES, width=WIDTH, height=HEIGHT, zoom=1.4)


@pytest.fixture
def shot(connected, zooming, tmp_path, monkeypatch):
    """Of the zooming room, ridden by its own camera, played at :data:`TIMES`."""
    from blender_addon.scene import keyframes

    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    import_filmed(connected, zooming, tmp_path)
    made = connected.context.scene.ex4d.shot
    made.ex4d.use_source_time = True
    for index, time in enumerate(TIMES):
        made.ex4d.source_time = time
        made.keyframe_insert("ex4d.source_time", frame=1 + index)
    keyframes.set_interpolation(made, "CONSTANT")
    connected.ops.ex4d.follow_source()
    return made


def shown(zooming) -> np.ndarray:  # [N, H, W, 3]
    """What the filming camera saw at the frames that are played."""
    return zooming.clip.frames[[int(time) for time in TIMES]]


def test_live_views_show_the_frames_own_lens(connected, shot, monkeypatch):
    from blender_addon.live import views as live
    from blender_addon.work import preferences

    preferences.get(connected.context).live_limit_ms = PATIENT_MS
    monkeypatch.setattr(live, "GIVE_UP_S", 100.0)
    connected.context.window_manager.ex4d_live.enabled = True
    for frame in (1, 4, 6):
        connected.context.scene.frame_set(frame)
        settle(live.current)
        np.testing.assert_array_equal(guide_shown(), guides_of(connected, frame - 1))


@pytest.mark.parametrize("stereo", [False, True])
def test_a_take_and_its_page_are_what_was_filmed(connected, shot, zooming, tmp_path, stereo):
    from blender_addon.takes import listing
    from ex4d_ground.files import frame_name
    from ex4d_ground.takes import read_take_info

    connected.context.scene.ex4d.stereo = stereo
    assert connected.ops.ex4d.generate(engine="preview") == {"FINISHED"}
    folder = listing.folder_of(connected.context.scene.ex4d.takes[0])
    info = read_take_info(folder)
    assert info.camera is not None
    np.testing.assert_allclose(info.camera.trajectory.source_time, TIMES)
    lenses = zooming.camera.intrinsics[[int(time) for time in TIMES]]
    np.testing.assert_allclose(info.camera.trajectory.intrinsics, lenses, rtol=1e-4)
    for index, wanted in enumerate(shown(zooming)):
        picture = read(connected, folder / frame_name(index))
        assert np.median(np.abs(picture.astype(int) - wanted)) <= 1
    connected.ops.ex4d.export_take(index=0, kind="WEB", directory=str(tmp_path / "out"))
    text = (tmp_path / "out" / "take_001_web" / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text)
    assert found is not None
    facts = json.loads(found[1])
    assert facts["replays"][0]["frames"] == list(TIMES)


def read(blender, path: Path) -> np.ndarray:
    from picture_files import read_rgba

    return read_rgba(blender, path)[..., :3]


@pytest.mark.parametrize("kind", ["ALEMBIC", "USD"])
def test_geometry_is_what_the_shot_shows(connected, shot, zooming, tmp_path, kind):
    used = {"SourceCamera": shot.ex4d.source_camera, "ShotCamera": shot.ex4d.camera}
    expected = {}
    for frame in (1, 3, 6):
        depsgraph = at(connected, frame)
        expected[frame] = world_vertices(shot.ex4d.mesh, depsgraph), lenses_of(connected, used, depsgraph)
    made = exported(connected, tmp_path / "out", kind)
    found = read_back(connected, made, kind)
    for frame, (vertices, lenses) in expected.items():
        depsgraph = at(connected, frame)
        np.testing.assert_allclose(world_vertices(found["Geometry"], depsgraph), vertices, rtol=0, atol=1e-4)
        for name, (pose, _) in lenses.items():
            np.testing.assert_allclose(pose_of(found[name], depsgraph), pose, rtol=0, atol=1e-5)
        picture = read(connected, made / "frames" / f"colour.{frame:04d}.png")
        np.testing.assert_array_equal(picture, shown(zooming)[frame - 1])
