"""What the wan engine lets people choose. No torch here: the description must work where nothing is installed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ex4d.generate.base import EngineInfo, Setting
from ex4d.generate.wan.constants import NEGATIVE_PROMPT, PROMPT, TURBO_STEPS, WINDOW
from ex4d.generate.wan.plan import MEMORY, MODES

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "mode",
        "choice",
        "exact",
        "exact: closest to the published program; fast: 16-bit throughout; fp8: 8-bit weights and products; "
        "turbo: 4 steps with a distillation LoRA, an experiment.",
        choices=MODES,
    ),
    Setting(
        "memory",
        "choice",
        "auto",
        "Where the weights are kept: resident (about 30 GB of GPU memory), fp8 (about 17 GB), offload (12 GB and less, "
        "needs 32 GB of RAM), auto: the first of these that fits.",
        choices=MEMORY,
    ),
    Setting("steps", "int", 25, f"Denoising steps (turbo always takes {TURBO_STEPS}).", minimum=1, maximum=100),
    Setting("cfg_scale", "float", 5.0, "Guidance towards the prompt; 1 turns it off (turbo has none).", 1.0, 20.0),
    Setting("shift", "float", 5.0, "How much of the schedule is spent at high noise.", minimum=0.1, maximum=20.0),
    Setting("prompt", "str", PROMPT, "What the picture is like. The published prompt fits every clip."),
    Setting("negative_prompt", "str", NEGATIVE_PROMPT, "What the picture is not like."),
    Setting("erode_mask", "bool", True, "Shrink each mask frame by a random 2 to 8 pixels, as in training."),
    Setting("window", "int", WINDOW, "Frames made at once, 4n+1; longer clips are made in windows.", 5, 161),
    Setting("overlap", "int", 9, "Frames two windows share and are blended over.", minimum=1, maximum=48),
    Setting(
        "two_pass",
        "bool",
        True,
        "Make pictures beyond 1280x720 pixels smaller first and refine them in tiles; off: in one go, which needs far "
        "more memory and a model that knows such sizes.",
    ),
    Setting(
        "refine",
        "float",
        0.3,
        "Share of the steps that the second pass runs again at full size: more draws more detail and keeps less of "
        "the first pass.",
        minimum=0.1,
        maximum=0.9,
    ),
    Setting(
        "lead_in",
        "bool",
        True,
        "If the move does not start at the source camera, lead there from it and cut that off again: the model expects "
        "its first frame to be a complete picture.",
    ),
    Setting(
        "composite",
        "bool",
        False,
        "Keep the source's own pixels wherever the guides show them; the model's are matched to them in colour.",
    ),
    Setting("feather", "int", 8, "Width in pixels of the composite's soft rim.", minimum=0, maximum=128),
    Setting(
        "cache_threshold",
        "float",
        0.0,
        "First-block cache: a step that changes the first block's output by less than this share reuses the last full "
        "step's result. 0 computes every step; 0.05 to 0.1 saves time and costs exactness.",
        minimum=0.0,
        maximum=1.0,
    ),
    Setting("fuse_lora", "bool", True, "Add EX-4D's LoRA to the weights (faster) instead of running it beside them."),
    Setting("compile", "bool", True, "Compile the model on first use: about a minute once, faster steps ever after."),
    Setting(
        "device", "choice", "auto", "auto takes the GPU; cpu is for trying things out.", choices=("auto", "cuda", "cpu")
    ),
    Setting("keep_loaded", "bool", False, "Keep the model on the GPU between takes."),
)

NAME = "wan"
TITLE = "EX-4D on Wan 2.1"
LICENCE = "Apache-2.0 (Wan 2.1 and EX-4D weights)"


def validated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
    return EngineInfo(NAME, TITLE, SETTINGS, LICENCE).validated(settings)


def guided(settings: dict[str, Any]) -> bool:
    """Whether the negative prompt takes part."""
    return settings["mode"] != "turbo" and settings["cfg_scale"] != 1.0


def step_count(settings: dict[str, Any]) -> int:
    """Denoising steps of the mode."""
    return TURBO_STEPS if settings["mode"] == "turbo" else int(settings["steps"])


def refining_steps(settings: dict[str, Any]) -> int:
    """Steps of the second pass, where there is one."""
    return max(1, math.ceil(settings["refine"] * step_count(settings)))
