"""The guides' second layer: what the clip itself shows of a move, for previews alone."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ex4d import Clip, Guides
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, get_engine
from ex4d.engines.guide_depth import GuideDepth
from ex4d.guides import GuideObject, known_mesh, render_guides, render_known
from ex4d.shots.draw import draw_shot
from ex4d.trajectory import preset, source_times
from ex4d.types import Known, KnownFrame
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions, RasterOptions

SIZE, FRAMES = 96, 7
LENS = Intrinsics.from_fov(SIZE, SIZE)


def make_clip() -> Clip:
    """A wall with stripes, before which a box goes to the right: each place of the wall is seen at some time."""
    y, x = np.mgrid[:SIZE, :SIZE]
    wall = np.stack([60 + 60 * (x // 4 % 2), 90 + 0 * x, 150 + 30 * (y // 6 % 2)], axis=-1).astype(np.uint8)
    frames, depth = np.empty((FRAMES, SIZE, SIZE, 3), np.uint8), np.full((FRAMES, SIZE, SIZE), 8.0, np.float32)
    for t in range(FRAMES):
        box = (abs(x - 20 - 9 * t) < 10) & (abs(y - 48) < 18)
        frames[t], frames[t][box], depth[t][box] = wall, (230, 60, 20), 3.0
    return Clip(frames, depth, LENS)


CLIP = make_clip()


def move(amount: float = 20.0) -> Trajectory:
    times = source_times("play", num_frames=FRAMES, num_source_frames=FRAMES)
    return preset("orbit_right", num_frames=FRAMES, intrinsics=LENS, near_depth=5.0, amount=amount, source_time=times)


def whole(known: Known | None, guides: Guides) -> tuple[np.ndarray, np.ndarray]:
    """Colour and mask [N, H, W, ...] of what the layer shows beside ``guides``."""
    assert known is not None
    colour, mask = np.zeros(guides.colour.shape, np.uint8), np.zeros(guides.mask.shape, np.bool_)
    for i in range(len(known)):
        frame = known.of(i)
        mask[i].reshape(-1)[frame.where] = True
        colour[i].reshape(-1, 3)[frame.where] = frame.colour
    return colour, mask


def opened(mask: np.ndarray) -> np.ndarray:
    """What of it is three pixels across or more."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))) > 0


