from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh, export_ply
from ex4d_ground.errors import DepthError, OutputError, SettingError, ShapeError
from ex4d_ground.options import MeshOptions

from .conftest import make_clip
from .rays import crossings


def smallest_angles_deg(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:  # [F]
    """By arc cosine, corner by corner: the textbook way."""
    corner = vertices[faces].astype(np.longdouble)
    angles = []
    for k in range(3):
        u, v = corner[:, (k + 1) % 3] - corner[:, k], corner[:, (k + 2) % 3] - corner[:, k]
        cosine = (u * v).sum(axis=1) / np.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return np.min(angles, axis=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(2, 9), st.floats(0.5, 59.0))
def test_a_face_is_occluded_exactly_when_its_smallest_angle_is_below_the_limit(
    seed: int, height: int, width: int, limit: float
) -> None:
    depth = np.random.default_rng(seed).uniform(0.5, 20.0, (1, height, width)).astype(np.float32)
    options = MeshOptions(min_angle_deg=limit, border_depth=20.0, hide_caps=False)
    mesh = DWMesh(make_clip(seed, depth=depth), options)
    angles = smallest_angles_deg(mesh.vertices(0), mesh.faces)
    clear = np.abs(angles - limit) > 1e-6
    np.testing.assert_array_equal(mesh.face_occluded(0)[clear], (angles < limit)[clear])


def test_a_vertex_is_visible_when_no_face_around_it_is_occluded() -> None:
    mesh = DWMesh(make_clip())
    occluded = mesh.face_occluded(1)
    assert 0 < occluded.sum() < len(occluded)
    expected = np.ones(mesh.height * mesh.width, bool)
    for face in mesh.faces[occluded]:
        expected[face] = False
    np.testing.assert_array_equal(mesh.vertex_visible(1), expected)


def test_colours_are_kept_under_a_clear_alpha_unless_parity_blanks_them() -> None:
    clip = make_clip()
    ours, published = DWMesh(clip), DWMesh(clip, MeshOptions.ex4d_parity())
    np.testing.assert_array_equal(ours.colors(2)[:, :3], clip.frames[2].reshape(-1, 3))
    np.testing.assert_array_equal(ours.colors(2)[:, 3], np.where(ours.vertex_visible(2), 255, 0))
    hidden = ~published.vertex_visible(2)
    assert hidden.any()
    assert not published.colors(2)[hidden].any()


def test_vertices_project_back_to_their_pixels() -> None:
    clip = make_clip()
    k = clip.intrinsics
    for anchor, offset in (("center", 0.5), ("corner", 0.0)):
        v = DWMesh(clip, MeshOptions(pixel_anchor=anchor)).vertices(0).astype(float).reshape(24, 32, 3)  # type: ignore[arg-type]
        x, y = k.fx * v[..., 0] / v[..., 2] + k.cx, k.fy * v[..., 1] / v[..., 2] + k.cy
        np.testing.assert_allclose(x, np.broadcast_to(np.arange(32) + offset, x.shape), atol=1e-4)
        np.testing.assert_allclose(y, np.broadcast_to(np.arange(24)[:, None] + offset, y.shape), atol=1e-4)
        np.testing.assert_array_equal(v[1:-1, 1:-1, 2], clip.depth[0, 1:-1, 1:-1])
        assert (v[[0, -1], :, 2] == 100).all()
        assert (v[:, [0, -1], 2] == 100).all()


def test_painted_flags_override_the_angle() -> None:
    clip = make_clip()
    auto = DWMesh(clip).face_occluded(0)
    flags = np.zeros(len(auto), np.int8)
    shown, hidden = np.flatnonzero(auto)[:5], np.flatnonzero(~auto)[:5]
    flags[shown], flags[hidden] = FACE_VISIBLE, FACE_OCCLUDED
    mesh = DWMesh(clip, face_flags={0: flags})
    expected = auto.copy()
    expected[shown], expected[hidden] = False, True
    np.testing.assert_array_equal(mesh.face_occluded(0), expected)
    np.testing.assert_array_equal(mesh.face_occluded(1), DWMesh(clip).face_occluded(1))


def test_edited_vertices_replace_the_frame_and_its_occlusion() -> None:
    clip = make_clip()
    plain = DWMesh(clip)
    edited = plain.vertices(1)
    inner = np.flatnonzero(plain.vertex_visible(1))[40]
    edited[inner] *= 3.0
    mesh = DWMesh(clip, vertex_overrides={1: edited})
    np.testing.assert_array_equal(mesh.vertices(1), edited)
    assert not mesh.vertex_visible(1)[inner]
    np.testing.assert_array_equal(mesh.vertices(0), plain.vertices(0))


def inside_points(mesh: DWMesh, rng: np.random.Generator, count: int) -> np.ndarray:
    """Random points of the source frustum between the front surface and the border's plane.

    The mesh is a depth map, so a viewing ray meets the front once; beyond it and before the caps is inside.
    """
    front = mesh.vertices(0)[mesh.faces[:-2]].astype(float)
    face = rng.integers(0, len(front), 4 * count)
    on_front = (rng.dirichlet(np.ones(3), 4 * count)[:, :, None] * front[face]).sum(axis=1)
    on_front = on_front[on_front[:, 2] < 0.99 * mesh.options.border_depth][:count]  # the rim itself is not inside
    assert len(on_front) == count
    room = mesh.options.border_depth / on_front[:, 2]
    return on_front * (1 + (room - 1) * rng.uniform(1e-6, 1 - 1e-6, count))[:, None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("anchor", ["corner", "center"])
def test_no_ray_escapes_the_mesh(seed: int, anchor: str) -> None:
    """10,000 rays over all cases; each leaves through an odd number of faces, as in any closed surface."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 40.0, (1, 14, 18)).astype(np.float32)
    mesh = DWMesh(make_clip(seed, depth=depth), MeshOptions(pixel_anchor=anchor))  # type: ignore[arg-type]
    origins = inside_points(mesh, rng, 1250)
    directions = rng.normal(size=origins.shape)
    _, _, count = crossings(origins, directions, mesh.vertices(0)[mesh.faces].astype(float))
    assert (count > 0).all()
    assert (count % 2 == 1).all()


def test_a_ray_escapes_when_a_face_is_missing() -> None:
    """The judge itself: with the caps gone, rays do get out."""
    rng = np.random.default_rng(0)
    mesh = DWMesh(make_clip(0, depth=rng.uniform(0.5, 40.0, (1, 14, 18)).astype(np.float32)))
    origins = inside_points(mesh, rng, 500)
    _, _, count = crossings(origins, rng.normal(size=origins.shape), mesh.vertices(0)[mesh.faces[:-2]].astype(float))
    assert (count == 0).any()


def test_ply_holds_the_mesh_with_its_colours(tmp_path: Path) -> None:
    mesh = DWMesh(make_clip())
    export_ply(mesh, 1, tmp_path / "new" / "mesh.ply")
    loaded = trimesh.load_mesh(tmp_path / "new" / "mesh.ply", process=False)
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices(1))
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_array_equal(loaded.visual.vertex_colors, mesh.colors(1))  # type: ignore[union-attr]
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["mesh.ply"]


def test_a_ply_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file.mesh\.ply"):
        export_ply(DWMesh(make_clip()), 0, tmp_path / "file" / "mesh.ply")


@pytest.mark.parametrize("value", [math.nan, -math.inf, 0.0, -1.0])
def test_depth_that_is_no_depth_is_refused_with_a_count(value: float) -> None:
    depth = np.full((2, 4, 5), 3.0, np.float32)
    depth[1, 2, 3] = value
    with pytest.raises(DepthError, match="1 of 40 pixels"):
        DWMesh(make_clip(depth=depth))


def test_what_does_not_fit_is_refused() -> None:
    clip = make_clip()
    with pytest.raises(SettingError, match="Frame 4 does not exist"):
        DWMesh(clip).vertices(3)
    with pytest.raises(ShapeError, match="Edited vertices of frame 1"):
        DWMesh(clip, vertex_overrides={0: np.zeros((5, 3), np.float32)})
    with pytest.raises(ShapeError, match="NaN or infinity at 768 vertices"):
        DWMesh(clip, vertex_overrides={0: np.full((24 * 32, 3), np.nan, np.float32)})
    with pytest.raises(ShapeError, match="Face flags of frame 2"):
        DWMesh(clip, face_flags={1: np.zeros(7, np.int8)})
    with pytest.raises(SettingError, match=r"0 \(auto\), 1 \(visible\) or 2 \(occluded\)"):
        DWMesh(clip, face_flags={0: np.full(2 * 23 * 31 + 2, 3, np.int8)})
