"""What the wan engine lets people choose. No torch here: the description must work where nothing is installed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from ex4d.engines.wan.constants import NEGATIVE_PROMPT, PROMPT, TURBO_STEPS, WINDOW
from ex4d.engines.wan.plan import Memory, Mode
from ex4d.settings import About, settings_of
from ex4d_ground.descriptions import EngineInfo


@dataclass(frozen=True)
class WanSettings:
    """The wan engine's settings, in the order people see them."""

    mode: Annotated[
        Mode,
        About(
            "exact: closest to the published program; fast: 16-bit throughout; fp8: 8-bit weights and products; "
            "turbo: 4 steps with a distillation LoRA, an experiment."
        ),
    ] = "exact"
    memory: Annotated[
        Memory,
        About(
            "Where the weights are kept: resident (about 30 GB of GPU memory), fp8 (about 17 GB), offload (12 GB and "
            "less, needs 32 GB of RAM), auto: the first of these that fits."
        ),
    ] = "auto"
    steps: Annotated[int, About(f"Denoising steps (turbo always takes {TURBO_STEPS}).", 1, 100)] = 25
    cfg_scale: Annotated[float, About("Guidance towards the prompt; 1 turns it off (turbo has none).", 1.0, 20.0)] = 5.0
    shift: Annotated[float, About("How much of the schedule is spent at high noise.", 0.1, 20.0)] = 5.0
    prompt: Annotated[str, About("What the picture is like. The published prompt fits every clip.")] = PROMPT
    negative_prompt: Annotated[str, About("What the picture is not like.")] = NEGATIVE_PROMPT
    erode_mask: Annotated[bool, About("Shrink each mask frame by a random 2 to 8 pixels, as in training.")] = True
    window: Annotated[int, About("Frames made at once, 4n+1; longer clips are made in windows.", 5, 161)] = WINDOW
    overlap: Annotated[int, About("Frames two windows share and are blended over.", 1, 48)] = 9
    two_pass: Annotated[
        bool,
        About(
            "Make pictures beyond 1280x720 pixels smaller first and refine them in tiles; off: in one go, which needs "
            "far more memory and a model that knows such sizes."
        ),
    ] = True
    refine: Annotated[
        float,
        About(
            "Share of the steps that the second pass runs again at full size: more draws more detail and keeps less of "
            "the first pass.",
            0.1,
            0.9,
        ),
    ] = 0.3
    lead_in: Annotated[
        bool,
        About(
            "If the move does not start at the source camera, lead there from it and cut that off again: the model "
            "expects its first frame to be a complete picture."
        ),
    ] = True
    composite: Annotated[
        bool,
        About("Keep the source's own pixels wherever the guides show them; the model's are matched to them in colour."),
    ] = False
    feather: Annotated[int, About("Width in pixels of the composite's soft rim.", 0, 128)] = 8
    cache_threshold: Annotated[
        float,
        About(
            "First-block cache: a step that changes the first block's output by less than this share reuses the last "
            "full step's result. 0 computes every step; 0.05 to 0.1 saves time and costs exactness.",
            0.0,
            1.0,
        ),
    ] = 0.0
    fuse_lora: Annotated[bool, About("Add EX-4D's LoRA to the weights (faster) instead of running it beside them.")] = (
        True
    )
    compile: Annotated[bool, About("Compile the model on first use: about a minute once, faster steps ever after.")] = (
        True
    )
    device: Annotated[Literal["auto", "cuda", "cpu"], About("auto takes the GPU; cpu is for trying things out.")] = (
        "auto"
    )
    keep_loaded: Annotated[bool, About("Keep the model on the GPU between takes.")] = False

    checkpoint: Annotated[
        str, About("A checkpoint of your own: its folder's name below 'trained' in the weights folder. Empty: EX-4D's.")
    ] = ""

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt takes part."""
        return self.mode != "turbo" and self.cfg_scale != 1.0

    @property
    def step_count(self) -> int:
        """Denoising steps of the mode."""
        return TURBO_STEPS if self.mode == "turbo" else self.steps

    @property
    def refining_steps(self) -> int:
        """Steps of the second pass, where there is one."""
        return max(1, math.ceil(self.refine * self.step_count))


ABOUT = EngineInfo("wan", "Wan 2.1 (EX-4D's LoRA)", settings_of(WanSettings), "Apache-2.0 (Wan 2.1 and EX-4D weights)")


def checked(settings: Mapping[str, Any]) -> WanSettings:
    """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
    return WanSettings(**ABOUT.validated(settings))
