"""From guides to what the transformer is told: erosion, masking, VAE latents, image tokens, geometry tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ex4d.engines.wan.constants import SPATIAL, TEMPORAL
from ex4d.engines.wan.geometry import GeometryEncoder
from ex4d.engines.wan.placing import on_device
from ex4d.engines.wan.vae import WanVae
from ex4d.progress import Watch
from ex4d_ground import stages
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.errors import ShapeError

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class GuideVideos:
    """The guides as the encoders take them, [1, 3, N, H, W] float32 on the CPU."""

    colour: Tensor  # -1..1, -1 outside the mask
    mask: Tensor  # -1 or 1
    image: Tensor  # [1, 3, H, W] -1..1, frame 0 of the colour in 8 bits

    @classmethod
    def from_guides(cls, colour: UInt8, mask: UInt8 | Bool) -> GuideVideos:
        """``colour`` [N, H, W, 3] and ``mask`` [N, H, W] (0..255, above half is visible; or bool)."""
        if colour.shape[:3] != mask.shape or colour.shape[3:] != (3,):
            raise ShapeError(f"Guides must be [N, H, W, 3] and [N, H, W], got {colour.shape} and {mask.shape}.")
        visible = mask if mask.dtype == np.bool_ else mask > 127
        masked = np.where(visible[..., None], colour, np.uint8(0))
        colours = torch.from_numpy(masked).permute(3, 0, 1, 2)[None].float() / 255 * 2 - 1
        shown = torch.from_numpy(visible).float()[None, None].expand(1, 3, -1, -1, -1) * 2 - 1
        # The published program passes frame 0 through 8 bits once more and cuts instead of rounding.
        image = (colours[:, :, 0] * 0.5 + 0.5).mul(255).to(torch.uint8).float() * (2 / 255) - 1
        return cls(colours, shown, image)

    def packed(self) -> tuple[Tensor, Tensor]:  # [N, H, W, 3] and [N, H, W], both uint8
        """What :meth:`from_guides` makes the same videos of again, in a fraction of the bytes."""
        colour = (self.colour[0].permute(1, 2, 3, 0) + 1).mul(127.5).round().to(torch.uint8)
        return colour, (self.mask[0, 0] > 0).to(torch.uint8) * 255

    @property
    def still(self) -> Tensor:  # [1, 3, N, H, W]
        """Frame 0 followed by grey: what the image condition is encoded from."""
        still = torch.zeros_like(self.colour)
        still[:, :, 0] = self.image
        return still

    @property
    def scaled_mask(self) -> Tensor:  # [1, 3, N, H, W] -3 or 1
        """The mask scaled a second time: EX-4D's weights were trained on exactly that."""
        return self.mask * 2 - 1


@dataclass(frozen=True)
class Encoded:
    """What the guides become, float32 on the device."""

    clip_fea: Tensor  # [1, 257, channels]
    y: Tensor  # [1, 20, T, h, w]
    colour: Tensor  # [1, 16, T, h, w]
    mask: Tensor  # [1, 16, T, h, w]
    geometry: Tensor | None  # [1, dim, T, h/2, w/2]


def encode_guides(
    videos: GuideVideos,
    *,
    vae: WanVae,
    image_encoder: Any,
    geometry_encoder: GeometryEncoder | None,
    **watch: Unpack[Watch],
) -> Encoded:
    """All encoders; the image's is on the VAE's device only for its turn.

    Raises ShapeError, Cancelled.
    """
    with torch.no_grad():
        with on_device([image_encoder], vae.device):
            clip_fea = image_tokens(image_encoder, videos.image)
        parts: dict[str, Callable[[], Tensor]] = {
            f"{stages.ENCODING} image": lambda: videos.still,
            f"{stages.ENCODING} colour": lambda: videos.colour,
            f"{stages.ENCODING} mask": lambda: videos.scaled_mask,
        }
        still, colour, mask = vae.encode_all(parts, **watch)
        geometry = None if geometry_encoder is None else geometry_encoder(colour, mask)
    return Encoded(clip_fea, image_condition(still), colour, mask, geometry)


def image_condition(
    latents: Tensor,  # [1, 16, T, h, w] of frame 0 followed by zeros
) -> Tensor:  # [1, 20, T, h, w]
    """Frame 0's latents behind four channels that say which frames are given (the first latent one)."""
    given = torch.zeros_like(latents[:, :TEMPORAL])
    given[:, :, 0] = 1
    return torch.cat([given, latents], dim=1)


def image_tokens(
    image_encoder: Any,  # transformers' CLIPVisionModel
    image: Tensor,  # [1, 3, H, W] -1..1
) -> Tensor:  # [1, 257, channels] float32
    """CLIP's tokens before its last block, of the picture squeezed to the encoder's square."""
    weight = next(image_encoder.parameters())
    size = image_encoder.config.image_size
    small = F.interpolate(image.to(weight.device), (size, size), mode="bicubic", align_corners=False)
    mean = torch.tensor(_CLIP_MEAN, device=weight.device).view(1, 3, 1, 1)
    std = torch.tensor(_CLIP_STD, device=weight.device).view(1, 3, 1, 1)
    pixels = ((small * 0.5 + 0.5) - mean) / std
    states = image_encoder(pixel_values=pixels.to(weight.dtype), output_hidden_states=True).hidden_states
    return states[-2].float()


def latent_shape(count: int, height: int, width: int) -> tuple[int, int, int, int, int]:
    """The latents' shape for ``count`` = 4n + 1 frames with sides in sixteens. Raises ShapeError."""
    if count % TEMPORAL != 1 or height % 16 or width % 16 or min(count, height, width) < 1:
        raise ShapeError(f"The model makes 4n+1 frames with sides in sixteens, got {count} frames of {width}x{height}.")
    return (1, 16, (count - 1) // TEMPORAL + 1, height // SPATIAL, width // SPATIAL)
