"""A shot with a filming camera through a real backend: one steady world in guides, objects, live views and takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from filmed_room import FLOOR_Y, import_filmed, project, room
from picture_files import read_rgba
from small_clip import write_source_files


@pytest.fixture(scope="module")
def filmed():
    return room(frames=8)


@pytest.fixture
def rigged(connected, filmed, tmp_path, monkeypatch):
    """The room, imported by the backend, with its filming camera from a file; everything saved."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    import_filmed(connected, filmed, tmp_path)
    connected.ops.wm.save_mainfile()
    return connected.context.scene.ex4d.shot


def guides(blender, shot):
    """Colour [N, H, W, 3] and mask [N, H, W] of the shot camera's guides."""
    from blender_addon.scene import shot as shots

    assert blender.ops.ex4d.render_guides() == {"FINISHED"}
    folder = shots.output_folder(shot) / "guides"
    found = []
    for part in ("colour", "mask"):
        pictures = [read_rgba(blender, path) for path in sorted((folder / part).glob("*.png"))]
        found.append(np.stack(pictures)[..., :3].astype(np.float32))
    return found[0], found[1][..., 0] > 127


def test_a_camera_that_rides_on_the_source_sees_the_source(connected, rigged, filmed):
    connected.ops.ex4d.follow_source()
    colour, mask = guides(connected, rigged)
    assert mask[:, 4:-4, 4:-4].mean() > 0.97
    error = np.abs(colour - filmed.clip.frames)[mask]
    assert np.median(error) <= 1 and error.mean() < 6


@pytest.mark.any_blender
def test_a_locked_off_camera_sees_a_world_that_stands_still(connected, rigged, filmed):
    """What later frames show from the first frame's place is what the first frame showed there; without a rig it
    shakes."""
    connected.context.scene.frame_set(1)
    connected.ops.ex4d.lock_to_world()
    colour, mask = guides(connected, rigged)
    connected.ops.ex4d.film_from_nowhere()
    shaky, seen = guides(connected, rigged)

    def change(pictures, shown):
        both = shown[-1] & shown[0]
        return np.abs(pictures[-1] - pictures[0])[both].mean()

    assert change(colour, mask) < 0.35 * change(shaky, seen)
    assert mask[-1].mean() < 0.97  # what the last frame's camera did not see from there is a hole


def test_a_cube_on_the_floor_is_drawn_within_a_pixel_of_the_truth(connected, rigged, filmed):
    from mathutils import Vector

    from blender_addon.work import compat

    corners = np.array([0.2, FLOOR_Y, 4.5]) + 0.5 * np.array(np.meshgrid([0, 1], [-1, 0], [0, 1])).reshape(3, -1).T
    data = connected.data.meshes.new("Cube")
    # meshgrid's order: x and y swap places
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    data.from_pydata([rigged.matrix_world @ Vector(corner) for corner in corners], [], faces)
    cube = connected.data.objects.new("Cube", data)
    material = connected.data.materials.new("Magenta")
    compat.use_nodes(material)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (1, 0, 1, 1)
    data.materials.append(material)
    connected.context.scene.collection.objects.link(cube)
    cube.ex4d.role = "GUIDE"
    connected.ops.ex4d.follow_source()
    colour, _ = guides(connected, rigged)
    truth = project(filmed.camera, corners)
    for t in range(len(filmed.camera)):
        drawn = (colour[t, ..., 0] > 200) & (colour[t, ..., 1] < 30) & (colour[t, ..., 2] > 200)
        rows, columns = np.nonzero(drawn)
        assert len(rows) > 50
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        wanted = np.concatenate([truth[t].min(axis=0), truth[t].max(axis=0)])
        np.testing.assert_allclose(box, wanted, atol=1.0)


def test_a_take_keeps_the_filming_camera_and_brings_it_back(connected, rigged, filmed):
    from blender_addon.scene import rig
    from blender_addon.scene import shot as shots

    connected.ops.ex4d.follow_source()
    connected.ops.ex4d.generate(engine="preview")
    record = json.loads((shots.output_folder(rigged) / "take_001" / "take.json").read_text())
    np.testing.assert_array_equal(record["clip"]["source_camera"]["world_from_camera"], filmed.camera.world_from_camera)
    connected.ops.ex4d.film_from_nowhere()
    assert rig.filmed_by(rigged) is None
    connected.ops.ex4d.restore_take(camera="KEEP")
    back = rig.as_filmed(rigged)
    np.testing.assert_array_equal(back.world_from_camera, filmed.camera.world_from_camera)
    assert "take_001" in rigged.ex4d.filmed_note


