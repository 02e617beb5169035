"""Solid occluders: exact from the source, closed for other cameras, and open where nothing stands."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ex4d.dwmesh import FACE_OCCLUDED, FACE_VISIBLE, DWMesh, edges
from ex4d.dwmesh.solid import RIM_PX
from ex4d.guides import render_guides
from ex4d.raster import Camera, get_rasterizer
from ex4d.surface import Surface
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, Float64
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError, ShapeError
from ex4d_ground.options import MeshOptions

from .conftest import make_clip, make_trajectory
from .test_cpu_vs_oracle import compare, random_lens, random_pose

SOLID = MeshOptions(mode="solid", border_depth=40.0)
SIZE = 48
BOX = np.s_[16:32, 18:30]
NEAR, FAR = 4.0, 12.0


def box_clip(near: float = NEAR, far: float = FAR) -> Clip:
    """A flat square in front of a wall, both facing the camera."""
    depth = np.full((1, SIZE, SIZE), far, np.float32)
    depth[0][BOX] = near
    return make_clip(depth=depth)


def turned(degrees: float, around: float) -> Float64:  # camera_from_world [4, 4]
    """A camera that has gone to the right around the point (0, 0, around), which it looks at."""
    a = np.radians(degrees)
    rotation = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pivot = np.array([0, 0, around])
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = pivot - rotation @ pivot
    return pose


def seen(mesh: DWMesh, pose: Float64) -> Bool:  # [H, W]
    return get_rasterizer("cpu").draw(mesh.surface(0), Camera(pose, mesh.clip.intrinsics))[1]


def random_depth(seed: int, height: int, width: int) -> Float32:
    return np.exp(np.random.default_rng(seed).uniform(-1, 3, (1, height, width))).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(24, 32), (17, 23), (40, 16)])
def test_the_source_view_is_the_whole_source_exactly(height: int, width: int) -> None:
    """To the outermost pixel, at depth steps too: no hole grown, no crack, no wall in sight."""
    for clip in (make_clip(3, height=height, width=width), make_clip(depth=random_depth(1, height, width))):
        mesh = DWMesh(clip, SOLID)
        for t in range(clip.num_frames):
            colour, mask = get_rasterizer("cpu").draw(mesh.surface(t), Camera(np.eye(4), clip.intrinsics))
            assert mask.all()
            np.testing.assert_array_equal(colour, clip.frames[t])


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_picture_of_the_source_view_has_no_cracks(seed: int) -> None:
    """Samples fall anywhere between the vertices, on middles between pixels too."""
    clip = make_clip(depth=random_depth(seed, 14, 19))
    k = clip.intrinsics.resized(19 * 8, 14 * 8)
    _, mask = get_rasterizer("cpu").draw(DWMesh(clip, SOLID).surface(0), Camera(np.eye(4), k))
    assert mask.all()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.2, 1.0]))
def test_random_solid_meshes_are_drawn_as_the_oracle_draws_them(seed: int, turn: float) -> None:
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(3, 7, 2))
    options = structs.replace(
        SOLID, thickness=float(rng.uniform(0, 1)), border_depth=8.0, edge_jump=float(rng.uniform(0.01, 1))
    )
    surface = DWMesh(make_clip(seed, depth=random_depth(seed, height, width)), options).surface(0)
    camera = Camera(random_pose(rng, turn, 0.5), random_lens(rng))
    z = (surface.vertices @ camera.camera_from_world[2, :3]) + camera.camera_from_world[2, 3]
    compare(surface, camera, exact=bool((z > 0.01).all()))


def test_what_is_seen_from_behind_blocks_and_shows_nothing() -> None:
    """The front is its own back: a camera beyond the wall that looks back sees none of the source."""
    mesh = DWMesh(box_clip(), SOLID)
    about_turn = np.diag([-1.0, 1.0, -1.0, 1.0])
    about_turn[2, 3] = FAR + 3.0
    assert seen(mesh, np.eye(4)).all()
    assert not seen(mesh, about_turn).any()


@pytest.mark.parametrize("degrees", [100.0, 135.0, 170.0])
def test_rays_that_enter_an_object_through_its_front_from_behind_are_stopped(degrees: float) -> None:
    """Wherever the square covers the picture from behind, nothing of what lies beyond it shines through."""
    mesh = DWMesh(box_clip(), SOLID)
    camera = Camera(turned(degrees, NEAR), mesh.clip.intrinsics)
    rows, columns = np.mgrid[BOX]
    square = mesh.vertices(0).reshape(SIZE, SIZE, 3)[rows, columns]
    white = np.full((rows.size, 4), 255, np.uint8)
    alone = Surface(square.reshape(-1, 3), white, np.empty((0, 3), np.int32), *rows.shape)
    covered = get_rasterizer("cpu").draw(alone, camera)[1]
    assert covered.any()
    assert not get_rasterizer("cpu").draw(mesh.surface(0), camera)[1][covered].any()


def test_walls_stop_the_view_between_an_object_and_its_background() -> None:
    """From the side, a thick square hides more of what is behind it than a thin one, and never shows more."""
    clip = box_clip()
    lengths = [structs.replace(SOLID, thickness=t, thickness_unit="depth") for t in (0.0, 2.0, 5.0)]
    masks = [seen(DWMesh(clip, options), turned(30.0, 8.0)) for options in lengths]
    assert masks[0].sum() > masks[1].sum() > masks[2].sum()
    assert not (masks[1] & ~masks[0]).any()
    assert not (masks[2] & ~masks[1]).any()


def test_a_wall_without_end_hides_what_an_endless_mesh_hides() -> None:
    """As thick as the gap, the wall reaches the background like an endless sheet; rims differ by a pixel."""
    clip = box_clip()
    pose = turned(20.0, 8.0)
    endless = seen(DWMesh(clip, MeshOptions(border_depth=40.0)), pose)
    solid = seen(DWMesh(clip, structs.replace(SOLID, thickness=FAR - NEAR, thickness_unit="depth")), pose)
    inner = np.s_[4:-4, 4:-4]
    assert not (endless & ~solid)[inner].any()
    assert (solid & ~endless)[inner].mean() < 0.1


def test_a_thin_pole_no_longer_hides_half_the_picture() -> None:
    depth = np.full((1, SIZE, SIZE), FAR, np.float32)
    depth[0, :, 24] = 3.0
    clip = make_clip(depth=depth)
    endless, solid = (
        seen(DWMesh(clip, structs.replace(SOLID, mode=m)), turned(25.0, 8.0)) for m in ("endless", "solid")
    )
    assert solid.mean() > endless.mean() + 0.15


def test_the_back_of_a_covered_surface_is_continued_under_the_object() -> None:
    """A floor that goes under a near pole blocks what is below it, though no pixel shows that part."""
    clip = box_clip()
    surface = DWMesh(clip, structs.replace(SOLID, thickness=0.0)).surface(0)
    hidden = surface.colors[:, 3] == 0
    under = (np.abs(surface.vertices[:, 2] - FAR) < 1e-3) & hidden
    x = surface.vertices[under, 0] / FAR * clip.intrinsics.fx + clip.intrinsics.cx
    assert x.min() <= 18.01
    assert x.max() >= 29.99


def test_auto_thickness_follows_what_is_seen_of_each_object() -> None:
    """A wide thing is taken to be deeper than a narrow one at the same depth."""
    depth = np.full((1, SIZE, SIZE), FAR, np.float32)
    depth[0, 10:38, 8:28], depth[0, 10:38, 36:40] = NEAR, NEAR
    clip = make_clip(depth=depth)
    surface = DWMesh(clip, SOLID).surface(0)
    walls = surface.vertices[(SIZE + 2) ** 2 :]
    z = walls[:, 2]
    column = walls[:, 0] / z * clip.intrinsics.fx + clip.intrinsics.cx
    reach = [float(z[(column > a) & (column < b) & (z < FAR - 0.5)].max() - NEAR) for a, b in ((5, 31), (34, 42))]
    assert reach[0] > 2 * reach[1] > 0


@pytest.mark.parametrize(("height", "width"), [(40, 150), (6, 70), (3, 4)])
def test_a_thicket_counts_the_cut_pixels_around_each_mirrored_at_the_sides(height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    cuts = np.where(rng.random((height, width)) < 0.25, rng.integers(1, 4, (height, width)), 0).astype(np.uint8)
    inverse = rng.uniform(0.05, 1.0, (height, width)).astype(np.float32)
    reach, pitch, limits = 4, 0.01, (0.7, 0.3, 10.0, 30.0, 9.0)
    off, most, begin, full, bush = limits
    given = rng.uniform(0.0, 1.0, (height, width)).astype(np.float32)

    settled = given.copy()
    for first in range(0, height, 7):  # in bands, as threads do it
        last = min(first + 7, height)
        edges.settle_thickness(inverse, cuts, reach, pitch, np.array(limits), first, last, settled)

    crowd = cv2.boxFilter((cuts != 0).astype(np.uint8), -1, (2 * reach + 1, 2 * reach + 1), normalize=False)
    z = 1.0 / inverse.astype(np.float64)
    share = np.clip((crowd - begin) / (full - begin), 0, 1)
    wanted = np.maximum(np.minimum(given, most * z) - off * pitch * z, share * bush * pitch * z)
    near = edges.at_cuts(cuts)
    assert near.any()
    np.testing.assert_allclose(settled[near], wanted[near], rtol=1e-6)


def test_walls_stand_behind_the_nearer_sides_of_edges_alone() -> None:
    """The box's own rim, and the picture's: beyond that lies the ring at the border depth."""
    box = np.zeros((SIZE, SIZE), bool)
    box[BOX] = True
    wanted = box & ~cv2.erode(box.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    wanted[[0, -1]], wanted[:, [0, -1]] = True, True
    np.testing.assert_array_equal(DWMesh(box_clip(), SOLID).near_sides(0), wanted)


def test_thickness_is_a_share_of_depth_or_a_length_and_paint_overrides_it() -> None:
    clip = box_clip()
    painted = np.full((SIZE, SIZE), np.nan, np.float32)
    painted[BOX] = 2.5
    meshes = [
        (DWMesh(clip, structs.replace(SOLID, thickness=0.1)), 0.1 * NEAR),
        (DWMesh(clip, structs.replace(SOLID, thickness=1.5, thickness_unit="depth")), 1.5),
        (DWMesh(clip, structs.replace(SOLID, thickness=0.1), thickness_map=painted), 2.5),
        (DWMesh(clip, SOLID, thickness_map=painted[None]), 2.5),
    ]
    rim = NEAR * (1 + RIM_PX / clip.intrinsics.fx)
    for mesh, wanted in meshes:
        z = mesh.surface(0).vertices[:, 2]
        behind = z[(z < FAR - 1.0)]
        assert behind.max() - rim == pytest.approx(wanted, abs=0.005), "walls begin where the surface has turned away"


def test_settings_that_make_no_sense_are_refused_in_a_sentence() -> None:
    clip = box_clip()
    for name, value, match in [
        ("thickness", -1.0, "0 or more"),
        ("thickness", float("nan"), "finite"),
        ("thickness", "thick", "'auto' or a number"),
        ("thickness_unit", "inch", "'share' or 'depth'"),
        ("hidden_by", "edge", "'vertex' or 'face'"),
        ("edge_jump", 0.0, "0..1"),
        ("sharpen_edges", "maybe", "'auto', 'on' or 'off'"),
    ]:
        with pytest.raises(SettingError, match=match):
            structs.replace(SOLID, **{name: value})
    with pytest.raises(ShapeError, match="thickness map"):
        DWMesh(clip, SOLID, thickness_map=np.zeros((3, 3), np.float32))
    with pytest.raises(SettingError, match="negative or infinite at 2 pixels"):
        DWMesh(clip, SOLID, thickness_map=np.pad(np.array([[-1, np.inf]], np.float32), ((0, SIZE - 1), (0, SIZE - 2))))
    with pytest.raises(SettingError, match="solid"):
        DWMesh(clip, thickness_map=np.zeros((SIZE, SIZE), np.float32))


def test_the_editable_grid_is_the_same_in_both_modes() -> None:
    clip = make_clip()
    endless, solid = DWMesh(clip), DWMesh(clip, structs.replace(SOLID, border_depth=100.0))
    np.testing.assert_array_equal(endless.vertices(1), solid.vertices(1))
    np.testing.assert_array_equal(endless.faces, solid.faces)


def test_edited_vertices_move_the_solid_and_an_unedited_border_stays_where_the_picture_is() -> None:
    clip = box_clip()
    vertices = DWMesh(clip, SOLID).vertices(0)
    same = DWMesh(clip, SOLID, vertex_overrides={0: vertices})
    np.testing.assert_allclose(same.surface(0).vertices, DWMesh(clip, SOLID).surface(0).vertices, rtol=1e-6)
    moved = vertices.copy().reshape(SIZE, SIZE, 3)
    moved[BOX] *= 0.5
    surface = DWMesh(clip, SOLID, vertex_overrides={0: moved.reshape(-1, 3)}).surface(0)
    assert surface.vertices[:, 2].min() == pytest.approx(NEAR / 2)


def test_faces_painted_occluded_hide_and_faces_painted_visible_join() -> None:
    clip = box_clip()
    count = DWMesh(clip, SOLID).num_grid_faces + 2
    flags = np.zeros(count, np.int8)
    row, column = 8, 8
    flags[row * (SIZE - 1) + column] = FACE_OCCLUDED
    mask = seen(DWMesh(clip, SOLID, face_flags={0: flags}), np.eye(4))
    assert (~mask).sum() == 3
    assert not mask[row, column]
    joined = DWMesh(clip, SOLID, face_flags={0: np.full(count, FACE_VISIBLE, np.int8)})
    assert not joined.face_occluded(0).any()
    assert DWMesh(clip, SOLID).face_occluded(0)[: count - 2].reshape(2, SIZE - 1, SIZE - 1)[:, 15, 20].all()


def test_occluded_faces_may_hide_without_their_vertices() -> None:
    """Endless, by face: the hole is the faces alone, and every vertex shows its colour."""
    clip = box_clip()
    by_vertex, by_face = DWMesh(clip), DWMesh(clip, MeshOptions(hidden_by="face"))
    pose = turned(10.0, 8.0)
    grown, exact = seen(by_vertex, pose), seen(by_face, pose)
    assert not (grown & ~exact).any()
    assert exact.sum() > grown.sum()
    depth = random_depth(4, 7, 8)
    compare(DWMesh(make_clip(depth=depth), MeshOptions(hidden_by="face", border_depth=9.0)).surface(0),
            Camera(np.eye(4), Intrinsics(9.3, 8.1, 8.2, 6.9, 17, 14)))  # fmt: skip


def test_threads_do_not_change_a_byte() -> None:
    clip = make_clip(5, frames=4, height=60, width=70)
    trajectory = make_trajectory(clip)
    one, two = (render_guides(DWMesh(clip, SOLID), trajectory, threads=n) for n in (1, 2))
    assert one.colour.tobytes() == two.colour.tobytes()
    assert one.mask.tobytes() == two.mask.tobytes()


def test_bands_build_the_same_surface() -> None:
    from ex4d.bands import Bands

    mesh = DWMesh(make_clip(6, height=50, width=61), SOLID)
    with Bands(2) as bands:
        a, b = mesh.surface(1), mesh.surface(1, bands)
    for name in ("vertices", "colors", "faces", "quad_flags"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_smeared_edges_are_made_sharp_and_sharp_ones_left_alone() -> None:
    sharp = box_clip()
    smeared = sharp.depth.copy()
    smeared[0, 16:32, [17, 30]] = 6.0
    smeared[0, [15, 32], 18:30] = 6.0
    as_given = structs.replace(SOLID, sharpen_edges="off")

    def middles(clip: Clip, options: MeshOptions) -> int:
        z = DWMesh(clip, options).surface(0).vertices[: (SIZE + 2) ** 2, 2]
        return int(((z > 1.1 * NEAR) & (z < 0.9 * FAR)).sum())

    assert middles(replace(sharp, depth=smeared), as_given) > 40
    assert middles(replace(sharp, depth=smeared), SOLID) <= 4
    a, b = DWMesh(sharp, SOLID).surface(0), DWMesh(sharp, as_given).surface(0)
    np.testing.assert_array_equal(a.vertices, b.vertices)


def test_quad_flags_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="quad flags"):
        Surface(
            np.zeros((4, 3), np.float32), np.zeros((4, 4), np.uint8), np.empty((0, 3), np.int32), 2, 2,
            np.zeros(2, np.uint8),
        )  # fmt: skip
