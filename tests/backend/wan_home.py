"""Tiny weights of the wan engine, where a backend's or an actor's processes look for them."""

from __future__ import annotations

import shutil
from pathlib import Path

from ex4d.engines.wan.constants import NEGATIVE_PROMPT, PROMPT
from ex4d.engines.wan.text import PromptCache, encoder_id

GOLDEN = Path(__file__).parents[1] / "golden" / "wan_chain"
SETTINGS = {"window": 5, "overlap": 2, "compile": False, "cfg_scale": 2.0, "lead_in": False}
"""Of takes that these weights can make."""


def wan_home(folder: Path) -> dict[str, str]:
    """Make it below ``folder``; the environment that leads there."""
    from safetensors.torch import load_file

    root = folder / "weights"
    shutil.copytree(GOLDEN, root / "Wan2.1-I2V-14B-480P")
    (root / "EX-4D").mkdir()
    shutil.move(root / "Wan2.1-I2V-14B-480P" / "ex4d.ckpt", root / "EX-4D" / "ex4d.ckpt")
    text_encoder = root / "Wan2.1-I2V-14B-480P" / "models_t5_umt5-xxl-enc-bf16.pth"
    expected = load_file(GOLDEN / "expected.safetensors")
    made = [expected["prompt_embeds"], expected["negative_embeds"]]
    cache = PromptCache(folder / "cache" / "ex4d" / "prompts", encoder_id([text_encoder]))
    cache.get([PROMPT, NEGATIVE_PROMPT], lambda texts: made)
    return {"EX4D_WEIGHTS": str(root), "XDG_CACHE_HOME": str(folder / "cache")}
