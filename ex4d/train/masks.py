"""Simulated masks: what a moved camera would not see, and patches that travel with what they hide.

Both are laid over the clip itself, so that one camera's footage is enough to learn from (EX-4D, "simulated masks").
Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, Unpack

import cv2
import numpy as np

from ex4d.dwmesh import DWMesh
from ex4d.engines.wan.erosion import erode, erosion_kernels
from ex4d.guides import render_guides
from ex4d.progress import Watch, check
from ex4d.train.config import MaskKind
from ex4d.train.paths import DrawnPath, PathRecipe, random_path
from ex4d.train.tracking import LucasKanade, Tracker, good_points
from ex4d.types import Clip
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.options import MeshOptions, OccluderMode

if TYPE_CHECKING:
    from torch import Tensor

_STREAM = 0x3A5C5


@dataclass(frozen=True)
class TrackingRecipe:
    """How patches are hidden around tracks."""

    patches: tuple[int, int] = (3, 12)
    """Fewest and most."""
    size: tuple[float, float] = (0.06, 0.35)
    """Height and width of a patch, as shares of the picture's height; drawn evenly in their logarithm."""
    duration: tuple[float, float] = (0.2, 1.0)
    """Share of the clip that a patch lasts."""
    ramp: float = 0.1
    """Share of the clip over which a patch opens and closes, as an occlusion does."""


@dataclass(frozen=True)
class MaskRecipe:
    """Everything that masks are drawn from."""

    kinds: dict[MaskKind, float] = field(default_factory=lambda: {"rendering": 0.7, "tracking": 0.3})
    """Their shares of the mixture."""
    occluders: Literal["endless", "solid", "mixed"] = "mixed"
    """Of rendering masks: how the mesh blocks what lies behind it."""
    path: PathRecipe = field(default_factory=PathRecipe)
    tracking: TrackingRecipe = field(default_factory=TrackingRecipe)
    erode: bool = True
    """Shrink what each frame shows by a square of 2 to 8 pixels, as the engine does."""
    hidden: tuple[float, float] = (0.02, 0.85)
    """Smallest and largest share of hidden pixels; what lies outside is drawn again."""
    tries: int = 8


@dataclass(frozen=True)
class SimulatedMask:
    """One mask, and how it came about."""

    kind: MaskKind
    mask: Bool  # [T, H, W] true where the clip is shown
    seed: int
    about: str

    @property
    def hidden(self) -> float:
        """Share of the pixels that it hides."""
        return float(1 - self.mask.mean())


class MaskRenderer(Protocol):
    """Draws one clip's visibility along camera paths."""

    def __call__(self, mode: OccluderMode, trajectory: Trajectory) -> Bool:  # [T, H, W]
        """True where the moved camera sees the clip."""
        ...


