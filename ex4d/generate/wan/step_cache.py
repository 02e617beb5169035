"""First-block cache: steps whose first block changes little reuse what the other blocks added in the last full step.

The idea is ParaAttention's (also in diffusers); the threshold is the user's choice between time and exactness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class FirstBlockCache:
    """For one window: what the first block and the rest added to the residual stream, per branch."""

    threshold: float
    """Largest relative change of the first block's addition that still counts as the same; 0 never reuses."""
    skipped: int = 0
    """Forwards that were cut short."""
    _first: dict[int, Tensor] = field(default_factory=dict)
    _rest: dict[int, Tensor] = field(default_factory=dict)

    def reuse(
        self,
        branch: int,
        added: Tensor,  # [1, tokens, dim] by the first block in this step
    ) -> Tensor | None:
        """What the other blocks added last time, if the first one does nearly the same as then."""
        before = self._first.get(branch)
        if before is None or branch not in self._rest:
            return None
        change = (added.float() - before.float()).abs().mean() / before.float().abs().mean().clamp_min(1e-12)
        if float(change) >= self.threshold:
            return None
        self.skipped += 1
        return self._rest[branch]

    def keep(self, branch: int, added: Tensor, rest: Tensor) -> None:
        """Remember a full step."""
        self._first[branch], self._rest[branch] = added, rest