def test_it_shows_what_an_endless_mesh_and_one_frame_hide() -> None:
    endless = DWMesh(CLIP)
    guides = render_guides(endless, move(), rasterizer="cpu")
    known = render_known(endless, move(), guides)
    colour, more = whole(known, guides)
    assert more[2:].mean() > 0.05 and not (more & guides.mask).any()
    bluish = colour[more].astype(int)
    assert (bluish[:, 2] > bluish[:, 0]).mean() > 0.8, "the wall, not the box"
    for i in range(FRAMES):
        depth, seen = known.of(i).depth, (more | guides.mask)[i]
        assert depth.shape == (SIZE // 2, SIZE // 2)
        assert ((depth > 1) | (depth == 0)).all() and (depth[more[i, ::2, ::2]] > 1).all()
        assert not depth[~seen[::2, ::2]].any()


@pytest.mark.parametrize("first", [False, True])
def test_drawn_beside_guides_it_is_what_it_is_alone(first: bool) -> None:
    """Also behind a holdout, with an edited frame, and where the first guide is the source picture itself."""
    corners = np.array([[-1, -1, 2.5], [0, -1, 2.5], [0, 1, 2.5], [-1, 1, 2.5]], np.float32)
    holdout = GuideObject(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    lifted = DWMesh(CLIP).vertices(3) * np.float32(1.5)
    solid = DWMesh(CLIP, MeshOptions(mode="solid"), vertex_overrides={3: lifted})
    settings = {"rasterizer": "cpu", "objects": [holdout], "source_first_frame": first}
    plain = render_guides(solid, move(), **settings)
    both = render_guides(solid, move(), known=True, **settings)
    np.testing.assert_array_equal(both.colour, plain.colour)
    np.testing.assert_array_equal(both.mask, plain.mask)
    assert plain.known is None and both.known is not None
    apart = DWMesh(CLIP, known_mesh(solid).options, vertex_overrides={3: lifted})
    alone = render_known(apart, move(), plain, objects=[holdout])
    assert sum(len(alone.of(i).where) for i in range(FRAMES)) > 100
    for i in range(FRAMES):
        for one, other in zip(both.known.of(i), alone.of(i), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_mesh_that_shows_other_frames_already_has_nothing_to_add_but_depth() -> None:
    mesh = DWMesh(CLIP, MeshOptions(mode="solid", other_frames=True))
    guides = render_guides(mesh, move(), rasterizer="cpu", known=True)
    assert guides.known is not None
    for i in range(FRAMES):
        frame = guides.known.of(i)
        assert not len(frame.where)
        np.testing.assert_array_equal(frame.depth > 0, guides.mask[i, ::2, ::2])


def test_an_endless_mesh_and_antialiasing_leave_it_to_be_drawn_alone() -> None:
    assert render_guides(DWMesh(CLIP), move(), rasterizer="cpu", known=True).known is None
    antialiased = RasterOptions(antialias=True)
    solid = DWMesh(CLIP, MeshOptions(mode="solid"))
    assert render_guides(solid, move(), rasterizer="cpu", options=antialiased, known=True).known is None


def test_mask_and_coverage_of_the_guides_know_nothing_of_it() -> None:
    mesh = DWMesh(CLIP)
    plain = draw_shot(mesh, move(), settings={"known_first": False}).guides_with_lead_in
    shot = draw_shot(mesh, move(), settings={"known_first": True})
    both = shot.guides_with_lead_in
    assert plain.known is None and both.known is not None
    np.testing.assert_array_equal(both.mask, plain.mask)
    np.testing.assert_array_equal(both.colour, plain.colour)
    np.testing.assert_array_equal(shot.guides.coverage, plain.coverage)
    later = both.part(2).known
    assert later is not None and len(later) == FRAMES - 2
    np.testing.assert_array_equal(later.of(1).where, both.known.of(3).where)


def test_objects_stand_in_it_as_in_the_guides() -> None:
    corners = np.array([[-3, -3, 2.5], [3, -3, 2.5], [3, 3, 2.5], [-3, 3, 2.5]], np.float32)
    holdout = GuideObject(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    nothing = Guides(np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8), np.zeros((FRAMES, SIZE, SIZE), np.bool_))
    assert not render_known(DWMesh(CLIP), move(), nothing, objects=[holdout]).of(0).where.size


def test_edits_of_the_mesh_are_in_it() -> None:
    lifted = DWMesh(CLIP).vertices(3) * np.float32(2)
    guides = render_guides(DWMesh(CLIP), move(), rasterizer="cpu")
    edited = render_known(DWMesh(CLIP, vertex_overrides={3: lifted}), move(), guides)
    plain = render_known(DWMesh(CLIP), move(), guides)
    ratio = edited.of(3).depth[SIZE // 4, -4] / plain.of(3).depth[SIZE // 4, -4]
    assert 1.8 < ratio < 2.2
    np.testing.assert_array_equal(edited.of(1).depth, plain.of(1).depth)


def test_a_camera_that_moves_unknown_goes_without_other_frames() -> None:
    rng = np.random.default_rng(0)
    shaken = replace(CLIP, frames=rng.integers(0, 255, CLIP.frames.shape, np.uint8))
    assert not known_mesh(DWMesh(shaken)).options.other_frames
    assert known_mesh(DWMesh(CLIP)).options.other_frames
    already = DWMesh(CLIP, MeshOptions(mode="solid", other_frames=True))
    assert known_mesh(already) is already


def test_a_preview_shows_it_as_it_is_and_fills_the_rest() -> None:
    mesh = DWMesh(CLIP)
    guides = render_guides(mesh, move(), rasterizer="cpu")
    known = render_known(mesh, move(), guides).in_memory()

    def filled(given: Guides, **settings: object) -> np.ndarray:
        wanted = GenerateRequest(given, move(), CLIP, {"mark_holes": 1.0, **settings})
        return np.asarray(get_engine("preview").generate(wanted))

    colour, more = whole(known, guides)
    more = np.stack([seen & opened(seen | mask) for seen, mask in zip(more, guides.mask, strict=True)])
    assert more[2:].mean() > 0.05
    out = filled(guides.with_known(known))
    np.testing.assert_array_equal(out[more], colour[more], "real pixels are neither tinted nor filled")
    tinted = (out == (255, 0, 128)).all(axis=-1)
    np.testing.assert_array_equal(tinted, ~(more | np.asarray(guides.mask)))
    off = filled(guides.with_known(known), known_first=False)
    assert (off[~np.asarray(guides.mask)] == (255, 0, 128)).all()


def test_points_of_it_that_would_flicker_are_filled_instead() -> None:
    guides, (at, block) = render_guides(DWMesh(CLIP), move(), rasterizer="cpu"), (10 * SIZE + 20, 40 * SIZE + 60)
    nothing = Guides(np.zeros_like(guides.colour), np.zeros_like(guides.mask))
    squares = [block + SIZE * i + j for i in range(3) for j in range(3)]
    where = np.array([at, *squares], np.int32)
    frame = KnownFrame(where, np.full((10, 3), 99, np.uint8), np.full((SIZE // 2, SIZE // 2), 5, np.float32))
    given = GenerateRequest(
        nothing.with_known(Known(FRAMES, lambda _: frame)), move(), CLIP, {"fill": "none", "mark_holes": 1.0}
    )
    shown = (np.asarray(get_engine("preview").generate(given))[0] == 99).all(axis=-1).reshape(-1)
    assert np.flatnonzero(shown).tolist() == squares


def test_the_depth_of_a_rim_is_that_of_what_stands_in_front() -> None:
    endless = DWMesh(CLIP)
    still = preset("static", num_frames=FRAMES, intrinsics=LENS, near_depth=5.0, source_time=np.arange(FRAMES) * 1.0)
    known = render_known(endless, still, render_guides(endless, still, rasterizer="cpu"))
    grown = (known.of(2).depth < 4).sum() * 4
    box = (CLIP.depth[2] < 4).sum()
    assert 1.15 * box < grown < 1.6 * box


def depth_of_still_move(clip: Clip, layer: KnownFrame | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Depth of the layer in frame 2, or of ``layer``, seen as it was filmed: as it is, and with ramps."""
    mesh = DWMesh(clip)
    still = preset("static", num_frames=FRAMES, intrinsics=LENS, near_depth=5.0, source_time=np.arange(FRAMES) * 1.0)
    guides = render_guides(mesh, still, rasterizer="cpu")
    known = render_known(mesh, still, guides)
    frame = layer or known.of(2)
    depth = GuideDepth(GenerateRequest(guides.with_known(known), still, clip, {}))
    lens = np.array([LENS.fx, LENS.fy, LENS.cx, LENS.cy]) / 2
    return frame.depth, np.asarray(depth.with_ramps(2, lens, np.eye(4), frame))


def smeared_clip() -> Clip:
    return replace(CLIP, depth=np.stack([1 / cv2.GaussianBlur(1 / each, (0, 0), 1.2) for each in CLIP.depth]))


def test_beside_a_thing_smeared_depth_is_the_nearer_one() -> None:
    layer, ramps = depth_of_still_move(smeared_clip())
    box = (CLIP.depth[2] < 4)[::2, ::2]
    reach = np.asarray(cv2.dilate(box.view(np.uint8), np.ones((9, 9), np.uint8))) > 0
    np.testing.assert_allclose(ramps[~reach], layer[~reach], rtol=1e-6)
    nearer = ramps < 0.95 * layer
    assert nearer.sum() > 0.2 * (reach & ~box).sum()
    assert (ramps <= layer * (1 + 1e-6)).all()


def test_sharp_depth_and_what_was_taken_out_of_the_mesh_stay_as_the_layer_has_them() -> None:
    layer, ramps = depth_of_still_move(CLIP)
    np.testing.assert_array_equal(ramps, layer)
    wall = KnownFrame(np.zeros(0, np.int32), np.zeros((0, 3), np.uint8), np.full((SIZE // 2,) * 2, 8, np.float32))
    layer, ramps = depth_of_still_move(smeared_clip(), wall)
    np.testing.assert_allclose(ramps, layer, rtol=1e-6)
