"""``ex4d recon --parity`` gives what EX-4D's own program gave, within the bars of the golden README."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mask_bars import assert_masks_meet_the_bars

from ex4d.clip import read_video

from .conftest import golden_presets, write_pngs


@pytest.fixture(scope="module")
def rendered(golden_dir: Path, tmp_path_factory):
    """Run a preset once through the command line and keep what it wrote."""
    from ex4d.cli.app import main

    done: dict[str, tuple[Path, dict[str, np.ndarray]]] = {}

    def run(preset: str) -> tuple[Path, dict[str, np.ndarray]]:
        if preset not in done:
            folder = tmp_path_factory.mktemp(f"golden_{preset}")
            with np.load(golden_dir / f"recon_{preset}.npz") as archive:
                golden = {key: archive[key] for key in archive.files}
            write_pngs(folder / "frames", golden["frames"])
            np.savez(folder / "depth.npz", depth=golden["depth"])
            source = ["--input_video", str(folder / "frames"), "--depth", str(folder / "depth.npz"), "--cam", preset]
            # The golden pictures are those that the published program had after its input step.
            extras = ["--parity", "--keep_size", "--lossless", "--save_mesh", "--save_camera"]
            extras += ["--output_dir", str(folder / "out")]
            code = main(["recon", *source, *extras])
            assert code == 0
            done[preset] = (folder / "out", golden)
        return done[preset]

    return run


def a_preset() -> str:
    if not golden_presets():
        pytest.skip("EX4D_GOLDEN_DIR names no folder with golden recon data")
    return golden_presets()[0]


@pytest.mark.parametrize("preset", golden_presets())
def test_guides_meet_the_published_bars(rendered, preset: str) -> None:
    out, golden = rendered(preset)
    with np.load(out / f"guides_{preset}.npz") as archive:
        ours = archive["rgba"]
    theirs = golden["rgba"]
    assert ours.dtype == np.uint8
    assert ours.shape == theirs.shape
    assert np.array_equal(ours[0], theirs[0])
    a, b = ours[1:, ..., 3] > 127, theirs[1:, ..., 3] > 127
    assert_masks_meet_the_bars(a, b)
    both = a & b
    error = np.abs(ours[1:, ..., :3].astype(int) - theirs[1:, ..., :3])[both]
    assert error.mean() <= 1.0


@pytest.mark.parametrize("preset", golden_presets())
def test_the_saved_camera_is_the_published_one(rendered, preset: str) -> None:
    out, golden = rendered(preset)
    with np.load(out / f"camera_{preset}.npz") as archive:
        extrinsics, k = archive["extrinsics"], archive["intrinsics"]
    published = golden["view"].copy()
    published[:, :3] *= -1  # the published program saves its view matrices after flipping these rows in place
    assert np.abs(extrinsics - published).max() < 1e-4
    assert np.allclose(k, golden["K"])


def test_videos_show_what_the_lossless_guides_hold(rendered) -> None:
    preset = a_preset()
    out, golden = rendered(preset)
    colour, _ = read_video(out / f"color_{preset}.mp4")
    mask, _ = read_video(out / f"mask_{preset}.mp4")
    with np.load(out / f"guides_{preset}.npz") as archive:
        rgba = archive["rgba"]
    assert colour.shape == mask.shape == golden["frames"].shape
    assert (mask[..., 0] > 127).mean() == pytest.approx((rgba[..., 3] > 127).mean(), abs=0.01)
    assert (
        np.abs(colour.astype(int) - rgba[..., :3]).mean() < 8
    )  # the synthetic scene is noisy; 4:2:0 blurs its colours


def test_the_mesh_file_is_the_published_mesh(rendered) -> None:
    import trimesh

    preset = a_preset()
    out, golden = rendered(preset)
    mesh = trimesh.load(out / "DW-Mesh.ply", process=False)
    assert np.abs(np.asarray(mesh.vertices) - golden["vertices0"]).max() < 1e-5
    assert np.array_equal(mesh.faces, golden["faces0"])
    colors = np.asarray(mesh.visual.vertex_colors)
    assert np.array_equal(colors[:, :3], golden["colors0"][:, :3].astype(np.uint8))
    assert (colors[:, 3] == 255).all()  # as the published program writes them
