"""What DepthCrafter is made of and lets people choose. No torch here."""

from dataclasses import dataclass
from typing import Annotated

from ex4d.depth.models import Device, Dtype
from ex4d.settings import About

UNET_REPOSITORY = "tencent/DepthCrafter"
BASE_REPOSITORY = "stabilityai/stable-video-diffusion-img2vid-xt"


@dataclass(frozen=True)
class DepthCrafterSettings:
    """DepthCrafter's settings, in the order people see them."""

    model_dir: Annotated[str, About("Folder of DepthCrafter's UNet, or of all parts; empty: the weights folder")] = ""
    base_model_dir: Annotated[str, About("Folder of Stable Video Diffusion's parts; empty: the weights folder")] = ""
    num_steps: Annotated[int, About("Denoising steps", 1, 100)] = 5
    guidance_scale: Annotated[float, About("Above 1 the model runs twice a step", 1.0, 10.0)] = 1.0
    window: Annotated[int, About("Frames that are denoised together; fewer need less memory", 2, 1000)] = 110
    overlap: Annotated[int, About("Frames that neighbouring windows share", 1, 500)] = 25
    decode_chunk: Annotated[int, About("Frames that are decoded together; fewer need less memory", 1, 64)] = 8
    max_side: Annotated[int, About("Longest side the model sees, in pixels", 64, 4096)] = 1024
    device: Device = "auto"
    dtype: Dtype = "auto"
