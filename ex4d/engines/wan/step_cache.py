"""First-block cache: steps whose first block changes little reuse what the other blocks added in the last full step.

The idea is ParaAttention's (also in diffusers); the threshold is the user's choice between time and exactness.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class FirstBlockCache:
    """For one window: what the first block and the rest added to the residual stream, per branch."""

    threshold: float
    """Largest relative change of the first block's addition that still counts as the same; 0 never reuses."""
    summed: Callable[[Tensor], Tensor] = lambda x: x
    """Over those who share the tokens, each of whom has only some: all must reuse, or none."""
    skipped: int = 0
    """Forwards that were cut short."""
    _first: dict[Hashable, Tensor] = field(default_factory=dict)
    _rest: dict[Hashable, Tensor] = field(default_factory=dict)

    def after(
        self,
        branch: Hashable,
        before: Tensor,  # [1, tokens, dim] residual stream before the first block
        first: Tensor,  # after it
        rest: Callable[[], Tensor],  # the stream after all blocks
        *,
        computed: bool,
    ) -> Tensor:  # [1, tokens, dim]
        """The stream after all blocks: remembered if the first one does nearly the same as then, else computed.

        ``computed`` True computes in any case. ``branch`` names what is compared with what: one forward of a step.
        """
        added = first - before
        if not computed and self._alike(branch, added):
            self.skipped += 1
            return first + self._rest[branch]
        whole = rest()
        self._first[branch], self._rest[branch] = added, whole - first
        return whole

    def _alike(self, branch: Hashable, added: Tensor) -> bool:
        """Whether the first block's addition changed by less than the threshold since the last full step."""
        kept = self._first.get(branch)
        if kept is None:
            return False
        change = torch.linalg.vector_norm(added - kept, 1, dtype=torch.float32)
        size = torch.linalg.vector_norm(kept, 1, dtype=torch.float32)
        change, size = self.summed(torch.stack([change, size]))
        return float(change / size.clamp_min(1e-12)) < self.threshold
