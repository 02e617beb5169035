"""The guides' second layer: what the clip itself shows of a move, for previews alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ex4d import Clip, Guides
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, get_engine
from ex4d.guides import GuideObject, known_mesh, render_guides, render_known
from ex4d.shots.draw import draw_shot
from ex4d.trajectory import preset, source_times
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions

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


def test_it_shows_what_an_endless_mesh_and_one_frame_hide() -> None:
    endless = DWMesh(CLIP)
    guides, known = render_guides(endless, move(), rasterizer="cpu"), render_known(endless, move())
    more = np.asarray(known.mask) & ~np.asarray(guides.mask)
    assert more[2:].mean() > 0.05
    bluish = np.asarray(known.colour)[more].astype(int)
    assert (bluish[:, 2] > bluish[:, 0]).mean() > 0.8, "the wall, not the box"
    depth = np.asarray(known.depth)
    assert (depth[np.asarray(known.mask)] > 1).all() and (depth[~np.asarray(known.mask)] == 0).all()


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
    assert later is not None and len(later.mask) == FRAMES - 2


def test_objects_stand_in_it_as_in_the_guides() -> None:
    corners = np.array([[-3, -3, 2.5], [3, -3, 2.5], [3, 3, 2.5], [-3, 3, 2.5]], np.float32)
    holdout = GuideObject(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    assert not np.asarray(render_known(DWMesh(CLIP), move(), objects=[holdout]).mask)[0].any()


def test_edits_of_the_mesh_are_in_it() -> None:
    lifted = DWMesh(CLIP).vertices(3) * np.float32(2)
    edited = render_known(DWMesh(CLIP, vertex_overrides={3: lifted}), move())
    plain = render_known(DWMesh(CLIP), move())
    middle = SIZE // 2
    ratio = np.asarray(edited.depth)[3, middle, -8] / np.asarray(plain.depth)[3, middle, -8]
    assert 1.8 < ratio < 2.2
    np.testing.assert_array_equal(np.asarray(edited.depth)[1], np.asarray(plain.depth)[1])


def test_a_camera_that_moves_unknown_goes_without_other_frames() -> None:
    rng = np.random.default_rng(0)
    shaken = replace(CLIP, frames=rng.integers(0, 255, CLIP.frames.shape, np.uint8))
    assert not known_mesh(DWMesh(shaken)).options.other_frames
    assert known_mesh(DWMesh(CLIP)).options.other_frames
    already = DWMesh(CLIP, MeshOptions(mode="solid", other_frames=True))
    assert known_mesh(already) is already


def test_a_preview_shows_it_as_it_is_and_fills_the_rest() -> None:
    mesh = DWMesh(CLIP)
    guides, known = render_guides(mesh, move(), rasterizer="cpu"), render_known(mesh, move())

    def filled(given: Guides, **settings: object) -> np.ndarray:
        wanted = GenerateRequest(given, move(), CLIP, {"mark_holes": 1.0, **settings})
        return np.asarray(get_engine("preview").generate(wanted))

    more = np.asarray(known.mask) & ~np.asarray(guides.mask)
    out = filled(guides.with_known(known))
    np.testing.assert_array_equal(
        out[more], np.asarray(known.colour)[more], "real pixels are neither tinted nor filled"
    )
    tinted = (out == (255, 0, 128)).all(axis=-1)
    np.testing.assert_array_equal(tinted, ~(np.asarray(known.mask) | np.asarray(guides.mask)))
    off = filled(guides.with_known(known), known_first=False)
    assert (off[~np.asarray(guides.mask)] == (255, 0, 128)).all()
