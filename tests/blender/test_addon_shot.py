"""The shot in Blender: the mesh plays the cache, shows the footage exactly, and hides what is hidden."""

from __future__ import annotations

import numpy as np
import pytest


def test_every_frame_plays_the_cached_vertices_exactly(blender, shot, small_clip):
    from blender_addon.scene import mesh

    body = shot.ex4d.mesh
    for frame in (1, 3, 5, 2):
        blender.context.scene.frame_set(frame)
        found = mesh.evaluated_positions(body, blender.context.evaluated_depsgraph_get())
        np.testing.assert_array_equal(found, small_clip.vertices(frame - 1))


def test_topology_is_the_backends(shot, small_clip):
    data = shot.ex4d.mesh.data
    corners = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", corners)
    np.testing.assert_array_equal(corners.reshape(-1, 3), small_clip.faces)
    assert not data.validate(verbose=True)


@pytest.mark.feature("colours")
def test_source_camera_reproduces_the_source(blender, shot, small_clip, render):
    for frame in (1, 4):
        blender.context.scene.frame_set(frame)
        picture = render()
        shown = picture[..., 3] > 127
        np.testing.assert_array_equal(shown, small_clip.visible[frame - 1])
        error = np.abs(picture[..., :3].astype(int) - small_clip.frames[frame - 1])[shown]
        assert error.max() <= 1
        assert error.mean() <= 0.5


def test_hidden_faces_still_block(blender, shot, small_clip, render):
    camera = shot.ex4d.source_camera
    blender.ops.mesh.primitive_plane_add(size=1000)
    behind = blender.context.object
    behind.parent, behind.location = shot, (0, 0, 500)
    assert blender.context.scene.camera == camera
    # The outermost rays graze the mesh's own silhouette, where nothing lies before the plane.
    inside = np.s_[1:-1, 1:-1]
    np.testing.assert_array_equal(render()[..., 3][inside] > 127, small_clip.visible[0][inside])


def test_scene_scale_is_the_same_on_all_axes_and_moves_no_camera(blender, shot):
    from blender_addon.scene import cameras as camera

    before = camera.sample(blender.context, shot, shot.ex4d.source_camera).world_from_camera
    shot.ex4d.scene_scale = 2.5
    assert tuple(shot.scale) == (2.5, 2.5, 2.5)
    after = camera.sample(blender.context, shot, shot.ex4d.source_camera).world_from_camera
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_scene_takes_the_clips_size_rate_and_range(blender, shot, small_clip):
    scene = blender.context.scene
    frames, height, width = small_clip.size
    assert (scene.render.resolution_x, scene.render.resolution_y) == (width, height)
    assert scene.render.fps / scene.render.fps_base == pytest.approx(24)
    assert (scene.frame_start, scene.frame_end) == (1, frames)


@pytest.mark.feature("reopen")
def test_paths_are_relative_and_survive_reopening(blender, shot, small_clip, tmp_path):
    from blender_addon.scene import mesh

    blender.ops.wm.save_mainfile()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("scene.blend", "scene_ex4d"):
        (tmp_path / name).rename(moved / name)
    blender.ops.wm.open_mainfile(filepath=str(moved / "scene.blend"))
    blender.context.scene.frame_set(2)
    body = blender.context.scene.ex4d.shot.ex4d.mesh
    found = mesh.evaluated_positions(body, blender.context.evaluated_depsgraph_get())
    np.testing.assert_array_equal(found, small_clip.vertices(1))
    assert all(image.filepath.startswith("//") for image in blender.data.images if image.filepath)


def test_sequences_have_every_field_set(shot, small_clip):
    users = [
        node.image_user
        for node in shot.ex4d.mesh.data.materials[0].node_tree.nodes
        if node.bl_idname == "ShaderNodeTexImage"
    ]
    assert len(users) == 2
    for user in users:
        assert (user.frame_start, user.frame_duration, user.frame_offset) == (1, small_clip.size[0], 0)
        assert user.use_auto_refresh and not user.use_cyclic


def test_faces_of_another_grid_are_refused(blender, small_clip):
    from blender_addon.scene import mesh
    from blender_addon.work.errors import AddonError

    with pytest.raises(AddonError, match="does not fit a clip of 10x10"):
        mesh.build_mesh("m", small_clip.vertices(0), small_clip.faces, width=10, height=10)


def test_a_grid_is_joined_as_blender_would_join_it(blender, small_clip):
    from blender_addon.scene import mesh
    from blender_addon.scene.topology import topology
    from ex4d_ground.grids import grid_of

    grid, made = grid_of(128, 96, 40), topology(128, 96, 40)
    vertices = small_clip.vertices(0).reshape(96, 128, 3)[grid.rows[:, None], grid.columns].reshape(-1, 3)
    fast = mesh.build_mesh("Fast", vertices, made.faces, width=128, height=96, side=40)
    turned = np.roll(made.faces, 1, axis=1)  # the same faces, as no backend sends them
    slow = mesh.build_mesh("Slow", vertices, turned, width=128, height=96, side=40)
    assert not fast.validate(verbose=True)
    ends = [
        {tuple(sorted(pair)) for pair in mesh.values_of(each.edges, "vertices", np.int32, width=2).tolist()}
        for each in (fast, slow)
    ]
    assert ends[0] == ends[1] and len(fast.edges) == len(slow.edges)
    for name in ("uv", "material_index"):
        found = [
            mesh.values_of(each.uv_layers[0].data, "uv", np.float32, width=2).reshape(-1, 3, 2)
            if name == "uv"
            else mesh.values_of(each.polygons, name, np.int32)
            for each in (fast, slow)
        ]
        np.testing.assert_array_equal(found[0], np.roll(found[1], -1, axis=1) if name == "uv" else found[1])
    np.testing.assert_array_equal(mesh.positions(fast), vertices)
    assert not any(vertex.select for vertex in fast.vertices)
