"""The published program's numbers, through the public API. Every setting comes from the folder's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mask_bars import assert_masks_meet_the_bars
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions, RasterOptions

from .conftest import GOLDEN

PRESETS = json.loads((GOLDEN / "recon" / "config.json").read_text())["presets"]


@pytest.fixture(scope="module")
def config(recon_dir: Path) -> dict[str, Any]:
    return json.loads((recon_dir / "config.json").read_text())


@pytest.fixture(scope="module", params=PRESETS)
def golden(request: pytest.FixtureRequest, recon_dir: Path) -> dict[str, np.ndarray]:
    with np.load(recon_dir / f"recon_{request.param}.npz") as data:
        return dict(data)


@pytest.fixture(scope="module")
def mesh(golden: dict[str, np.ndarray], config: dict[str, Any]) -> DWMesh:
    k, (_, height, width, _) = golden["K"], golden["frames"].shape
    lens = Intrinsics(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), width, height)
    options = structs.replace(
        MeshOptions.ex4d_parity(), border_depth=config["border_depth"], min_angle_deg=config["min_angle_deg"]
    )
    return DWMesh(Clip(golden["frames"], golden["depth"], lens), options)


def test_vertices_are_the_published_ones(mesh: DWMesh, golden: dict[str, np.ndarray]) -> None:
    assert np.abs(mesh.vertices(0) - golden["vertices0"]).max() <= 1e-5


def test_faces_are_the_published_ones(mesh: DWMesh, golden: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(mesh.faces, golden["faces0"])


def test_colours_are_the_published_ones(mesh: DWMesh, golden: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(mesh.colors(0), golden["colors0"])


def test_guides_agree_with_the_published_ones(
    mesh: DWMesh, golden: dict[str, np.ndarray], config: dict[str, Any]
) -> None:
    # Golden view rows are right, up, forward with right = -x: one sign turns them into OpenCV axes.
    world_from_camera = np.linalg.inv(np.diag([-1.0, 1, 1, 1]) @ golden["view"].astype(np.float64))
    k, n = mesh.clip.intrinsics, len(world_from_camera)
    lens = np.tile([k.fx, k.fy, k.cx, k.cy], (n, 1))
    trajectory = Trajectory(world_from_camera, lens, np.arange(n, dtype=float), k.width, k.height)
    options = structs.replace(
        RasterOptions.ex4d_parity(),
        near=config["near"], far=config["far"], mask_threshold=config["mask_threshold"],
    )  # fmt: skip
    guides = render_guides(mesh, trajectory, options=options, source_first_frame=True)

    wanted = golden["rgba"]
    np.testing.assert_array_equal(guides.rgba[0], wanted[0])
    wanted_mask = wanted[..., 3] > 0
    assert_masks_meet_the_bars(guides.mask[1:], wanted_mask[1:])
    both = guides.mask & wanted_mask
    for t in range(1, n):
        error = np.abs(guides.colour[t].astype(int) - wanted[t, ..., :3])[both[t]]
        assert error.size == 0 or error.mean() <= 1.0
