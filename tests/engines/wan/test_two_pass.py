"""Pictures beyond the model's own size: a first pass, then tiles that leave no seams."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from wan_golden import CPU, Golden
from wan_requests import make_request

from ex4d.engines.wan import WanEngine, tiles
from ex4d.engines.wan.denoiser import FLOAT32, Conditions, WanDenoiser
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.engines.wan.passes import enlarged, smaller_guides
from ex4d.engines.wan.sampling import Mosaic
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.tiles import NATIVE, OVERLAP, Layout, layout
from ex4d.progress import CancelToken, Progress
from ex4d.weights.adapters import load_ex4d
from ex4d.weights.components import open_part
from ex4d_ground.errors import Cancelled, SettingError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4096), st.integers(1, 4096))
def test_tiles_cover_the_picture_and_share_enough(width: int, height: int) -> None:
    way = layout(width, height)
    assert 0 <= way.width - width < 16 and 0 <= way.height - height < 16
    covered = np.zeros((way.height // 16, way.width // 16), bool)
    for tile in way.tiles:
        edges = (tile.top, tile.bottom, tile.left, tile.right)
        assert all(edge % 16 == 0 for edge in edges)
        assert (tile.right - tile.left, tile.bottom - tile.top) == way.tile_size
        assert tile.top >= 0 and tile.left >= 0
        covered[tile.top // 16 : tile.bottom // 16, tile.left // 16 : tile.right // 16] = True
    assert covered.all()
    if way.first is None:
        assert len(way.tiles) == 1 and way.width * way.height <= NATIVE[0] * NATIVE[1]
        return
    assert len(way.tiles) > 1
    for pixels in (way.first[0] * way.first[1], way.tile_size[0] * way.tile_size[1]):
        assert pixels <= NATIVE[0] * NATIVE[1]
    assert way.first[0] % 16 == 0 and way.first[1] % 16 == 0
    for starts, size in zip(_starts(way), way.tile_size, strict=True):
        assert all(after - before <= size - OVERLAP for before, after in itertools.pairwise(starts))


def _starts(way: Layout) -> tuple[list[int], list[int]]:
    return sorted({tile.left for tile in way.tiles}), sorted({tile.top for tile in way.tiles})


def test_sizes_without_sense_are_refused() -> None:
    with pytest.raises(SettingError, match="between 1 and 8192 pixels a side, got 9000x64"):
        layout(9000, 64)


def test_up_to_the_models_size_there_is_one_pass_and_beyond_only_if_allowed() -> None:
    assert layout(1280, 720).first is None and layout(720, 1280).first is None
    assert layout(2048, 1152).first == (1280, 720)
    assert layout(2048, 1152, two_pass=False).first is None


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that makes 64x48 pixels at once."""
    monkeypatch.setattr(tiles, "NATIVE", (64, 48))
    monkeypatch.setattr(tiles, "OVERLAP", 32)


@pytest.mark.usefixtures("small_limits")
def test_a_large_odd_picture_comes_back_as_asked_the_same_twice(engine: WanEngine) -> None:
    stages: list[str] = []
    sent: list[int] = []
    request = make_request(7, 58, 90, seed=2)
    frames = engine.generate(
        request, on_frame=lambda i, frame: sent.append(i), on_progress=lambda p: stages.append(p.stage)
    )
    assert frames.shape == (7, 58, 90, 3) and sent == list(range(7))
    assert {"denoising (first pass, window 1 of 2)", "denoising (second pass, window 2 of 2)"} <= set(stages)
    assert np.array_equal(engine.generate(request), frames)
    other = engine.generate(replace(request, settings={**request.settings, "memory": "offload"}))
    assert np.abs(other.astype(int) - frames).max() <= 1


def test_a_refining_schedule_ends_like_the_whole_one_and_begins_from_the_picture_at_its_noise() -> None:
    whole = Schedule.shifted(25)
    part = whole.last(8)
    assert len(part) == 8 and torch.equal(part.sigmas, whole.sigmas[-8:])
    picture, noise = torch.full((2, 2), 3.0), torch.full((2, 2), -1.0)
    sigma = float(part.sigmas[0])
    torch.testing.assert_close(part.noised(picture, noise), (1 - sigma) * picture + sigma * noise)
    # A direction that points straight from the picture to the noise leads back to the picture.
    latents = part.noised(picture, noise)
    for step in range(len(part)):
        latents = part.step(latents, noise - picture, step)
    torch.testing.assert_close(latents, picture)


