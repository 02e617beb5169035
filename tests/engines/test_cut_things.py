"""Things that the picture's edge cuts go on beyond it: in the place, with their own colours, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ex4d import Clip
from ex4d.clip import with_source_camera
from ex4d.dwmesh import DWMesh
from ex4d.engines import GenerateRequest, get_engine
from ex4d.engines.plane_share import going_on
from ex4d.engines.preview_painter import preview_frame
from ex4d.engines.preview_settings import preview_settings
from ex4d.fill import World, world_of
from ex4d.fill.outlines import THICK, cut_things
from ex4d.fill.world import Painted
from ex4d.guides import render_guides, render_known
from ex4d.trajectory import preset
from ex4d.types import Guides, Known
from ex4d_ground.arrays import Bool
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

SIZE, FRAMES = 128, 3
LENS = Intrinsics.from_fov(SIZE, SIZE)
WIDE = np.array([LENS.fx, LENS.fy, SIZE, SIZE])
"""A lens for pictures twice as large, with the clip's in the middle."""
FLOOR, WALL, NEAR = 1.5, 9.0, 3.0
DOWN = np.array([0.0, 1.0, 0.0])
YELLOW = np.array([240, 220, 40])


def seen(pose: np.ndarray, left: float, right: float, drop: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Colour [H, W, 3] and z-depth [H, W] of a floor and a wall with grain, and a yellow board that stands before them.

    The board reaches from ``left`` to ``right`` in the world.
    """
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([(x - LENS.cx) / LENS.fx, (y - LENS.cy) / LENS.fy, np.ones_like(x)], axis=-1) @ pose[:3, :3].T
    eye = pose[:3, 3]
    with np.errstate(divide="ignore"):
        to_floor = np.where(rays[..., 1] > 0, (FLOOR + drop - eye[1]) / rays[..., 1], np.inf)
    depth = np.minimum(to_floor, (WALL - eye[2]) / rays[..., 2])
    point = eye + rays * depth[..., None]
    tiles = 40 * ((np.floor(point[..., 0] / 0.5) + np.floor(point[..., 2] / 0.5)) % 2)
    colour = np.stack([90 + tiles, 100 + tiles, 160 - tiles], axis=-1)
    to_board = (NEAR - eye[2]) / rays[..., 2]
    place = eye + rays * to_board[..., None]
    board = (place[..., 0] > left) & (place[..., 0] < right) & (place[..., 1] > -0.5) & (place[..., 1] < FLOOR + drop)
    stripes = np.where(np.floor(place[..., 1:2] / 0.2) % 2 > 0, YELLOW, YELLOW - 40)
    return np.where(board[..., None], stripes, colour).astype(np.uint8), np.where(board, to_board, depth).astype("f4")


def edge() -> float:
    """The world's x of the picture's right edge where the board is."""
    return NEAR * (SIZE - LENS.cx) / LENS.fx


def clip(left: float = 0.6, right: float = 9.0, drop: float = 0.0) -> Clip:
    """The board's left side lies ``left`` of the picture's right edge, its right side ``right`` of its left one.

    Floor and board lie ``drop`` lower than they would: the board of a low floor is cut by the lower edge, too.
    """
    colour, depth = seen(np.eye(4), edge() - left, edge() - left + right, drop)
    return Clip(np.stack([colour] * FRAMES), np.stack([depth] * FRAMES), LENS)


def place_of(given: Clip) -> World:
    world = world_of(given)
    assert world is not None
    return world


def whole(world: World, pose: np.ndarray | None = None) -> Painted:
    """All that a wide lens sees of a place."""
    return world.paint(np.ones((2 * SIZE, 2 * SIZE), np.bool_), WIDE, np.eye(4) if pose is None else pose)


def move() -> Trajectory:
    times = np.arange(FRAMES, dtype=np.float64)
    return preset("orbit_left", num_frames=FRAMES, intrinsics=LENS, near_depth=NEAR, amount=30, source_time=times)


def request(given: Clip, **settings: object) -> GenerateRequest:
    mesh = DWMesh(given, MeshOptions(mode="solid"))
    guides = render_guides(mesh, move(), rasterizer="cpu")
    known = render_known(mesh, move(), guides)
    return GenerateRequest(guides.with_known(known), move(), given, settings)


def previewed(wanted: GenerateRequest) -> np.ndarray:
    return np.asarray(get_engine("preview").generate(wanted))


def without_things(world: World) -> World:
    none = world.things
    return replace(world, things=type(none).none())


def test_a_board_that_the_edge_cuts_goes_on_as_itself_and_closes() -> None:
    painted = whole(place_of(clip()))
    beyond = painted.on_thing.copy()
    beyond[:, : SIZE // 2 + SIZE] = False
    rows, columns = np.nonzero(beyond)
    cut = np.flatnonzero(clip().depth[0, :, -1] < NEAR + 0.1) + SIZE // 2
    thick = 0.6 * LENS.fx / NEAR
    assert 0.4 * THICK * thick < columns.max() - (SIZE // 2 + SIZE) < 1.3 * THICK * thick
    assert rows.min() > cut.min() - 0.2 * len(cut) and rows.max() < cut.max() + 0.2 * len(cut)
    heights = beyond.sum(axis=0)[SIZE // 2 + SIZE : columns.max() + 1]
    assert heights[0] > 0.85 * len(cut) and heights[-1] < 0.6 * heights[0], "it becomes narrower, and is no rectangle"
    assert np.abs(np.median(painted.colour[beyond], axis=0) - YELLOW + 20).max() < 25
    np.testing.assert_allclose(1 / painted.inverse[beyond], NEAR, rtol=0.1)
    striped = painted.colour[: beyond.shape[0], SIZE // 2 + SIZE + 3, 0][beyond[:, SIZE // 2 + SIZE + 3]]
    assert striped.std() > 10, "with its own texture"


def test_a_board_in_the_pictures_corner_goes_on_round_it() -> None:
    painted = whole(place_of(clip(drop=1.0)))
    middle = painted.on_thing[SIZE // 2 : SIZE // 2 + SIZE, SIZE // 2 : SIZE // 2 + SIZE]
    board = clip(drop=1.0).depth[0] < NEAR + 0.1
    assert board[-1, -1] and not middle[~board].any(), "where the clip shows something else, there is none of it"
    assert painted.on_thing[: SIZE // 2 + SIZE, SIZE // 2 + SIZE + 2].any(), "to the right"
    assert painted.on_thing[SIZE // 2 + SIZE + 2, : SIZE // 2 + SIZE].any(), "below"
    assert painted.on_thing[SIZE // 2 + SIZE + 2, SIZE // 2 + SIZE + 2], "and between"


@pytest.mark.parametrize(
    ("left", "right"), [(1.6, 0.7), (-0.1, 1.0)], ids=["whole in the picture", "outside the picture"]
)
def test_what_is_not_cut_goes_on_nowhere(left: float, right: float) -> None:
    world = place_of(clip(left, right))
    assert not len(world.things.numbers) and not whole(world).on_thing.any()


def test_floor_and_walls_are_no_things_also_where_no_plane_was_found() -> None:
    depth = np.asarray(clip(-0.1).depth[0])
    y, x = np.mgrid[:SIZE, :SIZE]
    hills = (1 / depth * (1 + 0.3 * np.sin(x / 9) * np.cos(y / 7))).astype(np.float32)
    far = np.full_like(depth, 1 / 100)
    assert cut_things(hills, far, np.array([LENS.fx, LENS.fy, LENS.cx, LENS.cy]), DOWN) == []


def test_a_table_that_the_edge_cuts_goes_on_level() -> None:
    given, height = clip(-1.0), 0.7
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    down = (y - LENS.cy) / LENS.fy
    top = height / np.maximum(down, 1e-6)
    right = (x - LENS.cx) / LENS.fx * top
    on = (down > 0) & (right > 0.3) & (right < 3) & (top > 2.2) & (top < 3.6)
    frames, depth = np.where(on[..., None], YELLOW, given.frames).astype(np.uint8), np.where(on, top, given.depth)
    painted = whole(place_of(Clip(frames, depth.astype(np.float32), LENS)))
    beyond = painted.on_thing[:, SIZE // 2 + SIZE + 1 :]
    assert beyond.sum() > 0.2 * on.sum()
    down = (np.arange(2 * SIZE)[:, None] + 0.5 - SIZE) / LENS.fy / painted.inverse[:, SIZE // 2 + SIZE + 1 :]
    np.testing.assert_allclose(down[beyond], height, rtol=0.05)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 9), (3, 5), (8, 8), (17, 40)])
def test_of_tiny_pictures_too_something_is_painted(height: int, width: int) -> None:
    rng = np.random.default_rng(height * width)
    for _ in range(12):
        lens, depth = Intrinsics.from_fov(width, height), np.full((height, width), 9.0, np.float32)
        depth[rng.integers(0, height) :, rng.integers(0, width) :] = rng.uniform(0.3, 6)
        frame = rng.integers(0, 255, (1, height, width, 3), np.uint8)
        painted = whole(place_of(Clip(frame, depth[None], lens)))
        assert np.isfinite(painted.colour).all() and np.isfinite(painted.inverse).all()


@pytest.mark.parametrize(("height", "width"), [(3, 1280), (1280, 3)])
def test_of_a_narrow_picture_that_is_looked_at_as_a_line_too(height: int, width: int) -> None:
    depth = np.full((1, height, width), 9.0, np.float32)
    depth[:, height // 2 :, width // 2 :] = 2
    frame = np.random.default_rng(0).integers(0, 255, (1, height, width, 3), np.uint8)
    painted = whole(place_of(Clip(frame, depth, Intrinsics.from_fov(width, height))))
    assert np.isfinite(painted.colour).all() and painted.inverse.max() > 0


def test_it_stands_still_in_the_world_wherever_it_is_seen_from() -> None:
    world, pose = place_of(clip()), np.eye(4)
    pose[:3, 3] = 0.5, -0.1, -0.3
    one, other = whole(world), whole(world, pose)
    rows, columns = np.nonzero(one.on_thing)
    depth = 1 / one.inverse[rows, columns].astype(np.float64)
    point = np.stack([(columns + 0.5 - SIZE) / LENS.fx, (rows + 0.5 - SIZE) / LENS.fy, np.ones(len(rows))]) * depth
    x, y, z = point - pose[:3, 3:]
    u, v = np.floor(x / z * LENS.fx + SIZE).astype(int), np.floor(y / z * LENS.fy + SIZE).astype(int)
    met = other.on_thing[v, u]
    assert met.mean() > 0.9
    np.testing.assert_allclose(other.inverse[v, u][met], 1 / z[met], rtol=0.02)
    change = np.abs(other.colour[v, u] - one.colour[rows, columns]).mean(axis=1)[met]
    assert np.median(change) < 4


def test_of_a_clip_filmed_by_hand_it_stands_in_the_steady_world() -> None:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = 0.2 * np.array([0.0, 0.5, 1.0, 0.5, 0.0])
    frames, depths = zip(*(seen(pose, edge() - 0.4, edge() + 9) for pose in poses), strict=True)
    camera = SourceCamera.of(poses, np.tile([LENS.fx, LENS.fy, LENS.cx, LENS.cy], (5, 1)), size=(SIZE, SIZE))
    painted = whole(place_of(with_source_camera(Clip(np.stack(frames), np.stack(depths), LENS), camera)))
    assert painted.on_thing.any()
    _, columns = np.nonzero(painted.on_thing)
    # The middle frame, which stands 0.2 to the right, shows the board up to its own edge.
    assert columns.max() > SIZE + (edge() + 0.2) / NEAR * LENS.fx
    np.testing.assert_allclose(1 / painted.inverse[painted.on_thing], NEAR, rtol=0.1)


def test_a_preview_shows_it_in_holes_and_changes_nothing_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    given = clip()
    world, wanted = place_of(given), request(given, temporal=0.0)
    guides = [np.array(wanted.guides.colour), np.array(wanted.guides.mask)]
    out = previewed(wanted)
    monkeypatch.setattr("ex4d.engines.world_fill.world_of", lambda *_: without_things(world))
    before = previewed(wanted)
    shown = _shown(wanted.guides)
    np.testing.assert_array_equal(out[shown], before[shown])
    changed = (out != before).any(axis=-1)
    assert changed[-1].mean() > 0.01
    assert np.abs(out[changed].astype(float) - (YELLOW - 20)).mean() < np.abs(before[changed] - (YELLOW - 20.0)).mean()
    for each, now in zip(guides, (wanted.guides.colour, wanted.guides.mask), strict=True):
        np.testing.assert_array_equal(each, np.asarray(now))


def test_it_leaves_no_trail_where_the_frame_before_showed_it() -> None:
    given = clip()
    times = np.zeros(6)
    back = preset("zoom_out", num_frames=6, intrinsics=LENS, near_depth=NEAR, amount=3.0, source_time=times)
    mesh, world = DWMesh(given, MeshOptions(mode="solid")), place_of(given)
    guides = render_guides(mesh, back, rasterizer="cpu")
    known = guides.with_known(render_known(mesh, back, guides))
    yellow = previewed(GenerateRequest(known, back, given, {"temporal": 0.9}))[..., 2] < 90
    everywhere, beyond = np.ones((SIZE, SIZE), np.bool_), 0
    for i in range(len(back)):
        there = world.paint(everywhere, back.intrinsics[i], back.world_from_camera[i]).on_thing
        there |= np.array(guides.mask[i]) & yellow[i]
        assert not (yellow[i] & ~(cv2.dilate(there.view(np.uint8), np.ones((5, 5), np.uint8)) > 0)).any()
        beyond += (yellow[i] & ~np.array(guides.mask[i])).sum()
    assert beyond > 100, "it goes on"


def _shown(guides: Guides) -> Bool:  # [N, H, W]
    """What the guides show, and the second layer but for its points, which previews leave out."""
    shown = np.array(guides.mask)
    assert guides.known is not None
    for i, mask in enumerate(shown):
        layer = mask.astype(np.uint8)
        layer.reshape(-1)[guides.known.of(i).where] = 1
        mask |= cv2.morphologyEx(layer, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    return shown


def test_what_falls_on_it_counts_as_invented() -> None:
    world = place_of(clip())
    holes = np.zeros((2 * SIZE, 2 * SIZE), np.bool_)
    with_it, without = (going_on(each, holes, WIDE, np.eye(4)) for each in (world, without_things(world)))
    step = holes.shape[0] // len(with_it)
    on_thing = whole(world).on_thing[step // 2 :: step, step // 2 :: step]
    assert not with_it[on_thing].any() and without[on_thing].any()
    np.testing.assert_array_equal(with_it[~on_thing], without[~on_thing])


def test_a_live_picture_is_the_takes_frame() -> None:
    given = clip()
    wanted = request(given, temporal=0.0)
    world, settings, take = place_of(given), preview_settings({"temporal": 0.0}), previewed(wanted)
    assert len(world.things.numbers)
    for i in range(FRAMES):
        known = wanted.guides.known
        assert known is not None
        one, moved = slice(i, i + 1), wanted.trajectory
        arrays = moved.world_from_camera[one], moved.intrinsics[one], moved.source_time[one]
        guides = Guides(np.asarray(wanted.guides.colour[one]), np.asarray(wanted.guides.mask[one]))
        guides = guides.with_known(Known(1, lambda _, i=i, known=known: known.of(i)))
        alone = GenerateRequest(guides, Trajectory(*arrays, SIZE, SIZE), given)
        np.testing.assert_array_equal(preview_frame(alone, settings, world), take[i])
