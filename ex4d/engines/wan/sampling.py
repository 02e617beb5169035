"""The denoising loop: noise from the seed, guidance, tiles, Euler steps, progress, cancel."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Unpack

import torch
from torch import Tensor

from ex4d.engines.wan.blending import Blender
from ex4d.engines.wan.constants import SPATIAL
from ex4d.engines.wan.denoiser import Shot, StepStart, WanDenoiser
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.schedule import Schedule
from ex4d.engines.wan.step_cache import FirstBlockCache
from ex4d.engines.wan.tiles import Layout, Tile
from ex4d.progress import CancelToken, Watch, check, report
from ex4d_ground import stages

OnStep = Callable[[int, Tensor], None]
"""Called with (step, latents after it)."""


def initial_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Unit noise in float32, drawn on the CPU so that it is the same on every device."""
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


class Direction(Protocol):
    """Which way a step goes, from data to noise."""

    @property
    def parts(self) -> int:
        """How often ``done`` is called in a step."""
        ...

    def __call__(
        self, latents: Tensor, step: int, done: Callable[[], None], cancel: CancelToken | None
    ) -> Tensor:  # like latents
        """Raises Cancelled within one forward of being asked."""
        ...


@dataclass(frozen=True)
class Whole:
    """The direction of a picture the transformer sees at once.

    With two contexts in the shot, the branches run one after the other, or each in a process, and are combined in
    float32: ``negative + cfg_scale * (positive - negative)``.
    """

    denoiser: WanDenoiser
    shot: Shot
    cfg_scale: float
    cache: FirstBlockCache | None = None
    parts: int = 1

    def __call__(self, latents: Tensor, step: int, done: Callable[[], None], cancel: CancelToken | None) -> Tensor:
        """See :class:`Direction`."""
        check(cancel)
        sharing = self.shot.sharing
        if sharing is not None and sharing.division.branches > 1:
            own = self.denoiser.velocity(self.shot, latents, step, cache=self.cache)
            positive, negative = sharing.both(own)
            _wait(self.denoiser.device)
            done()
            return self._guided(positive, negative)
        guided = len(self.shot.cross) > 1 and self.cfg_scale != 1.0
        start = StepStart() if guided else None
        velocity = self.denoiser.velocity(self.shot, latents, step, 0, start=start, cache=self.cache)
        _wait(self.denoiser.device)
        if guided:
            check(cancel)
            negative = self.denoiser.velocity(self.shot, latents, step, 1, start=start, cache=self.cache)
            velocity = self._guided(velocity, negative)
            _wait(self.denoiser.device)
        done()
        return velocity

    def _guided(self, positive: Tensor, negative: Tensor) -> Tensor:
        return negative + self.cfg_scale * (positive - negative)


@dataclass(frozen=True)
class Mosaic:
    """The direction of a larger picture: of overlapping tiles, blended, each for the transformer a picture of its own.

    The tiles share one set of latents, so after every step they agree again where they overlap. Frame 0's picture, the
    prompts and the time are the same for all (the shot's, which was given no geometry); each has its own guides.
    """

    denoiser: WanDenoiser
    shot: Shot
    cfg_scale: float
    way: Layout
    colour: Tensor  # [1, 16, T, h, w] latents of the guides
    mask: Tensor
    encoder: GeometryEncoder

    @property
    def parts(self) -> int:
        """Tiles."""
        return len(self.way.tiles)

    def __call__(self, latents: Tensor, step: int, done: Callable[[], None], cancel: CancelToken | None) -> Tensor:
        """See :class:`Direction`."""
        blender = Blender(latents.shape, latents.device)
        sharing = self.shot.sharing
        dealt = sharing if sharing is not None and sharing.division.deals else None
        at_once = 1 if dealt is None else dealt.division.sequence
        for start in range(0, self.parts, at_once):
            tiles = self.way.tiles[start : start + at_once]
            own = tiles[0 if dealt is None else dealt.place]
            velocity = self._of_tile(own, latents, step, done, cancel)
            for tile, found in zip(tiles, [velocity] if dealt is None else dealt.dealt(velocity), strict=True):
                if tile is not own:
                    done()
                blender.add(found, tile.top // SPATIAL, tile.left // SPATIAL, self.way.overlap // SPATIAL)
        return blender.result()

    def _of_tile(
        self, tile: Tile, latents: Tensor, step: int, done: Callable[[], None], cancel: CancelToken | None
    ) -> Tensor:
        rows = slice(tile.top // SPATIAL, tile.bottom // SPATIAL)
        columns = slice(tile.left // SPATIAL, tile.right // SPATIAL)
        part, y, colour, mask = (x[..., rows, columns] for x in (latents, self.shot.y, self.colour, self.mask))
        with self.denoiser.part(self.shot, y, self.encoder(colour, mask)) as shot:
            return Whole(self.denoiser, shot, self.cfg_scale)(part, step, done, cancel)


def denoise(
    denoiser: WanDenoiser,
    shot: Shot,
    noise: Tensor,  # [1, 16, T, h, w] float32
    schedule: Schedule,
    *,
    cfg_scale: float,
    cache: FirstBlockCache | None = None,
    on_step: OnStep | None = None,
    **watch: Unpack[Watch],
) -> Tensor:  # [1, 16, T, h, w] float32
    """Latents of a finished clip, made whole from noise. Raises Cancelled within one forward of being asked."""
    direction = Whole(denoiser, shot, cfg_scale, cache)
    latents = noise.to(device=denoiser.device, dtype=torch.float32)
    return follow(direction, latents, schedule, on_step=on_step, **watch)


def follow(
    direction: Direction,
    latents: Tensor,  # [1, 16, T, h, w] float32 at the schedule's first noise level
    schedule: Schedule,
    *,
    on_step: OnStep | None = None,
    **watch: Unpack[Watch],
) -> Tensor:  # like latents, without noise
    """Euler steps along ``direction``. Raises Cancelled within one forward of being asked."""
    steps, done = len(schedule) * direction.parts, 0
    started = time.monotonic()
    report(watch.get("on_progress"), stages.DENOISING, 0, steps)

    def one_done() -> None:
        nonlocal done
        done += 1
        left = (time.monotonic() - started) / done * (steps - done)
        report(watch.get("on_progress"), stages.DENOISING, done, steps, f"about {left:.0f} s left" if left >= 1 else "")

    for step in range(len(schedule)):
        latents = schedule.step(latents, direction(latents, step, one_done, watch.get("cancel")), step)
        if on_step is not None:
            on_step(step, latents)
    return latents


def _wait(device: torch.device) -> None:
    """Let the device catch up: otherwise it would queue work far past a cancel."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
