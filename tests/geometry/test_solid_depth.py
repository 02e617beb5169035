"""Solid meshes of imperfect depth: round outlines, smeared edges, depth that wavers, edits on top of all that."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.dwmesh.sharpen import is_smeared, roughness, sharpened, smear_px
from ex4d.dwmesh.still import is_still, wavers
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.options import MeshOptions

from .conftest import make_clip

SOLID = MeshOptions(mode="solid", border_depth=40.0)
SIZE = 96
CENTRE, RADIUS, WALL = 5.0, 1.5, 12.0


def ball_depth() -> Float32:  # [1, H, W]
    """A ball in the middle before a wall."""
    k = make_clip(depth=np.ones((1, SIZE, SIZE), np.float32)).intrinsics
    x = (np.arange(SIZE) + 0.5 - k.cx) / k.fx
    y = (np.arange(SIZE) + 0.5 - k.cy) / k.fy
    square = 1 + x[None, :] ** 2 + y[:, None] ** 2
    root = CENTRE**2 - square * (CENTRE**2 - RADIUS**2)
    depth = np.where(root > 0, (CENTRE - np.sqrt(np.maximum(root, 0))) / square, WALL)
    return depth.astype(np.float32)[None]


def still_clip(factors: list[float]) -> Clip:
    """One textured picture for all frames; its depth is scaled by a factor in each."""
    depth = np.concatenate([ball_depth() * f for f in factors]).astype(np.float32)
    clip = make_clip(1, depth=depth)
    return replace(clip, frames=np.repeat(clip.frames[:1], len(factors), axis=0))


def test_a_round_thing_goes_on_to_its_outline() -> None:
    """The pieces behind a ball's last pixels come nearer to where it truly ends than these pixels do."""
    depth = ball_depth()
    mesh = DWMesh(make_clip(depth=depth), SOLID)
    surface = mesh.surface(0)
    outline = (CENTRE**2 - RADIUS**2) / CENTRE
    pixels = depth[depth < WALL - 1]
    pieces = surface.vertices[(SIZE + 2) ** 2 :, 2][surface.colors[(SIZE + 2) ** 2 :, 3] > 0]
    ends = np.sort(pieces[pieces < WALL - 1])
    last = np.sort(pixels)[-60:]
    assert np.abs(ends[-60:] - outline).mean() < 0.6 * np.abs(last - outline).mean()
    assert ends.max() < outline + 0.1


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.4])
def test_the_width_of_a_gaussian_smear_is_found_and_undone(sigma: float) -> None:
    depth = ball_depth()
    depth[0, :, 12:15] = 3.0  # a thin pole, which smearing pushes back
    smeared = (1 / cv2.GaussianBlur(1 / depth[0], (0, 0), sigma)).astype(np.float32)
    found = smear_px(smeared[None])
    assert is_smeared(smeared[None])
    assert found == pytest.approx(sigma, abs=0.2)

    def wrong(d: Float32) -> float:
        return float((np.abs(d / depth[0] - 1) > 0.1).mean())

    assert wrong(sharpened(smeared, found)) < 0.5 * wrong(smeared)
    assert np.median(np.abs(sharpened(smeared, found)[10:-10, 13] - 3.0)) < np.median(np.abs(smeared[10:-10, 13] - 3.0))


def test_a_smear_of_another_kind_is_only_split_into_sides() -> None:
    inverse = 1 / ball_depth()[0]
    half = cv2.resize(inverse, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    depth = (1 / cv2.resize(half, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)).astype(np.float32)
    assert is_smeared(depth[None])
    assert smear_px(depth[None]) == 0.0
    middle = (depth > CENTRE + 1) & (depth < WALL - 2)
    assert middle.sum() > 50
    after = sharpened(depth, 0.0)
    assert ((after > CENTRE + 1) & (after < WALL - 2)).sum() < 0.3 * middle.sum()


def test_depth_that_wavers_before_a_still_camera_is_steadied_and_steady_depth_kept() -> None:
    factors = [1.0, 1.04, 0.97, 1.02, 0.96]
    wavering, steady = still_clip(factors), still_clip([1.0] * 5)
    assert wavers(wavering)
    assert not wavers(steady)

    def spread(clip: Clip, options: MeshOptions) -> float:
        z = np.stack([DWMesh(clip, options).surface(t).vertices[: (SIZE + 2) ** 2, 2] for t in range(5)])
        return float(np.median(np.ptp(z, axis=0) / z.mean(axis=0)))

    assert spread(wavering, structs.replace(SOLID, steady_depth="off")) == pytest.approx(0.08, abs=0.01)
    assert spread(wavering, SOLID) == 0.0
    as_given = DWMesh(steady, structs.replace(SOLID, steady_depth="off")).surface(2).vertices
    np.testing.assert_array_equal(DWMesh(steady, SOLID).surface(2).vertices, as_given)


def test_a_moving_camera_and_changing_pictures_are_not_taken_for_still() -> None:
    clip = still_clip([1.0, 1.04, 0.97, 1.02])
    panned = replace(clip, frames=np.stack([np.roll(f, 7 * t, axis=1) for t, f in enumerate(clip.frames)]))
    assert is_still(clip.frames)
    assert not is_still(panned.frames)
    assert not is_still(clip.frames[:1])
    assert not wavers(panned)


def test_rough_depth_raises_the_jump_that_makes_an_edge() -> None:
    """Per-pixel noise of one per cent does not cut a wall to pieces."""
    rng = np.random.default_rng(0)
    wall = np.full((1, SIZE, SIZE), WALL, np.float32)
    noisy = (wall * (1 + 0.01 * rng.standard_normal(wall.shape))).astype(np.float32)
    assert roughness(wall) == 0.0
    assert roughness(noisy) == pytest.approx(0.0082, rel=0.1)
    assert DWMesh(make_clip(depth=noisy), SOLID).face_occluded(0).mean() < 0.12


def test_an_edit_moves_its_own_vertices_and_the_rest_stays_steady_and_sharp() -> None:
    clip = still_clip([1.0, 1.04, 0.97, 1.02, 0.96])
    given = DWMesh(clip, SOLID).vertices(1)
    edited = given.copy().reshape(SIZE, SIZE, 3)
    edited[40:44, 40:44] *= 0.5
    plain, mesh = DWMesh(clip, SOLID), DWMesh(clip, SOLID, vertex_overrides={1: edited.reshape(-1, 3)})
    before, after = (m.surface(1).vertices[: (SIZE + 2) ** 2, 2].reshape(SIZE + 2, SIZE + 2) for m in (plain, mesh))
    changed = before != after
    assert changed[41:45, 41:45].all()
    assert changed.sum() == 16
    assert after[42, 42] == pytest.approx(0.5 * clip.depth[1, 41, 41])
