"""Camera moves to and from other programs: COLMAP, FBX, Alembic; and a preset's strength, easing and centre."""

from __future__ import annotations

import numpy as np
import pytest
from camera_cases import CASES, HEIGHT, WIDTH, poses


def sampled(blender, shot):
    from blender_addon.scene import cameras as camera

    return camera.sample(blender.context, shot, shot.ex4d.camera)


def test_a_colmap_model_comes_back(blender, shot, moving_camera, tmp_path):
    before = sampled(blender, shot)
    blender.ops.ex4d.export_camera(layout_name="COLMAP", filepath=str(tmp_path / "model"))
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["cameras.txt", "images.txt", "points3D.txt"]
    for path in (tmp_path / "model", tmp_path / "model" / "images.txt"):
        shot.ex4d.camera = None
        blender.ops.ex4d.import_camera(filepath=str(path))
        after = sampled(blender, shot)
        np.testing.assert_allclose(after.world_from_camera, before.world_from_camera, atol=1e-5)
        np.testing.assert_allclose(after.intrinsics, before.intrinsics, rtol=1e-4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_blender_reads_every_camera_file_as_the_library_does(blender, shot, tmp_path, case):
    render = blender.context.scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.pixel_aspect_x, render.pixel_aspect_y = aspect_of(case)
    path = case.make(tmp_path)
    if case.lens is None:
        keys = len(blender.data.actions)
        with pytest.raises(RuntimeError, match=case.refused):
            blender.ops.ex4d.import_camera(filepath=str(path))
        assert len(blender.data.actions) == keys and shot.ex4d.camera is None
        return
    shot.ex4d.width, shot.ex4d.height = WIDTH, HEIGHT  # for the one layout that holds no size
    assert blender.ops.ex4d.import_camera(filepath=str(path)) == {"FINISHED"}
    move = sampled(blender, shot)
    np.testing.assert_allclose(move.world_from_camera, poses(), atol=1e-5)
    np.testing.assert_allclose(move.intrinsics[0], case.lens, rtol=1e-4)
    if case.last_lens is not None:
        np.testing.assert_allclose(move.intrinsics[-1], case.last_lens, rtol=1e-4)


def aspect_of(case) -> tuple[float, float]:
    """Blender keeps one focal length and the shape of a pixel, which is the picture's and not the camera's."""
    fx, fy = (case.lens or (1.0, 1.0))[:2]
    return (1.0, fx / fy) if fx >= fy else (fy / fx, 1.0)


@pytest.mark.parametrize("layout", ["FBX", "ALEMBIC"])
@pytest.mark.feature("exports")
def test_other_programs_get_an_animated_camera_in_world_space(blender, shot, moving_camera, tmp_path, layout):
    scene = blender.context.scene
    counts = [len(d) for d in (blender.data.scenes, blender.data.objects, blender.data.cameras, blender.data.actions)]
    expected = {}
    for frame in (1, 3, 5):
        scene.frame_set(frame)
        expected[frame] = np.array(moving_camera.matrix_world.normalized()), moving_camera.data.lens
    assert blender.ops.ex4d.export_camera(layout_name=layout, filepath=str(tmp_path / "move")) == {"FINISHED"}
    now = [len(d) for d in (blender.data.scenes, blender.data.objects, blender.data.cameras, blender.data.actions)]
    assert now == counts, "nothing of the export stays in the file"
    known = set(blender.data.objects)
    if layout == "FBX":
        blender.ops.import_scene.fbx(filepath=str(tmp_path / "move.fbx"), anim_offset=0.0)
    else:
        blender.ops.wm.alembic_import(filepath=str(tmp_path / "move.abc"), as_background_job=False)
    (found,) = [obj for obj in blender.data.objects if obj not in known and obj.type == "CAMERA"]
    for frame, (matrix, lens) in expected.items():
        scene.frame_set(frame)
        np.testing.assert_allclose(np.array(found.matrix_world.normalized()), matrix, atol=2e-3)
        if layout == "ALEMBIC" and frame > 1:
            continue  # Blender's Alembic importer reads the first lens only
        fx = lens / moving_camera.data.sensor_height * (90 * 1.25) / 150
        assert found.data.lens / found.data.sensor_width == pytest.approx(fx, rel=0.01), f"frame {frame}"


@pytest.mark.feature("exports")
def test_a_blender_without_the_exporter_says_so(blender, shot, moving_camera, tmp_path, monkeypatch):
    from blender_addon.camera import exporters as camera_scene

    class Empty:
        pass

    monkeypatch.setattr(camera_scene.bpy.ops, "export_scene", Empty(), raising=False)
    with pytest.raises(RuntimeError, match="This Blender has no FBX exporter; enable the add-on"):
        blender.ops.ex4d.export_camera(layout_name="FBX", filepath=str(tmp_path / "move"))
    assert not list(tmp_path.glob("move*"))


def test_amount_easing_and_centre_shape_the_move(connected, shot):
    """The 3D cursor's depth is the centre: every camera of the orbit stays at its distance from that point."""
    scene = connected.context.scene
    scene.cursor.location = (0.0, 5.0, 0.0)
    centre = np.array([0.0, 0.0, 5.0])
    ends = []
    for amount, easing in ((20.0, "linear"), (40.0, "linear"), (40.0, "ease_in")):
        connected.ops.ex4d.add_camera_move(preset="orbit_left", amount=amount, easing=easing, centre="CURSOR")
        found = sampled(connected, shot)
        distances = np.linalg.norm(found.world_from_camera[:, :3, 3] - centre, axis=1)
        np.testing.assert_allclose(distances, 5.0, rtol=1e-4)
        turned = np.degrees(np.arccos(np.clip(found.world_from_camera[:, 2, 2], -1, 1)))
        assert turned[-1] == pytest.approx(amount, abs=0.05)
        ends.append(turned)
    assert ends[1][1] == pytest.approx(10.0, abs=0.05), "linear: a quarter after a quarter"
    assert ends[2][1] < 5.0, "it starts slowly"
