"""Objects beside the clip's mesh: known colour, or holes exactly where they block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.guides.objects import GuideObject
from ex4d_ground.errors import ShapeError
from ex4d_ground.options import MeshOptions

from .conftest import make_clip, make_trajectory

BOX_FACES = np.array(
    [(0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4),
     (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5)], np.int32,
)  # fmt: skip
RED = np.array((200, 30, 10), np.uint8)
MODES = [MeshOptions(), MeshOptions(mode="solid")]


def either_way(test: Callable[..., None]) -> Callable[..., None]:
    """In both modes, with faces wound one way and the other."""
    test = pytest.mark.parametrize("options", MODES, ids=lambda o: o.mode)(test)
    return pytest.mark.parametrize("faces", [BOX_FACES, BOX_FACES[:, ::-1].copy()], ids=["wound", "turned"])(test)


def box(z: float, half: float = 0.3, x: float = 0.0) -> np.ndarray:  # [8, 3]
    corners = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float32)
    return corners * np.float32(half) + np.float32((x, 0, z))


def red(vertices: np.ndarray) -> np.ndarray:
    return np.tile(RED, (vertices.shape[-2], 1))


def front_square(clip, vertices: np.ndarray) -> np.ndarray:  # [H, W]
    """Pixels whose centre a box before the camera covers: its near side hides the others."""
    k = clip.intrinsics
    near = vertices[vertices[:, 2] == vertices[:, 2].min()]
    x, y = near[:, 0] / near[:, 2] * k.fx + k.cx, near[:, 1] / near[:, 2] * k.fy + k.cy
    columns, rows = np.arange(clip.width) + 0.5, np.arange(clip.height) + 0.5
    return ((rows > y.min()) & (rows < y.max()))[:, None] & ((columns > x.min()) & (columns < x.max()))


@pytest.fixture
def scene():
    clip = make_clip(frames=3, height=48, width=64)
    return clip, make_trajectory(clip, np.tile(np.eye(4), (3, 1, 1)))


@either_way
def test_a_holdout_is_a_hole_of_exactly_its_silhouette(scene, options, faces) -> None:
    clip, trajectory = scene
    vertices = box(2.0)
    before = render_guides(DWMesh(clip, options), trajectory)
    after = render_guides(DWMesh(clip, options), trajectory, objects=[GuideObject(vertices, faces)])
    hole = front_square(clip, vertices)
    assert hole.sum() > 100
    for i in range(3):
        assert not after.mask[i][hole].any() and not after.colour[i][hole].any()
        np.testing.assert_array_equal(after.mask[i][~hole], before.mask[i][~hole])
        np.testing.assert_array_equal(after.colour[i][~hole], before.colour[i][~hole])


@either_way
def test_an_object_with_colour_counts_as_seen_whichever_way_its_faces_are_round(scene, options, faces) -> None:
    clip, trajectory = scene
    vertices = box(2.0)
    guides = render_guides(DWMesh(clip, options), trajectory, objects=[GuideObject(vertices, faces, red(vertices))])
    shown = front_square(clip, vertices)
    assert guides.mask[:, shown].all()
    assert (guides.colour[:, shown] == RED).all()


def test_what_stands_behind_the_mesh_changes_nothing(scene) -> None:
    clip, trajectory = scene
    vertices = box(30.0)
    before = render_guides(DWMesh(clip), trajectory)
    after = render_guides(DWMesh(clip), trajectory, objects=[GuideObject(vertices, BOX_FACES, red(vertices))])
    assert after.colour.tobytes() == before.colour.tobytes() and after.mask.tobytes() == before.mask.tobytes()


def test_an_object_that_moves_is_where_it_is_in_each_output_frame_and_waits_through_a_lead_in(scene) -> None:
    clip, trajectory = scene
    places = np.stack([box(2.0, 0.2, x) for x in (-0.5, 0.0, 0.5)])
    moving = GuideObject(places, BOX_FACES)
    still = [GuideObject(place, BOX_FACES) for place in places]
    mesh = DWMesh(clip)
    alone = [render_guides(mesh, trajectory, objects=[each]) for each in still]
    together = render_guides(mesh, trajectory, objects=[moving])
    for i in range(3):
        np.testing.assert_array_equal(together.mask[i], alone[i].mask[i])
    later = GuideObject(places[:2], BOX_FACES).after(1)
    led = render_guides(mesh, trajectory, objects=[later])
    for i, place in enumerate((0, 0, 1)):
        np.testing.assert_array_equal(led.mask[i], alone[place].mask[i])


def test_the_nearer_of_two_objects_decides(scene) -> None:
    clip, trajectory = scene
    near, far = box(1.5, 0.1), box(2.5, 0.4)
    guides = render_guides(
        DWMesh(clip), trajectory, objects=[GuideObject(near, BOX_FACES), GuideObject(far, BOX_FACES, red(far))]
    )
    hole, shown = front_square(clip, near), front_square(clip, far)
    assert not guides.mask[0][hole].any()
    assert (guides.colour[0][shown & ~hole] == RED).all()


def test_what_does_not_fit_is_one_sentence(scene) -> None:
    clip, trajectory = scene
    mesh, good = DWMesh(clip), box(2.0)
    with pytest.raises(ShapeError, match="positions for 2 frames, but 3 are drawn"):
        render_guides(mesh, trajectory, objects=[GuideObject(np.stack([good, good]), BOX_FACES, name="Cube")])
    with pytest.raises(ShapeError, match=r"refer to vertices 0\.\.9, it has 8"):
        GuideObject(good, np.array([(0, 1, 9)], np.int32))
    with pytest.raises(ShapeError, match="NaN or infinity"):
        GuideObject(good * np.float32(np.nan), BOX_FACES)
    with pytest.raises(ShapeError, match=r"must be uint8 \[8, 3\]"):
        GuideObject(good, BOX_FACES, np.zeros((7, 3), np.uint8))
