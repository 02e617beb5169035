"""A clip and its masks as the model's latents: through the engine's own encoders, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ex4d.engines.wan.conditioning import GuideVideos, image_tokens
from ex4d.engines.wan.constants import SPATIAL, TEMPORAL
from ex4d.engines.wan.vae import WanVae
from ex4d.progress import Watch, check
from ex4d_ground.arrays import Bool, UInt8


def encode_sample(
    sample: str,
    frames: UInt8,  # [N, H, W, 3], N = 4n + 1, sides in sixteens
    masks: Sequence[Bool],  # each [N, H, W], frame 0 complete
    colours: Sequence[UInt8] | None = None,  # each [N, H, W, 3]: the condition, where it is not the clip itself
    *,
    vae: WanVae,
    image_encoder: Any,
    **watch: Unpack[Watch],
) -> dict[str, Tensor]:
    """The sample's tensors by their names in a shard, float16 on the CPU. Raises ShapeError, Cancelled."""
    whole = GuideVideos.from_guides(frames, np.ones(frames.shape[:3], np.bool_))
    cancel = watch.get("cancel")
    with torch.no_grad():
        found = {
            "latents": vae.encode(whole.colour, cancel=cancel)[0],
            "image": vae.encode(whole.still, cancel=cancel)[0],
            "clip_fea": image_tokens(image_encoder, whole.image)[0],
        }
        for number, mask in enumerate(masks):
            check(cancel)
            videos = GuideVideos.from_guides(frames if colours is None else colours[number], mask)
            found[f"{number}/colour"] = vae.encode(videos.colour, cancel=cancel)[0]
            found[f"{number}/mask"] = vae.encode(videos.scaled_mask, cancel=cancel)[0]
            found[f"{number}/hidden"] = hidden_share(torch.from_numpy(mask))
    return {f"{sample}/{name}": tensor.to("cpu", torch.float16).contiguous() for name, tensor in found.items()}


def hidden_share(
    mask: Tensor,  # [N, H, W] bool
) -> Tensor:  # [T, H / 8, W / 8] float32
    """The share of each latent's pixels that is hidden: the first frame alone, then four frames a latent."""
    hidden = F.avg_pool2d((~mask).float().unsqueeze(1), SPATIAL).squeeze(1)
    rest = hidden[1:].unflatten(0, (-1, TEMPORAL)).mean(1)
    return torch.cat([hidden[:1], rest])
