"""The VAE on several processes: each has a strip of the picture, and its layers see what lies beyond the strip's edge.

Before every convolution neighbours exchange the row at their common edge, and the one attention of encoder and decoder
is computed over the gathered whole (at an eighth of the picture's side that costs little). So a strip is no tile: there
is no overlap to compute twice, no blending and no seam, and the numbers are those of the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ex4d.engines.group import Group


class Strips:
    """Dealing pictures to a group's processes in strips; inside :meth:`of`, encoder and decoder run on strips.

    Rows of the longer side are dealt, as evenly as whole latents allow. A picture with fewer latents than processes is
    every process's whole.
    """

    def __init__(self, group: Group, model: Any):
        """``model`` is diffusers' AutoencoderKLWan. Every process must run it alike."""
        self._group = group
        self._dim = -2
        self._lengths: list[int] = []
        """Latents of every process's strip; none where pictures are whole."""
        for module in model.modules():
            self._watch(module)

    @contextmanager
    def of(self, height: int, width: int) -> Iterator[None]:
        """Inside, pictures have latents of ``height`` x ``width``."""
        count, length = self._group.size, max(height, width)
        self._dim = -2 if height >= width else -1
        each, more = divmod(length, count)
        self._lengths = [each + (rank < more) for rank in range(count)] if each else []
        try:
            yield
        finally:
            self._lengths = []

    def own(self, whole: Tensor, scale: int = 1) -> Tensor:
        """This process's strip of a picture with ``scale`` pixels a latent."""
        if not self._lengths:
            return whole
        start = scale * sum(self._lengths[: self._group.rank])
        return whole.narrow(self._dim, start, scale * self._lengths[self._group.rank])

    def whole(self, own: Tensor) -> Tensor:
        """The picture from everybody's strips, of any scale."""
        return self._joined(self._group.everyones(self._even(own)), own) if self._lengths else own

    def for_leader(self, own: Tensor) -> Tensor:
        """The same for the leader; an empty picture for the others."""
        if not self._lengths:
            return own if self._group.leads else own[..., :0]
        found = self._group.to_leader(self._even(own))
        return self._joined(found, own) if found else own[..., :0]

    def _even(self, own: Tensor) -> Tensor:
        """With as many rows as the longest strip: all that is exchanged must be of one shape."""
        missing = (max(self._lengths) - self._lengths[self._group.rank]) * self._scale(own)
        if not missing:
            return own
        return F.pad(own, (0, 0, 0, missing) if self._dim == -2 else (0, missing))

    def _joined(self, found: list[Tensor], own: Tensor) -> Tensor:
        scale = self._scale(own)
        strips = [
            strip.narrow(self._dim, 0, scale * length) for strip, length in zip(found, self._lengths, strict=True)
        ]
        return torch.cat(strips, self._dim)

    def _scale(self, own: Tensor) -> int:
        return own.shape[self._dim] // self._lengths[self._group.rank]

    # --- inside the model ---------------------------------------------------------------------------------

    def _watch(self, module: nn.Module) -> None:
        from diffusers.models.autoencoders.autoencoder_kl_wan import WanAttentionBlock, WanCausalConv3d

        if isinstance(module, WanCausalConv3d):
            if module.kernel_size[1] > 1:
                module.register_forward_pre_hook(self._with_edges)
                module.register_forward_hook(self._without_edges)
        elif isinstance(module, nn.Conv2d):
            if module.padding == (1, 1):
                module.register_forward_pre_hook(self._with_edges)
                module.register_forward_hook(self._without_edges)
        elif isinstance(module, nn.ZeroPad2d):  # before a convolution that halves the sides
            module.register_forward_hook(self._with_next_edge)
        elif isinstance(module, WanAttentionBlock):
            module.register_forward_pre_hook(self._gathered)
            module.register_forward_hook(self._dealt)

    def _gathered(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The attention's input from everybody's strips."""
        return (self.whole(args[0]), *args[1:])

    def _dealt(self, module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor:
        """This process's strip of the attention's output."""
        return self.own(out, out.shape[self._dim] // sum(self._lengths)) if self._lengths else out

    def _with_edges(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The neighbours' rows beside a convolution's input, and beside the past frames it is given."""
        if not self._lengths:
            return None
        x, past = args[0], args[1] if len(args) > 1 else None
        if past is None:
            before, after = self._neighbours(x)
            return (torch.cat([*before, x, *after], self._dim), *args[1:])
        both = torch.cat([past, x], dim=2)
        before, after = self._neighbours(both)
        split = past.shape[2]
        return (
            torch.cat([e[:, :, split:] for e in before] + [x] + [e[:, :, split:] for e in after], self._dim),
            torch.cat([e[:, :, :split] for e in before] + [past] + [e[:, :, :split] for e in after], self._dim),
        )

    def _without_edges(self, module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
        """The convolution's output without the neighbours' rows."""
        if not self._lengths:
            return None
        rank = self._group.rank
        first, last = int(rank > 0), int(rank + 1 < self._group.size)
        return out.narrow(self._dim, first, out.shape[self._dim] - first - last)

    def _with_next_edge(self, module: nn.Module, args: tuple[Any, ...], out: Tensor) -> Tensor | None:
        """Zeros that the padding has put where the next strip goes on become that strip's first row."""
        if not self._lengths:
            return None
        x = args[0]
        _, after = self._neighbours(x)
        if not after:
            return None
        other = -1 if self._dim == -2 else -2
        length = x.shape[self._dim]
        out.narrow(self._dim, length, 1).narrow(other, 0, x.shape[other]).copy_(after[0])
        return out

    def _neighbours(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The row before this process's first and the one after its last; none beyond the picture."""
        ends = torch.stack([x.narrow(self._dim, 0, 1), x.narrow(self._dim, x.shape[self._dim] - 1, 1)])
        found, rank = self._group.everyones(ends), self._group.rank
        before = [found[rank - 1][1]] if rank > 0 else []
        after = [found[rank + 1][0]] if rank + 1 < self._group.size else []
        return before, after
