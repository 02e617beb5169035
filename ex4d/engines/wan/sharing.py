"""One process's part of a run of the model that several GPUs share: branches of guidance, tokens and heads.

Context parallel is diffusers' own (Ulysses): the tokens are dealt to the processes; for self-attention they exchange
them for heads, so that each attends with its heads over all tokens, and exchange back. All else in a block is done
token by token. diffusers' ``enable_parallelism`` hooks itself into the model's own forward, which is not run here; what
it is made of (``ContextParallelConfig`` and ``dispatch_attention_fn``) is used directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from diffusers.models._modeling_parallel import ContextParallelConfig, ParallelConfig
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import Tensor

from ex4d.engines.group import Group
from ex4d.engines.wan.blocks import SharedAttention
from ex4d.engines.wan.division import Division

_AXES = ("branch", "ring", "ulysses")


@dataclass(frozen=True)
class Sharing:
    """What this process takes of every run, and how it gets the rest from the others."""

    division: Division
    branch: int
    """Of guidance, which is this process's: 0 the prompt's, 1 the negative prompt's; 0 where it runs both."""
    place: int
    """Among those who share one run."""
    attention: SharedAttention | None = None
    """Self-attention over everybody's tokens; None where tokens are not shared."""
    _mesh: Any = None

    @classmethod
    def of(cls, group: Group, division: Division) -> Sharing:
        """This process's part."""
        mesh = group.mesh((division.branches, 1, division.sequence), _AXES)
        attention = None
        if division.shares_tokens:
            context = ContextParallelConfig(ulysses_degree=division.sequence, mesh=mesh)
            config = ParallelConfig(context_parallel_config=context)
            config.setup(group.rank, group.size, group.device, mesh=mesh)
            attention = partial(attend_shared, config=config)
        branch, place = divmod(group.rank, division.sequence)
        return cls(division, branch, place, attention, mesh)

    def own(self, x: Tensor, dim: int) -> Tensor:
        """This process's tokens of all; the same tensor where they are not shared."""
        if self.attention is None:
            return x
        return x.chunk(self.division.sequence, dim)[self.place].contiguous()

    def whole(self, x: Tensor, dim: int) -> Tensor:
        """All tokens from everybody's."""
        return x if self.attention is None else torch.cat(self.dealt(x), dim)

    def summed(self, x: Tensor) -> Tensor:
        """The sum over those who share this run's tokens: they must decide alike."""
        if self.attention is None:
            return x
        found = x.clone()
        dist.all_reduce(found, group=self._sequence.get_group())
        return found

    def both(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """The prompt's and the negative prompt's, where each is another process's."""
        positive, negative = _gathered(own, self._mesh["branch"].get_group(), 2)
        return positive, negative

    def dealt(self, own: Tensor) -> list[Tensor]:
        """Everybody's of those who share a run or take a tile each, in the order of their places."""
        return _gathered(own, self._sequence.get_group(), self.division.sequence)

    @property
    def _sequence(self) -> Any:
        return self._mesh["ulysses"]


def attend_shared(q: Tensor, k: Tensor, v: Tensor, *, config: ParallelConfig) -> Tensor:
    """Self-attention over [1, own tokens, heads, channels], back as [1, own tokens, heads * channels]."""
    out = dispatch_attention_fn(q, k, v, backend=AttentionBackendName.NATIVE, parallel_config=config)
    return out.flatten(2)


def _gathered(own: Tensor, group: Any, count: int) -> list[Tensor]:
    own = own.contiguous()
    found = [torch.empty_like(own) for _ in range(count)]
    dist.all_gather(found, own, group=group)
    return found
