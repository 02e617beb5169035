"""EX-4D's video model: Wan 2.1 image-to-video with EX-4D's LoRA and geometry encoder."""

from ex4d.engines.wan.engine import WanEngine

__all__ = ["WanEngine"]