@pytest.mark.usefixtures("small_limits")
def test_cancel_stops_between_two_tiles(engine: WanEngine) -> None:
    cancel, seen = CancelToken(), []

    def on_progress(progress: Progress) -> None:
        if progress.stage == "denoising (second pass)" and progress.done:
            seen.append((progress.done, progress.total))
            cancel.cancel()

    with pytest.raises(Cancelled):
        engine.generate(make_request(5, 48, 96), on_progress=on_progress, cancel=cancel)
    assert seen == [(1, 2)]  # one step of the second pass, two tiles


def test_smaller_guides_show_the_mean_of_what_is_visible() -> None:
    colour = np.zeros((1, 4, 8, 3), np.uint8)
    mask = np.zeros((1, 4, 8), bool)
    colour[:, :, :5], mask[:, :, :5] = 200, True
    small, shown = smaller_guides(colour, mask, (4, 2))
    assert shown[0].tolist() == [[True, True, True, False]] * 2
    assert (small[0, :, :3] == 200).all() and not small[0, :, 3].any()  # no black mixed in at the rim
    assert enlarged(small, (8, 4)).shape == (1, 4, 8, 3)


def test_tiles_leave_no_seam(chain: Golden) -> None:
    """Where tiles meet, the direction departs from the whole picture's no more abruptly than elsewhere."""
    model = load_transformer(open_part(chain.weights, "transformer"), TransformerPlan(CPU, torch.float32))
    encoder = GeometryEncoder.from_state(load_ex4d(chain.weights.ex4d).geometry)
    denoiser = WanDenoiser(model, device=CPU, precision=FLOAT32)
    generator = torch.Generator().manual_seed(0)
    height, width = 12, 40  # latents

    def smooth(channels: int) -> torch.Tensor:
        coarse = torch.randn(1, channels, 2, height // 4, width // 4, generator=generator)
        return F.interpolate(coarse, (2, height, width), mode="trilinear")

    noise, colour, mask = (smooth(16) for _ in range(3))
    y = torch.cat([torch.zeros(1, 4, 2, height, width), smooth(16)], dim=1)
    expected = chain.expected
    conditions = Conditions(y, expected["clip_fea"], None, (expected["prompt_embeds"],))
    parts = (tiles.Tile(0, 96, 0, 192), tiles.Tile(0, 96, 128, 320))
    with denoiser.shot(conditions, Schedule.shifted(2)) as shot:

        def seen(tile: tiles.Tile) -> torch.Tensor:
            one = Layout(320, 96, None, (tile,), 0)
            columns = slice(tile.left // 8, tile.right // 8)
            found = Mosaic(denoiser, shot, 1.0, one, colour, mask, encoder)(noise, 0, lambda: None, None)
            return found[..., columns]

        whole = seen(tiles.Tile(0, 96, 0, 320))
        left, right = (seen(tile) for tile in parts)
        way = Layout(320, 96, None, parts, 64)
        blended = Mosaic(denoiser, shot, 1.0, way, colour, mask, encoder)(noise, 0, lambda: None, None) - whole
    cut = torch.cat([left[..., :20], right[..., 4:]], dim=-1) - whole

    def jumps(x: torch.Tensor) -> torch.Tensor:
        """How much each column (of patches, which are two latents wide) differs from the one before."""
        x = x.unflatten(-1, (-1, 2)).mean(dim=-1)
        return (x[..., 1:] - x[..., :-1]).abs().mean(dim=(0, 1, 2, 3))

    inside = torch.cat([jumps(blended)[:7], jumps(blended)[12:]])
    assert jumps(blended)[7:12].mean() <= 1.3 * inside.mean()
    assert jumps(blended)[9] <= 1.2 * inside.max()
    assert jumps(cut)[9] > 1.5 * inside.max()  # without blending there would be one
