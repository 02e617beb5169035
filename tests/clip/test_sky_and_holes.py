"""Sky goes behind everything and is seen; holes are filled with what lies behind them; wrong units are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ex4d.clip import load_clip, read_depth, write_video
from ex4d.clip.depth_hints import border_hint, disparity_hint
from ex4d.dwmesh import DWMesh
from ex4d.guides import render_guides
from ex4d.sky import FRONT
from ex4d.trajectory import preset
from ex4d.types import Clip
from ex4d_ground.arrays import Float32
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import DepthError
from ex4d_ground.options import MeshOptions

H, W = 48, 64


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    frames = np.random.default_rng(0).integers(0, 255, (2, H, W, 3), dtype=np.uint8)
    write_video(tmp_path / "v.mkv", frames, fps=24, lossless=True)
    return tmp_path / "v.mkv"


def scene(sky: float, far: float = 6.0) -> Float32:
    """A near box before a far wall, under a sky."""
    depth = np.full((2, H, W), far, np.float32)
    depth[:, 16:36, 20:44] = 3
    depth[:, :12] = sky
    return depth


@pytest.mark.comes_in(
    "Depth", "sky: infinity, 65504, 1e10, 3.4e38, 65535, 1e6, or a renderer's own far distance",
    "just in front of the mesh's border, said once; the source camera sees all of it",
)  # fmt: skip
@pytest.mark.parametrize("sky", [np.inf, 65504, 1e10, 3.4e38, 65535, 1e6, 1e4, 1000, 99999])
@pytest.mark.parametrize("border", [100.0, 20.0])
def test_every_sky_lies_just_before_the_border_and_is_seen(footage: Path, sky: float, border: float) -> None:
    said: list[str] = []
    clip = load_clip(footage, scene(sky), on_note=said.append)
    mesh = DWMesh(clip, MeshOptions(mode="solid", border_depth=border))
    assert np.allclose(mesh.clip.depth[:, :12], FRONT * border)
    assert np.array_equal(mesh.clip.depth[:, 12:], scene(sky)[:, 12:])
    assert (render_guides(mesh, preset("static", clip)).coverage == 1).all()
    assert len(said) == 1
    assert said[0].startswith("25 % of the depth is sky (stored as ")


def test_sky_of_half_floats_and_of_scaled_depth_is_found(footage: Path, tmp_path: Path) -> None:
    with np.errstate(over="ignore"):
        np.savez(tmp_path / "half.npz", depth=scene(1e30).astype(np.float16))
    np.savez(tmp_path / "cm.npz", depth=(scene(655.04) * 100).astype(np.float32))
    for name, scale in (("half.npz", None), ("cm.npz", 0.01)):
        clip = load_clip(footage, tmp_path / name, depth_scale=scale)
        mesh = DWMesh(clip, MeshOptions(mode="solid"))
        assert mesh.clip.depth[0, 0, 0] == pytest.approx(FRONT * 100), name


def test_what_is_far_but_no_sky_stays_where_it_is(footage: Path) -> None:
    rng = np.random.default_rng(1)
    mountains = scene(6)
    mountains[:, :12] = rng.uniform(120, 400, (2, 12, W))
    wall = scene(150, far=120)  # a plain wall, not several times farther than what stands before it
    for depth in (mountains, wall, scene(90)):
        said: list[str] = []
        clip = load_clip(footage, depth, on_note=said.append)
        assert not [line for line in said if "sky" in line]
        assert np.array_equal(DWMesh(clip).clip.depth, depth)


def test_the_published_programs_far_value_stays_where_it_is() -> None:
    frames, lens = np.zeros((2, H, W, 3), np.uint8), Intrinsics.from_focal(W, H, 500)
    clip = Clip(frames, scene(10000), lens)  # as --parity makes it: nothing looks for sky
    assert np.array_equal(DWMesh(clip, MeshOptions.ex4d_parity()).clip.depth, scene(10000))


@pytest.mark.comes_in("Depth", "a clip that lies wholly behind the border (millimetres as metres)", "read, and said")
def test_a_clip_behind_the_border_says_so() -> None:
    found = border_hint(scene(np.inf) * 1000, 100.0, 1e6)
    assert found is not None
    assert found[0].startswith("100 % of the depth lies beyond the border at 100")
    assert "it begins at 3000" in found[0]
    assert "--depth_scale" in found[1].cli
    assert "Scale" in found[1].panel
    assert border_hint(scene(np.inf), 100.0, 1e6) is None


# -- holes: how they are filled stands in test_holes.py -------------------------------------------------------


@pytest.mark.comes_in("Depth", "whole numbers with holes at the type's maximum (65535)", "no depth there, as with zero")
def test_the_largest_whole_number_is_a_hole(footage: Path, tmp_path: Path) -> None:
    steps = (scene(6) * 1000).astype(np.uint16)
    steps[:, 20, 30:34] = 65535
    np.savez(tmp_path / "mm.npz", depth=steps)
    assert np.isnan(read_depth(tmp_path / "mm.npz", scale=0.001)[:, 20, 30:34]).all()
    with pytest.raises(DepthError, match="the largest number of its type says that there is no depth"):
        load_clip(footage, tmp_path / "mm.npz", depth_scale=0.001)
    clip = load_clip(footage, tmp_path / "mm.npz", depth_scale=0.001, fill_invalid=True)
    assert np.allclose(clip.depth, scene(6), atol=1e-3)


# -- disparity and sizes -------------------------------------------------------------------------------------


def room() -> Float32:
    y = np.mgrid[:96, :128].astype(np.float32)[0]
    depth = np.minimum(1.5 / np.maximum((y - 40) / 80, 1e-3), 9)  # a floor, a wall
    depth[20:80, 40:70] = 2.5
    return np.stack([depth, depth])


@pytest.mark.comes_in("Depth", "disparity (inverse depth) given as depth", "read, and a sentence that it looks so")
def test_disparity_given_as_depth_is_named(tmp_path: Path) -> None:
    assert disparity_hint(room()) == ""
    assert "looks like inverse depth" in disparity_hint(1 / room())
    frames = np.zeros((2, 96, 128, 3), np.uint8)
    write_video(tmp_path / "v.mkv", frames, fps=24, lossless=True)
    said: list[str] = []
    load_clip(tmp_path / "v.mkv", 1 / room(), on_note=said.append)
    assert [line for line in said if "looks like inverse depth (disparity)" in line]


@pytest.mark.comes_in("Depth", "another size than the video's (256x192 beside 1920x1440)", "resampled, edges kept")
def test_small_depth_is_brought_to_the_videos_size_with_its_edges(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mkv", np.zeros((2, 192, 256, 3), np.uint8), fps=24, lossless=True)
    y, x = np.mgrid[:48, :64].astype(np.float32)
    small = 1 / (0.2 + 0.004 * x + 0.002 * y)
    small[10:30, 20:40] = 1
    said: list[str] = []
    clip = load_clip(tmp_path / "v.mkv", np.stack([small, small]), on_note=said.append)
    assert said == ["The depth is 64x48 pixels; it is brought to the video's 256x192, its edges kept."]
    fine_y, fine_x = (np.mgrid[:192, :256].astype(np.float32) + 0.5) / 4 - 0.5
    plane = 1 / (0.2 + 0.004 * fine_x + 0.002 * fine_y)
    box = np.zeros((192, 256), bool)
    box[40:120, 80:160] = True
    assert (clip.depth[0][box] == 1).all()  # nothing in between, on either side of the edge
    inner = ~box[4:-4, 4:-4]
    assert np.allclose(clip.depth[0][4:-4, 4:-4][inner], plane[4:-4, 4:-4][inner], rtol=0.02)


@pytest.mark.comes_in("Depth", "another shape of picture than the video's", "refused before anything long is read")
def test_another_aspect_is_refused_before_the_depth_is_read(footage: Path, tmp_path: Path) -> None:
    from ex4d.progress import Progress

    np.savez(tmp_path / "square.npz", depth=np.ones((2, 48, 48), np.float32))
    seen: list[Progress] = []
    with pytest.raises(DepthError, match="is 48x48 pixels but the video is 64x48, which is another shape of picture"):
        load_clip(footage, tmp_path / "square.npz", on_progress=seen.append)
    assert seen == []


def test_holes_stay_holes_when_depth_is_enlarged(footage: Path) -> None:
    small = np.full((2, 24, 32), 4, np.float32)
    small[:, 5:9, 5:9] = np.nan
    with pytest.raises(DepthError, match="128 of 6144 pixels"):
        load_clip(footage, small)
    assert np.allclose(load_clip(footage, small, fill_invalid=True).depth, 4)
