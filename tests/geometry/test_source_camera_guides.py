"""A camera that moved while it filmed: moves stand still in the world, whatever it did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from ex4d.dwmesh import DWMesh, export_ply
from ex4d.dwmesh.proxy import ProxyGrid
from ex4d.engines import GenerateRequest, get_engine
from ex4d.engines.guide_depth import GuideDepth
from ex4d.engines.shot import plan_shot
from ex4d.guides import FrameRenderer, GuideObject, render_guides
from ex4d.guides.deep import DeepGuides
from ex4d.guides.objects import with_objects
from ex4d.raster import Camera
from ex4d.takes import clip_sha256
from ex4d.trajectory import far_from_source, preset
from ex4d.types import Clip, Guides
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.poses import inverse
from ex4d_ground.source_camera import SourceCamera

from .conftest import make_clip, make_trajectory
from .source_cameras import beside_source, lens_row, locked_off, shifted, shifts, travelling, zooming
from .test_objects import BOX_FACES, RED, box, red

SOLID = MeshOptions(mode="solid")
MODES = [MeshOptions(), MeshOptions(hidden_by="face"), SOLID]
every_mode = pytest.mark.parametrize("options", MODES, ids=["endless", "by face", "solid"])
TIMES = [0.0, 1.0, 2.4, 3.0, 2.0, 0.0]


def same(one: Guides, other: Guides) -> None:
    assert np.asarray(one.mask).any()
    np.testing.assert_array_equal(one.colour, other.colour)
    np.testing.assert_array_equal(one.mask, other.mask)


@every_mode
def test_a_camera_that_stood_still_changes_no_bit(options: MeshOptions) -> None:
    clip = make_clip(frames=4)
    known = replace(clip, source_camera=SourceCamera.still(4, clip.intrinsics))
    move = make_trajectory(clip)
    things = [GuideObject(box(2.0, 0.3, 0.1), BOX_FACES, red(box(2.0, 0.3, 0.1)))]
    same(*(render_guides(DWMesh(c, options), move, objects=things, rasterizer="cpu") for c in (clip, known)))
    assert clip_sha256(known) == clip_sha256(clip)
    assert known.seen_by_source(move) is move and known.mesh_from_world(2) is None and known.lens(3) is clip.intrinsics


def test_a_camera_that_stood_still_changes_no_bit_of_what_joins_frames() -> None:
    picture = make_clip(frames=1, height=48, width=64)
    frames, depth = (np.repeat(np.asarray(a), 4, axis=0) for a in (picture.frames, picture.depth))
    clip = Clip(frames, depth, picture.intrinsics)
    known = replace(clip, source_camera=SourceCamera.still(4, clip.intrinsics))
    for options in (MeshOptions(mode="solid", other_frames=True, world_memory=m) for m in (False, True)):
        one, other = (DWMesh(c, options).surface(2) for c in (clip, known))
        np.testing.assert_array_equal(one.vertices, other.vertices)
        np.testing.assert_array_equal(one.colors, other.colors)


@every_mode
def test_a_move_in_the_world_sees_what_a_move_beside_the_source_camera_sees_bit_by_bit(options: MeshOptions) -> None:
    clip = make_clip(frames=4)
    move = locked_off(clip, TIMES)
    moved = render_guides(DWMesh(travelling(clip), options), move, rasterizer="cpu")
    same(moved, render_guides(DWMesh(clip, options), beside_source(clip, move), rasterizer="cpu"))
    as_if_still = render_guides(DWMesh(clip, options), move, rasterizer="cpu")
    assert (np.asarray(moved.colour) != np.asarray(as_if_still.colour)).any()


@every_mode
def test_objects_stand_still_in_the_world(options: MeshOptions) -> None:
    clip = make_clip(frames=4)
    move, places = locked_off(clip, TIMES), box(2.0, 0.25, 0.5)
    thing = GuideObject(places, BOX_FACES, red(places))
    shown = np.floor(np.array(TIMES) + 0.5).astype(int)
    by_hand = np.stack([places - shifts(4)[t].astype(np.float32) for t in shown])
    beside = GuideObject(by_hand, BOX_FACES, red(places))
    guides = render_guides(DWMesh(travelling(clip), options), move, objects=[thing], rasterizer="cpu")
    relative = beside_source(clip, move)
    same(guides, render_guides(DWMesh(clip, options), relative, objects=[beside], rasterizer="cpu"))
    assert (np.asarray(guides.colour) == RED).all(axis=-1).any(axis=(1, 2)).all()


def test_live_views_and_deep_guides_are_the_guides() -> None:
    clip = make_clip(frames=4)
    mesh, move = DWMesh(travelling(clip), SOLID), locked_off(clip, TIMES)
    places = box(2.0, 0.25, 0.5)
    things = [GuideObject(places, BOX_FACES, red(places))]
    guides = render_guides(mesh, move, objects=things, rasterizer="cpu")
    seen = mesh.clip.seen_by_source(move)
    with FrameRenderer(mesh, threads=1, rasterizer="cpu") as live:
        for i, t in enumerate(np.floor(np.array(TIMES) + 0.5).astype(int)):
            colour, mask = live.render(int(t), Camera.of(seen, i), things, index=i)
            np.testing.assert_array_equal(colour, guides.colour[i])
            np.testing.assert_array_equal(mask, guides.mask[i])
    deep, alone = DeepGuides(mesh, move, guides, objects=things), DeepGuides(mesh, move, guides)
    for i in range(len(TIMES)):
        depth = deep.depth(i)
        assert (depth[guides.mask[i]] > 0).all()
        assert (alone.depth(i) != depth).any()


def test_the_previews_depth_of_a_guide_is_that_of_the_camera_beside_the_source() -> None:
    clip = make_clip(frames=4, height=48, width=64)
    move, relative = locked_off(clip, TIMES), beside_source(clip, locked_off(clip, TIMES))
    guides = render_guides(travelling(clip), move, rasterizer="cpu")
    there = get_engine("preview").generate(GenerateRequest(guides, move, travelling(clip), {"temporal": 0.0}))
    here = get_engine("preview").generate(GenerateRequest(guides, relative, clip, {"temporal": 0.0}))
    np.testing.assert_array_equal(there, here)


def test_what_is_filled_is_carried_along_in_the_world() -> None:
    """The camera stands still in the world: what was filled stays where it is, however the source camera went."""
    clip = make_clip(frames=4, height=48, width=64)
    move = locked_off(clip, [0.0, 1.0, 2.0, 3.0])
    guides = render_guides(travelling(clip), move, rasterizer="cpu")
    request = GenerateRequest(guides, move, travelling(clip), {"temporal": 0.9})
    here = replace(request, trajectory=beside_source(clip, move), clip=clip)
    there, beside = (np.asarray(get_engine("preview").generate(r)) for r in (request, here))
    holes = ~np.asarray(guides.mask)
    assert (there[holes] != beside[holes]).any()
    np.testing.assert_array_equal(there[~holes], beside[~holes])


@every_mode
def test_a_zoom_shows_each_frame_through_its_own_lens(options: MeshOptions) -> None:
    clip = zooming()
    mesh = DWMesh(clip, options)
    rows = np.stack([lens_row(clip.lens(t)) for t in range(3)])
    move = Trajectory(np.tile(np.eye(4), (3, 1, 1)), rows, np.arange(3.0), clip.width, clip.height)
    guides = render_guides(mesh, move, rasterizer="cpu")
    inner = np.s_[:, 2:-2, 2:-2]
    shown = np.asarray(guides.mask)[inner]
    assert shown.mean() > 0.5
    np.testing.assert_array_equal(np.asarray(guides.colour)[inner][shown], np.asarray(clip.frames)[inner][shown])
    proxy = ProxyGrid(DWMesh(clip), 16)
    for t in range(3):
        corner = DWMesh(clip).vertices(t).reshape(clip.height, clip.width, 3)[5, 7]
        k = clip.lens(t)
        np.testing.assert_allclose(corner[:2] / corner[2], ((7.5 - k.cx) / k.fx, (5.5 - k.cy) / k.fy), rtol=1e-5)
        assert np.isin(proxy.frame(t).vertices(0), DWMesh(clip).vertices(t)).all()


def test_a_zoom_is_drawn_as_clips_of_each_lens() -> None:
    clip = zooming()
    move = make_trajectory(clip)
    guides = render_guides(DWMesh(clip, SOLID), move, rasterizer="cpu")
    for t in range(3):
        alone, at = Clip(clip.frames, clip.depth, replace(clip.lens(t), source="given")), np.s_[t : t + 1]
        poses, rows = move.world_from_camera[at], move.intrinsics[at]
        one = replace(move, world_from_camera=poses, intrinsics=rows, source_time=np.array([float(t)]))
        expected = render_guides(DWMesh(alone, SOLID), one, rasterizer="cpu")
        np.testing.assert_array_equal(guides.colour[t], expected.colour[0])


def test_the_depth_behind_a_zooms_guides_is_that_of_its_own_lens() -> None:
    clip = zooming(height=48, width=64)
    move = make_trajectory(clip)
    guides = render_guides(DWMesh(clip, SOLID), move, rasterizer="cpu")
    depth = GuideDepth(GenerateRequest(guides, move, clip, {}))
    alone = GuideDepth(GenerateRequest(guides, move, Clip(clip.frames, clip.depth, clip.lens(2)), {}))
    lens, view = move.intrinsics[2] / 2, inverse(move.world_from_camera[2])
    one, other = depth.half(2, lens, view), alone.half(2, lens, view)
    assert one is not None and other is not None
    np.testing.assert_array_equal(one, other)


def test_the_hash_of_a_clip_knows_how_its_camera_moved() -> None:
    clip = make_clip(frames=4)
    other = replace(clip, source_camera=SourceCamera.of(shifted(2 * shifts(4)), clip.intrinsics))
    assert len({clip_sha256(c) for c in (clip, travelling(clip), other)}) == 3


def test_presets_start_where_the_source_camera_stood_and_go_their_way_in_the_world() -> None:
    clip = travelling(make_clip(frames=4))
    assert clip.source_camera is not None
    move = preset("orbit_left", clip, source_time=np.array([2.0, 2.0, 3.0, 3.0]))
    np.testing.assert_allclose(move.world_from_camera[0], clip.source_camera.world_from_camera[2], atol=1e-12)
    plain = preset("orbit_left", replace(clip, source_camera=None), source_time=move.source_time)
    there = clip.source_camera.world_from_camera[2] @ plain.world_from_camera
    np.testing.assert_allclose(move.world_from_camera, there, atol=1e-12)
    assert far_from_source(move, clip) == ""
    assert (
        preset("orbit_left", zooming(), source_time=np.array([2.0, 2.0, 2.0])).intrinsics[0, 0] == zooming().lens(2).fx
    )


def test_a_move_along_with_the_source_camera_can_be_given_as_such() -> None:
    clip = travelling(make_clip(frames=4))
    assert clip.source_camera is not None
    beside = preset("orbit_left", replace(clip, source_camera=None))
    world = clip.source_camera.in_world(beside)
    np.testing.assert_allclose(clip.seen_by_source(world).world_from_camera, beside.world_from_camera, atol=1e-12)
    np.testing.assert_allclose(world.world_from_camera[0], beside.world_from_camera[0])


def test_a_lens_is_named_once() -> None:
    clip = zooming()
    assert [clip.lens(t).source for t in range(3)] == [clip.intrinsics.source] * 3
    assert isinstance(clip.lens(1), Intrinsics)


def test_hashes_of_clips_whose_camera_stood_still_are_those_of_earlier_versions() -> None:
    assert clip_sha256(make_clip(frames=4)) == "b0364df0dd52cb01758d546e18685637fc2a408ac041cb8af2bcc7bc31ca13ed"


def test_a_mesh_is_exported_in_the_world(tmp_path: Path) -> None:
    mesh = DWMesh(travelling(make_clip(frames=4)))
    export_ply(mesh, 2, tmp_path / "two.ply")
    exported = trimesh.load(tmp_path / "two.ply", process=False)
    assert isinstance(exported, trimesh.Trimesh)
    np.testing.assert_allclose(exported.vertices, mesh.vertices(2) + shifts(4)[2], rtol=1e-6)


def test_objects_on_a_device_are_brought_into_each_frames_axes_to_the_bit() -> None:
    torch = pytest.importorskip("torch")
    from ex4d.guides.gpu_objects import DeviceObjects
    from ex4d.raster.gpu.batch import CameraBatch
    from ex4d.surface.batch import SurfaceBatch
    from ex4d_ground.options import RasterOptions

    clip, device = make_clip(frames=4), torch.device("cpu")
    turned = preset("orbit_left", clip)  # as the path of the filming camera
    clip = replace(clip, source_camera=SourceCamera.of_trajectory(turned))
    mesh, move, places = DWMesh(clip), make_trajectory(clip), box(2.0, 0.25, 0.5)
    things = [GuideObject(places, BOX_FACES, red(places)), GuideObject(box(1.5, 0.1), BOX_FACES)]
    seen, frames = clip.seen_by_source(move), list(range(len(move)))
    views = CameraBatch.along(seen, RasterOptions(), device)
    surfaces = SurfaceBatch.of([mesh.surface(t) for t in frames], device)
    joined = DeviceObjects(things, device).join(surfaces, views, frames, [clip.mesh_from_world(t) for t in frames])
    for t in frames:
        wanted = with_objects(mesh.surface(t), things, t, Camera.of(seen, t), clip.mesh_from_world(t))
        np.testing.assert_array_equal(joined.vertices[t].numpy(), wanted.vertices)


def test_other_frames_and_world_memory_see_through_each_frames_lens() -> None:
    """A zoom on a picture of a plane: what other frames say of it lies where it is."""
    clip, depth = plane_through_a_zoom()
    for options in (MeshOptions(mode="solid", other_frames=True, world_memory=m) for m in (False, True)):
        mesh = DWMesh(clip, options)
        wide = replace(clip.lens(0), source="given")
        rows = np.tile(lens_row(wide), (clip.num_frames, 1))
        poses = np.tile(np.eye(4), (clip.num_frames, 1, 1))
        move = Trajectory(poses, rows, np.arange(float(clip.num_frames)), clip.width, clip.height)
        guides = render_guides(mesh, move, rasterizer="cpu")
        first, last = np.asarray(guides.colour[0]).astype(int), np.asarray(guides.colour[-1]).astype(int)
        shown = np.asarray(guides.mask[-1])
        if options.world_memory:
            assert shown.mean() > 0.95  # beside the picture of the long lens too
        else:
            assert shown.mean() < 0.8
        assert np.abs(first - last)[shown].mean() < 6
    assert depth == 4.0


def plane_through_a_zoom() -> tuple[Clip, float]:
    """Smooth colours on a plane, through a lens that gets longer by half, from a camera that slides a little."""
    count, height, width, depth = 6, 60, 80, 4.0
    wide = Intrinsics.from_fov(width, height, 60.0, "given")
    rows = np.tile(lens_row(wide), (count, 1))
    rows[:, :2] *= np.linspace(1, 1.5, count)[:, None]
    poses = shifted(np.outer(np.arange(count), [0.02, 0.0, 0.0]))
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    frames = []
    for (fx, fy, cx, cy), pose in zip(rows, poses, strict=True):
        a, b = (x - cx) / fx * depth + pose[0, 3], (y - cy) / fy * depth
        shades = [np.sin(1.3 * a), np.cos(1.7 * b), np.sin(a + b)]
        frames.append(np.stack([128 + 100 * s for s in shades], axis=-1).astype(np.uint8))
    still = Clip(np.stack(frames), np.full((count, height, width), depth, np.float32), wide)
    return replace(still, source_camera=SourceCamera(poses, rows, width, height)), depth


def test_a_lead_in_starts_where_the_source_camera_stood_at_the_moves_first_frame() -> None:
    clip = travelling(make_clip(frames=4))
    assert clip.source_camera is not None
    there = clip.source_camera.world_from_camera[2]
    starts = replace(locked_off(clip, [2.0, 3.0, 3.0]), world_from_camera=np.stack([there, there, np.eye(4)]))
    plan = plan_shot(starts, clip, {"lead_in": True})
    assert plan.trim == 0 and plan.source_first_frame
    elsewhere = locked_off(clip, [2.0, 3.0, 3.0])
    plan = plan_shot(elsewhere, clip, {"lead_in": True})
    assert plan.trim > 0 and plan.source_first_frame
    np.testing.assert_allclose(plan.trajectory.world_from_camera[0], there, atol=1e-12)
    assert (plan.trajectory.source_time[: plan.trim] == 2).all()
    np.testing.assert_array_equal(plan.trajectory.world_from_camera[plan.trim :], elsewhere.world_from_camera)
    zoomed = zooming()
    move = replace(locked_off(zoomed, [2.0, 2.0]), intrinsics=np.tile(lens_row(zoomed.lens(0)), (2, 1)))
    led = plan_shot(move, zoomed, {"lead_in": True}).trajectory
    np.testing.assert_allclose(led.intrinsics[0], lens_row(zoomed.lens(2)))
