"""Memory plans: what stays on the device, what that needs, and which plan to try when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from ex4d_ground.costs import GIB
from ex4d_ground.errors import DeviceMemoryError, SettingError
from ex4d_ground.remedies import offload

Mode = Literal["exact", "fast", "fp8", "turbo"]
Memory = Literal["auto", "resident", "fp8", "offload"]
PlanName = Literal["resident", "fp8", "offload"]

SLOTS = 3
"""Blocks of the offload plan that are on the GPU while others stream."""
_RESERVE = 700 << 20  # CUDA context, cuBLAS and cuDNN workspaces, fragmentation
_CONDITIONING = 4  # of a block's 12 large matrices' worth: cross-attention keys and values, text and image
_GEOMETRY_PARAMETERS, _GEOMETRY_WIDTH = 23_200_000, 1024  # EX-4D's encoder, float32
_VAE_PARAMETERS, _CLIP_PARAMETERS = 127_000_000, 632_000_000
FFN_ROWS = 4096
"""Tokens that pass the feed-forward at once in the offload plan."""


@dataclass(frozen=True)
class ModelSize:
    """The transformer's dimensions that memory depends on."""

    dim: int
    ffn_dim: int
    num_layers: int
    text_tokens: int = 512
    image_tokens: int = 257

    @classmethod
    def of(cls, config: Mapping[str, object]) -> ModelSize:
        """From the transformer's configuration."""
        heads, per_head = config["num_attention_heads"], config["attention_head_dim"]
        ffn, layers = config["ffn_dim"], config["num_layers"]
        assert isinstance(heads, int) and isinstance(per_head, int) and isinstance(ffn, int) and isinstance(layers, int)
        return cls(heads * per_head, ffn, layers)

    @property
    def block_parameters(self) -> int:
        """Parameters of one block that every step needs."""
        return 6 * self.dim**2 + 2 * self.dim * self.ffn_dim

    @property
    def conditioning_parameters(self) -> int:
        """Parameters of one block that only a shot's start needs."""
        return _CONDITIONING * self.dim**2


@dataclass(frozen=True)
class Workload:
    """What one window asks of the device."""

    tokens: int  # latent frames * h/2 * w/2, of what the transformer makes at once
    pixels: int  # H * W of one frame
    branches: int  # 2 with guidance, 1 without
    tiles: int = 1
    """Parts a frame is made in; with several, geometry is encoded for each in every step."""
    cached: bool = False
    """With the first-block cache."""
    sharing: int = 1
    """GPUs that share each run's tokens; all the plan's figures are of one of them."""
    strips: int = 1
    """GPUs that share each picture's encoding and decoding."""


@dataclass(frozen=True)
class MemoryPlan:
    """A decision, with the peak it is expected to reach on the device."""

    name: PlanName
    fp8: bool
    resident_blocks: int
    vae_tiled: bool
    vae_float32: bool
    expected_peak: int  # bytes
    deals_videos: bool = True
    """Whether GPUs that share a take encode a video each instead of a strip of every video."""

    @property
    def saving(self) -> bool:
        """Whether memory counts more than speed: parts leave the device between uses, large layers run in pieces."""
        return self.name == "offload"

    @property
    def ffn_rows(self) -> int:
        """Tokens that pass the feed-forward at once; 0 is all."""
        return FFN_ROWS if self.saving else 0

    def __str__(self) -> str:
        weights = "8-bit" if self.fp8 else "16-bit"
        tiles = ", VAE in tiles" if self.vae_tiled else ""
        return f"{self.name} ({weights} weights{tiles}), about {self.expected_peak / GIB:.1f} GiB on the GPU"


@dataclass(frozen=True)
class Phases:
    """Bytes on the device at the peak of each phase of a run, in order, without what CUDA itself needs."""

    loading: int
    encoding: int
    starting: int
    denoising: int
    decoding: int

    @property
    def peak(self) -> int:
        """Of all of them."""
        return max(self.loading, self.encoding, self.starting, self.denoising, self.decoding)


