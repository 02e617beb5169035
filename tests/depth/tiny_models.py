"""Tiny random models in the published layouts, written by transformers itself."""

import json

import torch

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def depth_anything(folder, *, metric=False):
    """A Depth Anything V2 folder as its repository has it: config, safetensors, preprocessor."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    torch.manual_seed(3)
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8, depth_estimation_type="metric" if metric else "relative", max_depth=20 if metric else 1,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(config)
    model.head.conv3.bias.data.fill_(0.5)  # past the ReLU, so that a random model gives something
    model.save_pretrained(folder)
    write_processor(folder, {"height": 518, "width": 518}, ensure_multiple_of=14, keep_aspect_ratio=True)
    return folder


def depth_pro(folder, *, fov=True):
    """A Depth Pro folder as its repository has it."""
    from transformers import DepthProConfig, DepthProForDepthEstimation, Dinov2Config

    torch.manual_seed(4)

    def part():
        return Dinov2Config(
            hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=32, patch_size=8
        ).to_dict()

    config = DepthProConfig(
        patch_size=32, fusion_hidden_size=16, intermediate_hook_ids=[2, 1], intermediate_feature_dims=[16, 16],
        scaled_images_ratios=[0.5, 1], scaled_images_overlap_ratios=[0.0, 0.25], scaled_images_feature_dims=[16, 16],
        image_model_config=part(), patch_model_config=part(), fov_model_config=part(), use_fov_model=fov,
    )  # fmt: skip
    model = DepthProForDepthEstimation(config)
    model.head.layers[-2].bias.data.fill_(0.5)
    if fov:
        model.fov_model.head.layers[-1].bias.data.fill_(60.0)  # degrees
    model.save_pretrained(folder)
    write_processor(folder, {"height": 64, "width": 64}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return folder


def write_processor(folder, size, **extra):
    """preprocessor_config.json as the repositories have it."""
    values = {"size": size, "image_mean": MEAN, "image_std": STD, "rescale_factor": 1 / 255, **extra}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
