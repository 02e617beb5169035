"""Loading DepthCrafter's parts from local folders.

Two layouts are accepted: one folder with ``unet/ vae/ image_encoder/ feature_extractor/ scheduler/``, and the published
one, where the UNet alone is in DepthCrafter's repository and the rest in Stable Video Diffusion's.
"""

import json
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from transformers import CLIPVisionModelWithProjection

from ex4d.depth.depthcrafter.pipeline import Components
from ex4d.depth.depthcrafter.settings import BASE_REPOSITORY, UNET_REPOSITORY
from ex4d.depth.models import loading, require_model
from ex4d.weights.catalogue import fetch_remedy
from ex4d_ground.errors import WeightsError


def load_components(unet_folder: Path, base_folder: Path, *, dtype: torch.dtype, device: torch.device) -> Components:
    """All parts in ``dtype`` on ``device``. Raises WeightsError with the file and the command that fetches it."""
    own = unet_folder / "unet" if (unet_folder / "unet").is_dir() else unet_folder
    base = unet_folder if (unet_folder / "vae").is_dir() else base_folder
    require_model(own, UNET_REPOSITORY, files=("config.json",))
    parts = ("vae/config.json", "image_encoder/config.json", "scheduler/scheduler_config.json")
    require_model(base, BASE_REPOSITORY, files=(*parts, "feature_extractor/preprocessor_config.json"))
    kwargs = {"torch_dtype": dtype, "local_files_only": True}
    with loading("DepthCrafter's UNet", own, UNET_REPOSITORY):
        unet = UNetSpatioTemporalConditionModel.from_pretrained(own, variant=_variant(own), **kwargs)
    with loading("Stable Video Diffusion's VAE", base / "vae", BASE_REPOSITORY):
        config = json.loads((base / "vae" / "config.json").read_text("utf-8"))
        # a VAE that says so overflows in float16
        vae_dtype = torch.float32 if config.get("force_upcast") and dtype == torch.float16 else dtype
        vae = AutoencoderKLTemporalDecoder.from_pretrained(
            base / "vae", variant=_variant(base / "vae"), torch_dtype=vae_dtype, local_files_only=True
        )
    with loading("Stable Video Diffusion's image encoder", base / "image_encoder", BASE_REPOSITORY):
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            base / "image_encoder", dtype=dtype, variant=_variant(base / "image_encoder"), local_files_only=True
        )
        schedule = json.loads((base / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        scheduler = EulerDiscreteScheduler.from_config(schedule)
        features = json.loads((base / "feature_extractor" / "preprocessor_config.json").read_text("utf-8"))
    _check_unet(unet, own)
    crop = features["crop_size"]
    height, width = (crop["height"], crop["width"]) if isinstance(crop, dict) else (crop, crop)
    return Components(
        unet=unet.to(device=device).eval(),  # pyright: ignore[reportCallIssue]
        vae=vae.to(device=device).eval(),  # pyright: ignore[reportCallIssue]
        image_encoder=encoder.to(device).eval(),  # pyright: ignore[reportArgumentType]
        scheduler=scheduler,  # pyright: ignore[reportArgumentType]
        image_size=(int(height), int(width)),
        image_mean=tuple(features["image_mean"]),
        image_std=tuple(features["image_std"]),
    )


def _variant(folder: Path) -> str | None:
    """ "fp16" if that is the only copy of the weights in ``folder``."""
    full = any(folder.glob("*model.safetensors")) or any(folder.glob("*.index.json"))
    return None if full or not any(folder.glob("*.fp16.safetensors")) else "fp16"


def _check_unet(unet: UNetSpatioTemporalConditionModel, folder: Path) -> None:
    channels, outputs = unet.config["in_channels"], unet.config["out_channels"]
    if channels != 2 * outputs:
        raise WeightsError(
            f"The UNet in {folder} takes {channels} channels and gives {outputs}, DepthCrafter's takes twice what it "
            "gives; it is another model.",
            remedy=fetch_remedy((UNET_REPOSITORY, folder)),
        )
