"""Clips of procedural scenes for :mod:`train_proof`, rendered on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from ex4d.train.scenes import SceneOptions, Scenes


class ProofScenes:
    """Draws scenes and renders clips of them; ``tiny`` ones are for trying it on a CPU."""

    def __init__(self, *, seed: int, tiny: bool) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.options = SceneOptions(frames=5, size=32, things=2) if tiny else SceneOptions(frames=9, size=96)
        self.chance = torch.Generator(self.device).manual_seed(seed)
        self._kept = 4 if tiny else 64
        self._buffer: Tensor | None = None

    def orbits(self, scenes: Scenes) -> Tensor:
        """Target cameras that stay clear of everything; where one does not, the source camera."""
        count = len(scenes.room)

        def even(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(count, generator=self.chance, device=self.device)

        most = scenes.options.orbit_deg
        pose = scenes.orbit(even(-most, most), even(-8, 8), even(3.0, 5.0))
        return torch.where(scenes.is_free(pose).view(-1, 1, 1, 1), pose, scenes.still())

    @torch.no_grad()
    def clips(self, count: int, *, orbit: bool) -> Tensor:  # [count, 3, T, H, W] -1..1
        scenes = Scenes.draw(count, self.chance, self.options)
        colour = scenes.render(self.orbits(scenes) if orbit else scenes.still()).colour
        return colour.permute(0, 4, 1, 2, 3) * 2 - 1

    def batch(self, count: int) -> Tensor:
        """From a buffer on the device, an eighth of which is new each time: rendering is a fraction of a step."""
        size = self._kept
        if self._buffer is None:
            self._buffer = torch.cat([self.clips(size // 4, orbit=i % 4 > 0) for i in range(4)])
        fresh = max(1, count // 4)
        where = torch.randint(size, (fresh,), generator=self.chance, device=self.device)
        self._buffer[where] = self.clips(
            fresh, orbit=bool(torch.rand(1, generator=self.chance, device=self.device) < 0.7)
        )
        return self._buffer[torch.randint(size, (count,), generator=self.chance, device=self.device)]