class ClipMasks:
    """Masks of one clip; meshes and tracks are made when they are first asked for, and kept."""

    def __init__(
        self,
        clip: Clip,
        recipe: MaskRecipe = MaskRecipe(),
        *,
        tracker: Tracker | None = None,
        renderer: MaskRenderer | None = None,
        **watch: Unpack[Watch],
    ):
        self.clip, self.recipe = clip, recipe
        self._tracker = tracker or LucasKanade()
        self._render = renderer or CpuMasks(clip)
        self._watch = watch

    def draw(self, seed: int) -> SimulatedMask:
        """A mask of a kind drawn from the mixture; frame 0 is complete. Raises Cancelled."""
        chance = np.random.default_rng([_STREAM, seed])
        kinds = sorted(self.recipe.kinds)
        shares = np.array([self.recipe.kinds[kind] for kind in kinds])
        return self.draw_kind(kinds[int(chance.choice(len(kinds), p=shares / shares.sum()))], seed)

    def draw_kind(self, kind: MaskKind, seed: int) -> SimulatedMask:
        """A mask of one kind. Of the tries, the first with a usable share of holes, else the nearest to that."""
        low, high = self.recipe.hidden
        best: SimulatedMask | None = None
        for attempt in range(self.recipe.tries):
            check(self._watch.get("cancel"))
            chance = np.random.default_rng([_STREAM, seed, 1 + attempt])
            mask, about = self._rendering(chance) if kind == "rendering" else self._tracking(chance)
            mask = self._eroded(mask, seed)
            mask[0] = True
            found = SimulatedMask(kind, mask, seed, about)
            if low <= found.hidden <= high:
                return found
            middle = (low + high) / 2
            if best is None or abs(found.hidden - middle) < abs(best.hidden - middle):
                best = found
        assert best is not None
        return best

    def _rendering(self, chance: np.random.Generator) -> tuple[Bool, str]:
        mode: OccluderMode = "solid" if self.recipe.occluders == "solid" else "endless"
        if self.recipe.occluders == "mixed":
            mode = "solid" if chance.uniform() < 0.5 else "endless"
        path: DrawnPath = random_path(self.clip, chance, self.recipe.path)
        return np.array(self._render(mode, path.trajectory)), f"{mode}, {path}"

    def _tracking(self, chance: np.random.Generator) -> tuple[Bool, str]:
        recipe = self.recipe.tracking
        count = int(chance.integers(recipe.patches[0], recipe.patches[1] + 1))
        mask = np.ones(self.clip.depth.shape, np.bool_)
        for start in sorted(chance.integers(0, self.clip.num_frames, max(1, count // 4)).tolist()):
            points = good_points(self.clip.frames[start], 4, chance)
            tracks, found = self._tracker.follow(np.asarray(self.clip.frames), points, start)
            for p in range(len(points)):
                hide_patch(mask, tracks[:, p], found[:, p], chance, recipe)
        return mask, f"{count} patches, {self._tracker.name}"

    def _eroded(self, mask: Bool, seed: int) -> Bool:
        if not self.recipe.erode:
            return mask
        return erode(mask.astype(np.uint8) * np.uint8(255), erosion_kernels(seed, len(mask))) > 127


def hide_patch(
    mask: Bool,  # [T, H, W], changed
    track: Float32,  # [T, 2]
    found: Bool,  # [T]
    chance: np.random.Generator,
    recipe: TrackingRecipe,
) -> None:
    """Hide one patch around a track while it is found: it opens, stays and closes."""
    count, height, _ = mask.shape
    low, high = np.log(recipe.size)
    sides = np.exp(chance.uniform(low, high, 2)) * height / 2
    length = max(2, round(count * chance.uniform(*recipe.duration)))
    begin = int(chance.integers(1 - length // 2, count - length // 2))
    angle, is_box = float(chance.uniform(0, 180)), bool(chance.uniform() < 0.5)
    ramp = max(1.0, recipe.ramp * count)
    for t in range(max(0, begin), min(count, begin + length)):
        if not found[t]:
            continue
        opened = min(1.0, (t - begin + 1) / ramp, (begin + length - t) / ramp)
        a, b = sides * opened
        canvas: UInt8 = np.zeros(mask.shape[1:], np.uint8)
        x, y = float(track[t, 0]), float(track[t, 1])
        if is_box:
            corners = cv2.boxPoints(((x, y), (2 * float(a), 2 * float(b)), angle))
            cv2.fillConvexPoly(canvas, np.round(corners).astype(np.int32), (1,))
        else:
            cv2.ellipse(canvas, ((x, y), (2 * float(a) + 1, 2 * float(b) + 1), angle), (1,), -1)
        mask[t] &= canvas == 0


class CpuMasks:
    """Draws on the CPU; meshes are kept from one path to the next."""

    def __init__(self, clip: Clip):
        self._clip = clip
        self._meshes: dict[OccluderMode, DWMesh] = {}

    def __call__(self, mode: OccluderMode, trajectory: Trajectory) -> Bool:
        """See :class:`MaskRenderer`."""
        if mode not in self._meshes:
            self._meshes[mode] = DWMesh(self._clip, MeshOptions(mode=mode))
        return np.asarray(render_guides(self._meshes[mode], trajectory, rasterizer="cpu").mask)


class GpuMasks:
    """Draws on a CUDA device; the clip stays there. :meth:`on_device` leaves the masks there too."""

    def __init__(self, clip: Clip, rasterizer: str = "triton"):
        self._clip, self._rasterizer = clip, rasterizer
        from ex4d.guides.gpu import GpuGuideRenderer

        self._kind = GpuGuideRenderer
        self._renderers: dict[OccluderMode, GpuGuideRenderer] = {}

    def __call__(self, mode: OccluderMode, trajectory: Trajectory) -> Bool:
        """See :class:`MaskRenderer`."""
        return self.on_device(mode, trajectory).cpu().numpy()

    def on_device(self, mode: OccluderMode, trajectory: Trajectory) -> Tensor:  # [T, H, W] bool
        """The mask as a tensor; it may still be being drawn when this returns."""
        from ex4d.guides.request import GuideRequest

        if mode not in self._renderers:
            self._renderers[mode] = self._kind(DWMesh(self._clip, MeshOptions(mode=mode)), self._rasterizer)
        renderer = self._renderers[mode]
        return renderer.render(GuideRequest(renderer.mesh, trajectory)).mask

    def close(self) -> None:
        """Give the device's memory back."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


def mask_renderer(clip: Clip) -> MaskRenderer:
    """The fastest that this machine has."""
    from ex4d.raster.choice import choose_rasterizer

    choice = choose_rasterizer()
    return GpuMasks(clip, choice.name) if choice.on_gpu else CpuMasks(clip)


def masked(frames: UInt8, mask: Bool) -> UInt8:  # [T, H, W, 3]
    """The clip with black where the mask hides it."""
    return np.where(mask[..., None], frames, np.uint8(0))


def eroded_on_device(
    mask: Tensor,  # [T, H, W] bool
    kernels: Sequence[int],  # [T]
) -> Tensor:  # [T, H, W] bool
    """:func:`ex4d.engines.wan.erosion.erode`, exactly, where the mask lies."""
    import torch
    import torch.nn.functional as F

    out = torch.empty_like(mask)
    hidden = (~mask).to(torch.float16 if mask.is_cuda else torch.float32)
    sizes = torch.as_tensor(list(kernels))
    for size in sizes.unique().tolist():
        which = (sizes == size).nonzero().flatten().to(mask.device)
        before, after = size // 2, size - 1 - size // 2
        padded = F.pad(hidden[which].unsqueeze(1), (before, after, before, after))
        out[which] = F.max_pool2d(padded, size, 1).squeeze(1) == 0
    return out
