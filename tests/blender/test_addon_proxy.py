"""A mesh coarser than the clip: it is edited in Blender, and guides and takes are the clip's at full size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_files import read_rgba
from test_addon_layers import current
from test_addon_layers_guides import guides
from test_addon_operators import fails

from ex4d_ground.grids import grid_of

SIDE = 64
GRID = grid_of(128, 96, SIDE)
FULL = grid_of(128, 96, 0)


@pytest.fixture
def proxied(connected, sources):
    """The small clip with half as many vertices a side, and a camera move."""
    connected.ops.ex4d.import_clip(**sources, grid_side=SIDE)
    connected.ops.ex4d.add_camera_move(preset="30")
    return connected


@pytest.fixture
def full_size(connected, sources):
    """Imports the clip once more, with a vertex per pixel."""

    def make():
        connected.ops.ex4d.import_clip(**sources, grid_side=0)
        connected.ops.ex4d.add_camera_move(preset="30")

    return make


def edit_wall(blender, grid, *, mode: str, **options) -> None:
    """Bring a soft patch of the wall nearer on frame 2."""
    from blender_addon.scene import mesh

    blender.context.scene.frame_set(2)
    blender.ops.ex4d.edit_frame(enter_edit_mode=False)
    body = current(blender)
    positions = mesh.positions(body.data)
    away = np.hypot((grid.rows - 45)[:, None], grid.columns - 95).ravel() / 22
    share = np.where(away < 1, (1 + np.cos(np.pi * np.minimum(away, 1))) / 2, 0).astype(np.float32)[:, None]
    moved = positions * (1 - 0.3 * share) if mode == "RAY" else positions + share * np.float32([0.5, 0, -2])
    mesh.set_positions(body.data, moved)
    assert blender.ops.ex4d.finish_edit(mode=mode, **options) == {"FINISHED"}


def pictures(blender) -> np.ndarray:  # [5, 96, 128, 3] colour of the guides
    folder = Path(blender.data.filepath).parent / "scene_ex4d"
    shot = blender.context.scene.ex4d.shot
    names = sorted((folder / shot.name / "guides" / "colour").iterdir())
    return np.stack([read_rgba(blender, name)[..., :3] for name in names])


def test_the_mesh_has_the_grids_vertices_and_shows_the_whole_footage(proxied, small_clip):
    from blender_addon.scene import mesh

    body = current(proxied)
    assert len(body.data.vertices) == 64 * 48 and len(body.data.polygons) == GRID.num_faces
    props = proxied.context.scene.ex4d.shot.ex4d
    assert (props.width, props.height, props.grid_side) == (128, 96, SIDE)
    for frame in (1, 4):
        proxied.context.scene.frame_set(frame)
        shown = mesh.evaluated_positions(body, proxied.context.evaluated_depsgraph_get())
        wanted = small_clip.vertices(frame - 1).reshape(96, 128, 3)[GRID.rows[:, None], GRID.columns].reshape(-1, 3)
        np.testing.assert_allclose(shown, wanted, rtol=1e-5)
    uv = mesh.values_of(body.data.uv_layers[0].data, "uv", np.float32, width=2)
    corners = mesh.corners(body.data).ravel()
    np.testing.assert_allclose(uv[:, 0], (GRID.columns[corners % 64] + 0.5) / 128, rtol=1e-6)
    np.testing.assert_allclose(uv[:, 1], 1 - (GRID.rows[corners // 64] + 0.5) / 96, rtol=1e-5)


def test_guides_without_edits_are_to_the_byte_those_of_a_full_mesh(proxied, full_size):
    first = guides(proxied)
    full_size()
    assert len(current(proxied).data.vertices) == 128 * 96
    assert guides(proxied) == first


@pytest.mark.parametrize("mode", ["OFFSET", "RAY"])
def test_an_edit_shows_in_the_guides_as_it_does_on_a_full_mesh(proxied, full_size, mode):
    before = guides(proxied)
    edit_wall(proxied, GRID, mode=mode)
    after = guides(proxied)
    assert [t for t in range(5) if before[t] != after[t]] == [1]
    coarse = pictures(proxied).astype(int)
    full_size()
    guides(proxied)
    plain = pictures(proxied).astype(int)
    edit_wall(proxied, FULL, mode=mode)
    guides(proxied)
    fine = pictures(proxied).astype(int)
    off, seen = np.abs(coarse[1] - fine[1]).max(axis=-1), np.abs(plain[1] - fine[1]).max(axis=-1)
    assert (seen > 30).mean() > 0.02, "the edit is to be seen"
    assert (off > 30).mean() < 0.1 * (seen > 30).mean()


def test_paint_and_depth_tools_work_on_the_grid(proxied):
    from blender_addon.edit import paint

    operators, before = proxied.ops.ex4d, guides(proxied)
    chosen = np.zeros((48, 64), np.bool_)
    chosen[18:30, 42:54] = True
    paint.select_vertices(current(proxied).data, chosen.ravel())
    operators.paint_occlusion(flag="OCCLUDED", frames="RANGE", first=3, last=3)
    after = guides(proxied)
    assert [t for t in range(5) if before[t] != after[t]] == [2]
    assert operators.update_visible() == {"FINISHED"}
    operators.paint_occlusion(flag="AUTO")
    proxied.context.scene.frame_set(4)
    operators.edit_frame(enter_edit_mode=False)
    paint.select_vertices(current(proxied).data, chosen.ravel())
    operators.flatten_depth()
    operators.finish_edit()
    assert [t for t in range(5) if before[t] != guides(proxied)[t]] == [3]


def test_painted_thickness_reaches_solid_guides(proxied):
    from blender_addon.edit import thickness

    shot = proxied.context.scene.ex4d.shot
    shot.ex4d.occluders = "SOLID"
    before = guides(proxied)
    chosen = np.zeros((48, 64), np.bool_)
    chosen[10:36, 8:34] = True
    thickness.paint(current(proxied).data, chosen.ravel(), 3.0, None)
    assert guides(proxied) != before


def test_a_take_of_an_edited_grid_is_restored(proxied):
    from blender_addon.scene import layers

    edit_wall(proxied, GRID, mode="RAY")
    proxied.ops.ex4d.generate(engine="preview")
    folder = Path(proxied.data.filepath).parent / "scene_ex4d" / proxied.context.scene.ex4d.shot.name
    first = [path.read_bytes() for path in sorted((folder / "take_001").glob("*.png"))]
    (layer,) = layers.stack(current(proxied))
    layers.set_input(layer, "Weight", 0.2)
    proxied.ops.ex4d.restore_take(index=0)
    proxied.ops.ex4d.generate(engine="preview")
    assert [path.read_bytes() for path in sorted((folder / "take_002").glob("*.png"))] == first


def test_a_backend_without_proxy_grids_gives_the_full_one_and_takes_no_edits_of_a_grid():
    from types import SimpleNamespace

    from blender_addon.jobs.edit_uploads import EditUploads, FrameEdit
    from blender_addon.work.errors import AddonError
    from ex4d_protocol.messages import Welcome

    old = SimpleNamespace(welcome=Welcome(session="s", data_port=1, server_id="x"), upload=lambda _path: None)
    edits = (FrameEdit(0, Path("a.f4"), None),)
    with pytest.raises(AddonError, match="too old for edits of a mesh of 64 vertices a side"):
        EditUploads(old, edits, grid_side=SIDE)
    EditUploads(old, edits, grid_side=0)


def test_a_mesh_that_is_not_the_grid_any_more_is_refused(proxied):
    body = current(proxied)
    body.data.vertices.add(3)
    assert f"has {64 * 48 + 3} vertices instead of {64 * 48}" in fails(proxied.ops.ex4d.render_guides)
