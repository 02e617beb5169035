"""The flow-matching schedule: shifted sigmas and Euler steps, as the model was sampled by its authors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ex4d_ground.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_TIMESTEPS = 1000


@dataclass(frozen=True)
class Schedule:
    """Noise levels of a run, from 1 (pure noise) downwards; the step after the last goes to 0."""

    sigmas: Tensor  # [steps] float32 on the CPU, decreasing

    @classmethod
    def shifted(cls, steps: int, shift: float = 5.0) -> Schedule:
        """``steps`` equal parts of 1..0, moved towards the noisy end by ``shift``: s -> shift*s / (1 + (shift-1)*s).

        Four steps give timesteps 1000, 937.5, 833.3, 625, which is what 4-step distillation was trained for.
        """
        import torch

        if steps < 1:
            raise SettingError(f"At least one denoising step is needed, got {steps}.")
        if shift <= 0:
            raise SettingError(f"The schedule's shift must be positive, got {shift}.")
        even = torch.linspace(1.0, 0.0, steps + 1)[:-1]
        return cls(shift * even / (1 + (shift - 1) * even))

    @property
    def timesteps(self) -> Tensor:  # [steps] float32
        """What the model is told: sigma in thousandths."""
        return self.sigmas * TRAIN_TIMESTEPS

    def __len__(self) -> int:
        return len(self.sigmas)

    def last(self, count: int) -> Schedule:
        """The last ``count`` steps alone."""
        return Schedule(self.sigmas[-count:])

    def noised(
        self,
        latents: Tensor,  # any shape, float32, without noise
        noise: Tensor,  # same shape, unit
    ) -> Tensor:
        """The latents at the first step's noise level."""
        sigma = float(self.sigmas[0])
        return (1 - sigma) * latents + sigma * noise

    def step(
        self,
        latents: Tensor,  # any shape, float32
        velocity: Tensor,  # the model's output, same shape
        index: int,
    ) -> Tensor:
        """The latents after step ``index`` (Euler)."""
        after = self.sigmas[index + 1] if index + 1 < len(self) else self.sigmas.new_zeros(())
        return latents + velocity * float(after - self.sigmas[index])
