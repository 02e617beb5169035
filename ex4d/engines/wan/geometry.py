"""EX-4D's geometry encoder, and how its tokens enter the transformer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ex4d.weights.components import check_keys, set_parameter
from ex4d_ground.errors import ShapeError


class GeometryEncoder(nn.Module):
    """Latents of the colour and mask guides to one token per patch of the transformer.

    Three 1x1x1 convolutions with SiLU between them, then one (1, 2, 2)-strided convolution to the transformer's width.
    """

    def __init__(self, in_channels: int = 32, hidden_channels: int = 1024, out_channels: int = 5120):
        super().__init__()
        self.latent_encoder = nn.Sequential(
            nn.Conv3d(in_channels, hidden_channels, 1),
            nn.SiLU(),
            nn.Conv3d(hidden_channels, hidden_channels, 1),
            nn.SiLU(),
            nn.Conv3d(hidden_channels, hidden_channels, 1),
        )
        self.latent_patch_embedding = nn.Conv3d(hidden_channels, out_channels, (1, 2, 2), stride=(1, 2, 2))

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], *, device: torch.device | str = "cpu", what: str = "ex4d.ckpt"
    ) -> GeometryEncoder:
        """The encoder in float32 with the checkpoint's tensors. Raises WeightsError for any misfit."""
        first, last = state.get("latent_encoder.0.weight"), state.get("latent_patch_embedding.weight")
        sizes = (first.shape[1], first.shape[0], last.shape[0]) if first is not None and last is not None else ()
        with torch.device("meta"):
            encoder = cls(*sizes)
        wanted = {name: tuple(p.shape) for name, p in encoder.named_parameters()}
        check_keys({name: tuple(t.shape) for name, t in state.items()}, wanted, what=what)
        for name, tensor in state.items():
            set_parameter(encoder, name, tensor.to(device=device, dtype=torch.float32))
        return encoder.eval().requires_grad_(False)

    def forward(
        self,
        colour: Tensor,  # [1, 16, T, h, w] normalised VAE latents
        mask: Tensor,  # [1, 16, T, h, w]
    ) -> Tensor:  # [1, dim, T, h/2, w/2]
        """Geometry tokens, laid out like the patch embedding's output."""
        return self.latent_patch_embedding(self.latent_encoder(torch.cat([colour, mask], dim=1)))


@contextmanager
def geometry_tokens(patch_embedding: nn.Module, tokens: Tensor) -> Iterator[None]:
    """While this is active, ``tokens`` [1, dim, T, h, w] are added to what ``patch_embedding`` puts out.

    Raises ShapeError (from the forward) if the tokens are for another size.
    """

    def add(module: nn.Module, args: object, output: Tensor) -> Tensor:
        if output.shape[1:] != tokens.shape[1:]:
            raise ShapeError(
                f"Geometry tokens of shape {list(tokens.shape)} do not fit the latents' patches {list(output.shape)}."
            )
        return output + tokens

    handle = patch_embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