def phases(plan: MemoryPlan, mode: Mode, size: ModelSize, work: Workload) -> Phases:
    """What each phase needs under ``plan`` (whose expected peak is not looked at)."""
    streamed = plan.resident_blocks < size.num_layers
    blocks = size.block_parameters * (1 if plan.fp8 else 2) * (plan.resident_blocks + (SLOTS if streamed else 0))
    base = blocks + 4 * _GEOMETRY_PARAMETERS + 3000 * size.dim
    vae = _VAE_PARAMETERS * (4 if plan.vae_float32 else 2)
    kept = 0 if plan.saving else vae  # between its two turns

    def codec(work: Workload) -> int:
        return vae + vae_bytes(work, tiled=plan.vae_tiled, float32=plan.vae_float32)

    encoder = codec(replace(work, strips=1) if plan.deals_videos else work)
    # Encoded guides: three layers' worth at the latents' full size, then the tokens.
    geometry = 4 * work.tokens * (4 * 3 * _GEOMETRY_WIDTH + size.dim)
    tokens = 4 * work.tokens * size.dim
    cross = 4 * size.dim * size.num_layers * (work.branches * size.text_tokens + size.image_tokens)
    embedders = 30 * size.dim**2 + 2 * size.conditioning_parameters  # time in float32; one block's, borrowed
    denoising = cross + tokens + loop_bytes(size, work, residual_bytes=4 if mode == "exact" else 2, rows=plan.ffn_rows)
    return Phases(
        loading=base + (12 if plan.fp8 else 8) * size.dim * size.ffn_dim,  # the largest tensor, with its LoRA
        encoding=base
        + max(vae + 2 * _CLIP_PARAMETERS + (64 << 20), encoder, vae + (0 if work.tiles > 1 else geometry)),
        starting=base + kept + cross + tokens + embedders,
        denoising=base + kept + denoising + (geometry if work.tiles > 1 else 0),
        decoding=base + codec(work),
    )


def loop_bytes(size: ModelSize, work: Workload, *, residual_bytes: int, rows: int) -> int:
    """What a forward needs besides weights and the shot's constants: activations, and what is kept for later ones."""
    own = -(-work.tokens // work.sharing)
    stream = own * size.dim * residual_bytes
    at_once = min(own, rows or own)
    # Normed rows, queries, keys and values before and after rotation; the feed-forward's hidden rows.
    activations = own * size.dim * (2 * residual_bytes + 14) + at_once * size.ffn_dim * 4
    if work.sharing > 1:  # queries, keys and values once to send and once received
        activations += own * size.dim * 2 * 6
    shared = own * size.dim * (residual_bytes + 2) if work.branches == 2 else 0
    cached = stream * (2 * work.branches + 1) if work.cached else 0
    return activations + shared + cached


def vae_bytes(work: Workload, *, tiled: bool, float32: bool) -> int:
    """Peak of encoding or decoding: the convolutions' past and one chunk, about 12 kB a pixel in 16 bits.

    Measured on an H200 at 512x512, decoding: 3.3 GiB in 16 bits, 6.1 GiB in 32, of which a quarter is workspace.
    """
    pixels = (min(work.pixels, 384 * 384) if tiled else work.pixels) // work.strips
    return pixels * 12_000 * (2 if float32 else 1) + (600 << 20)


def make_plan(name: PlanName, mode: Mode, size: ModelSize, work: Workload, free: int, resident: int) -> MemoryPlan:
    """The plan of that name with ``resident`` blocks on the device.

    The VAE encodes strips where whole videos would not fit, and runs in tiles where strips would not.
    """
    fast = MemoryPlan(name, mode == "fp8" or name == "fp8", resident, False, mode == "exact", 0)
    in_strips = replace(fast, deals_videos=False)
    limit = (0.9 * free if fast.saving else free) - _RESERVE
    for plan in (fast, in_strips, replace(in_strips, vae_tiled=True)):
        need = phases(plan, mode, size, work)
        if max(need.encoding, need.decoding) <= limit:
            break
    return replace(plan, expected_peak=need.peak + _RESERVE)


def plans(mode: Mode, memory: Memory, size: ModelSize, work: Workload, free: int) -> list[MemoryPlan]:
    """Plans to try in order; the first is expected to fit ``free`` bytes, the others are for when it does not.

    Raises SettingError for an unknown name, DeviceMemoryError if the smallest asked-for plan cannot fit.
    """
    if memory not in get_args(Memory):
        raise SettingError(f"memory must be one of {', '.join(get_args(Memory))}, got {memory!r}.")
    every = size.num_layers
    wanted: list[MemoryPlan] = []
    if memory in ("auto", "resident"):
        wanted.append(make_plan("resident", mode, size, work, free, every))
    if memory in ("auto", "fp8"):
        wanted.append(make_plan("fp8", mode, size, work, free, every))
    if memory in ("auto", "offload"):
        wanted += _offload_plans(mode, size, work, free)
    fitting = [plan for plan in wanted if plan.expected_peak <= free]
    if fitting:
        return fitting
    least = min(wanted, key=lambda plan: plan.expected_peak)
    raise DeviceMemoryError(
        f"The {memory} plan needs about {least.expected_peak / GIB:.1f} GiB and {free / GIB:.1f} GiB are free on the "
        "GPU: close other programs, or ask for fewer pixels or frames.",
        remedy=None if memory in ("auto", "offload") else offload(),
    )


def _offload_plans(mode: Mode, size: ModelSize, work: Workload, free: int) -> list[MemoryPlan]:
    """As many blocks resident as fit in nine tenths of ``free``, then none."""
    best = 0
    for resident in range(size.num_layers - SLOTS, -1, -1):
        if make_plan("offload", mode, size, work, free, resident).expected_peak <= 0.9 * free:
            best = resident
            break
    counts = [best, 0] if best else [0]
    return [make_plan("offload", mode, size, work, free, count) for count in counts]