def test_edits_of_a_zooming_clip_are_those_of_the_frames_own_lens(connected, tmp_path, monkeypatch):
    """A take of a zoom, ridden by its own source camera, is the source on every frame, an edited one too."""
    from blender_addon.scene import mesh

    zooming = room(frames=6, zoom=1.4)
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    import_filmed(connected, zooming, tmp_path)
    operators = connected.ops.ex4d
    shot = connected.context.scene.ex4d.shot
    connected.context.scene.frame_set(5)
    operators.edit_frame()
    data = shot.ex4d.mesh.data
    connected.ops.object.mode_set(mode="OBJECT")
    moved = mesh.positions(data)
    moved[60 * 160 + 80] *= 0.98
    mesh.set_positions(data, moved)
    operators.finish_edit(mode="RAY")
    operators.follow_source()
    colour, mask = guides(connected, shot)
    error = np.abs(colour - zooming.clip.frames)
    for t in range(6):
        assert mask[t, 4:-4, 4:-4].mean() > 0.97
        assert np.median(error[t][mask[t]]) <= 1


@pytest.fixture
def estimated(connected, tmp_path, monkeypatch):
    """``estimated(room)``: the room imported, and asked for how it was filmed; returns the shot."""

    def run(filmed):
        monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
        video, depth = write_source_files(filmed.clip, tmp_path / "in")
        operators = connected.ops.ex4d
        operators.import_clip(video_path=str(video), depth_path=str(depth), focal_px=filmed.clip.focal_px)
        return connected.context.scene.ex4d.shot

    return run


@pytest.mark.any_blender
def test_the_backend_estimates_the_filming_camera(connected, estimated):
    from blender_addon.jobs import solving
    from blender_addon.scene import rig
    from blender_addon.scene import shot as shots

    filmed = room(frames=12, width=384, height=288, focal_px=360.0)
    shot = estimated(filmed)
    assert shot.ex4d.seems_to_move
    assert connected.ops.ex4d.estimate_filming() == {"FINISHED"}
    found = rig.as_filmed(shot)
    assert found.origin == "estimated" and "Estimated" in shot.ex4d.filmed_note and not shot.ex4d.seems_to_move
    off = np.linalg.norm((found.world_from_camera - filmed.camera.world_from_camera)[:, :3, 3], axis=1)
    assert off.max() < 0.02 * np.median(filmed.clip.depth)
    assert (shots.output_folder(shot) / solving.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_a_camera_that_stands_still_is_recognised(connected, estimated):
    from dataclasses import replace

    filmed = room(frames=6, width=384, height=288, focal_px=360.0)
    clip = filmed.clip
    first = replace(clip, frames=clip.frames[[0] * 6], depth=clip.depth[[0] * 6])
    shot = estimated(replace(filmed, clip=first))
    assert not shot.ex4d.seems_to_move
    assert connected.ops.ex4d.estimate_filming() == {"FINISHED"}
    assert shot.ex4d.rig is None and "stands still" in shot.ex4d.filmed_note


def test_an_estimate_that_fails_says_why_and_changes_nothing(connected, estimated):
    from dataclasses import replace

    filmed = room(frames=6, width=384, height=288, focal_px=360.0)
    grey = replace(filmed.clip, frames=np.full_like(filmed.clip.frames, 90))
    grey.frames[:, ::2] += np.arange(6, dtype=np.uint8)[:, None, None, None] * 20
    shot = estimated(replace(filmed, clip=grey))
    with pytest.raises(RuntimeError, match="give a camera"):
        connected.ops.ex4d.estimate_filming()
    assert shot.ex4d.rig is None and not shot.ex4d.filmed_by


def test_an_orbit_turns_around_a_point_of_the_world(connected, rigged, filmed):
    """The 3D cursor beside the view axis stays where it is in the picture, and the camera at its distance."""
    from mathutils import Vector

    from blender_addon.camera import move

    spot = np.array([0.6, 0.5, 4.0])
    connected.context.scene.cursor.location = rigged.matrix_world @ Vector(spot)
    assert connected.ops.ex4d.add_camera_move(preset="orbit_right", amount=30, centre="POINT") == {"FINISHED"}
    found = move.sampled(connected.context, rigged)
    seen = np.linalg.inv(found.world_from_camera) @ (*spot, 1.0)
    np.testing.assert_allclose(seen[:, :3], np.broadcast_to(spot, (8, 3)), atol=1e-4)
    assert np.linalg.norm(found.world_from_camera[-1, :3, 3]) > 1.5


def test_a_preset_of_a_retimed_shot_starts_where_its_first_frame_was_filmed(connected, rigged, filmed):
    from blender_addon.camera import move
    from blender_addon.scene import keyframes

    rigged.ex4d.use_source_time = True
    for frame, time in ((1, 5.0), (8, 7.0)):
        rigged.ex4d.source_time = time
        rigged.keyframe_insert("ex4d.source_time", frame=frame)
    keyframes.set_interpolation(rigged, "LINEAR", paths=("ex4d.source_time",))
    connected.ops.ex4d.add_camera_move(preset="orbit_right")
    found = move.sampled(connected.context, rigged)
    np.testing.assert_allclose(found.world_from_camera[0], filmed.camera.world_from_camera[5], atol=1e-5)
