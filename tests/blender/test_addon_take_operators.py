"""What can be done with takes and moves once they are there, without a backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_clip import png_bytes

from ex4d_ground.files import frame_name


@pytest.fixture
def two_takes(blender, shot, moving_camera):
    """Two takes of five frames; the second is shown."""
    from blender_addon.takes import listing as takes
    from blender_addon.work import files

    for number in (1, 2):
        folder = files.shot_folder(blender.data.filepath, "clip") / f"take_00{number}"
        for index in range(5):
            picture = np.full((96, 128, 3), 60 * number + 10 * index, np.uint8)
            files.write_whole(folder / frame_name(index), png_bytes(picture))
        document = {"engine": "preview", "seed": number, "settings": {"softness": 0.1}, "coverage": [0.5] * 5}
        files.write_whole(folder / "take.json", json.dumps(document).encode())
        takes.add(blender.context.scene, shot, moving_camera, folder)
    return blender.context.scene.ex4d.takes


def hidden(takes) -> list[bool]:
    return [take.plane.hide_render for take in takes]


def test_only_the_chosen_take_is_shown(blender, two_takes):
    blender.context.scene.frame_set(2)
    assert hidden(two_takes) == [True, False]
    blender.ops.ex4d.show_take(index=0)
    assert hidden(two_takes) == [False, True]
    blender.ops.ex4d.hide_takes()
    assert hidden(two_takes) == [True, True]


def test_background_and_sequencer_play_the_takes_frames(blender, two_takes, moving_camera):
    blender.ops.ex4d.take_to_background(index=0)
    blender.ops.ex4d.take_to_background(index=1)
    backgrounds = moving_camera.data.background_images
    assert len(backgrounds) == 1, "the second replaces the first"
    user = backgrounds[0].image_user
    assert (user.frame_start, user.frame_duration, user.frame_offset) == (1, 5, 0)
    blender.ops.ex4d.take_to_sequencer(index=0)
    from blender_addon.work import compat

    (strip,) = compat.strips_of(blender.context.scene.sequence_editor)
    assert [element.filename for element in strip.elements] == [f"frame_{i:04d}.png" for i in range(1, 6)]


def test_settings_are_restored_as_far_as_this_backend_has_them(blender, two_takes):
    from blender_addon.jobs import engine_settings
    from ex4d_ground.descriptions import EngineInfo, Setting

    setting = Setting(name="softness", kind="float", default=0.4, minimum=0.0, maximum=1.0)
    engine = EngineInfo(name="preview", title="Preview", settings=(setting,))
    engine_settings.sync((engine,))
    scene = blender.context.scene
    assert engine_settings.values(scene, "preview") == {"softness": pytest.approx(0.4)}
    blender.ops.ex4d.restore_take(index=1)
    assert (scene.ex4d.engine, scene.ex4d.seed) == ("preview", 2)
    assert engine_settings.values(scene, "preview") == {"softness": pytest.approx(0.1)}
    engine_settings.group(scene, "preview").softness = 7
    assert engine_settings.values(scene, "preview") == {"softness": 1.0}, "limits are the backend's"


def test_export_copies_the_takes_frames_without_a_backend(blender, two_takes, tmp_path):
    blender.ops.ex4d.export_take(index=0, kind="PNG", directory=str(tmp_path / "export"))
    assert len(list((tmp_path / "export" / "take_001_PNG").glob("frame_*.png"))) == 5


def test_removing_a_take_keeps_its_files_and_it_can_be_found_again(blender, two_takes, tmp_path):
    blender.ops.ex4d.remove_take(index=0)
    takes = blender.context.scene.ex4d.takes
    assert [take.name for take in takes] == ["take_002"]
    assert (tmp_path / "scene_ex4d" / "clip" / "take_001" / "frame_0001.png").exists()
    blender.ops.ex4d.find_takes()
    assert [take.name for take in takes] == ["take_002", "take_001"]
    assert takes[1].seed == 1


def test_export_of_lost_frames_is_one_sentence(blender, two_takes, tmp_path):
    for path in (tmp_path / "scene_ex4d" / "clip" / "take_001").iterdir():
        path.unlink()
    with pytest.raises(RuntimeError, match=r"not in .*take_001 any more; generate it again\."):
        blender.ops.ex4d.export_take(index=0, kind="mp4", directory=str(tmp_path))


@pytest.mark.parametrize("layout", ["OURS", "NERFSTUDIO"])
def test_a_camera_comes_back_from_its_file(blender, shot, moving_camera, tmp_path, layout):
    from blender_addon.scene import cameras as camera

    scene = blender.context.scene
    before = camera.sample(blender.context, shot, moving_camera)
    blender.ops.ex4d.export_camera(layout_name=layout, filepath=str(tmp_path / "move"))
    (path,) = [p for p in tmp_path.iterdir() if p.stem == "move"]
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = 1.0, 1.0
    blender.ops.ex4d.import_camera(filepath=str(path))
    after = camera.sample(blender.context, shot, shot.ex4d.camera)
    np.testing.assert_allclose(after.world_from_camera, before.world_from_camera, atol=1e-5)


def test_coverage_problems_are_runs_with_their_worst_frame(blender, shot):
    from blender_addon.guides import coverage

    values = np.array([0.9, 0.4, 0.2, 0.9, 0.3])
    coverage.store(shot, values)
    found = coverage.problems(coverage.of(shot), frame_start=1, minimum=0.5)
    assert [(p.first, p.last, p.worst) for p in found] == [(2, 3, 3), (5, 5, 5)]
    blender.context.scene.timeline_markers.new("mine", frame=1)
    blender.ops.ex4d.mark_problems()
    blender.ops.ex4d.mark_problems()
    assert sorted(m.name for m in blender.context.scene.timeline_markers) == ["EX-4D 20%", "EX-4D 30%", "mine"]
    blender.ops.ex4d.mark_problems(remove=True)
    assert [m.name for m in blender.context.scene.timeline_markers] == ["mine"]
    picture = coverage.graph(values, minimum=0.5)
    assert picture.shape == (coverage.GRAPH_SIZE, coverage.GRAPH_SIZE, 4) and picture.max() <= 1


def test_the_graph_has_another_shade_where_a_floor_or_a_wall_goes_on(blender, shot):
    from blender_addon.guides import coverage

    values, on_plane = np.array([0.9, 0.4, 0.2, 0.9, 0.3]), np.array([0.1, 0.5, 0.0, 0.0, 0.3])

    def blue() -> float:
        shown = coverage.graph(values, minimum=0.5, on_plane=coverage.current_on_plane(shot))
        return float(np.isclose(shown[..., :3], coverage.GOES_ON, atol=1e-6).all(axis=-1).mean())

    coverage.store(shot, values, on_plane)
    assert blue() == pytest.approx(on_plane.mean(), abs=0.02)
    coverage.put_partial(shot.ex4d.shot_id, values)
    assert blue() == 0, "nobody has reckoned the move that is under way"
    coverage.forget_partial()
    assert blue() > 0
    coverage.store(shot, values)
    assert blue() > 0, "the same move, seen by a live view"
    coverage.store(shot, values / 2)
    assert blue() == 0, "another move's is of no use"


@pytest.mark.parametrize(("centre", "depth"), [("NEAREST", 3.5), ("MEDIAN", None), ("CURSOR", 6.0 - 0.15)])
def test_a_move_turns_around_what_was_chosen(blender, shot, small_clip, centre, depth):
    from blender_addon.camera import move

    blender.context.scene.cursor.location = (0.3, 6.0, 0.2)
    expected = depth or float(np.median(small_clip.depth[0][1:-1, 1:-1])) - 0.15
    assert move.centre_depth(blender.context, shot, centre) == pytest.approx(expected, rel=1e-5)


def test_key_file_is_read_or_refused_in_one_sentence(tmp_path: Path):
    from blender_addon.work.errors import AddonError
    from ex4d_protocol.client_keys import read_client_keys

    path = tmp_path / "my.key"
    path.write_text(
        "".join(
            f"{name}_key = '{letter * 40}'\n"
            for name, letter in zip(("server", "public", "secret"), "abc", strict=False)
        )
    )
    found = read_client_keys(path, AddonError)
    assert found == {"server_key": b"a" * 40, "keypair": (b"b" * 40, b"c" * 40)}
    path.write_text("nothing")
    with pytest.raises(AddonError, match="is not a key file; make one"):
        read_client_keys(path, AddonError)
