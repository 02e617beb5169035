"""Memory plans: what stays on the device, what that needs, and which plan to try when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ex4d.errors import DeviceMemoryError, SettingError

Mode = Literal["exact", "fast", "fp8", "turbo"]
Memory = Literal["auto", "resident", "fp8", "offload"]
MODES: tuple[Mode, ...] = ("exact", "fast", "fp8", "turbo")
MEMORY: tuple[Memory, ...] = ("auto", "resident", "fp8", "offload")

GIB = 1 << 30
_SLOTS = 3
_RESERVE = 700 << 20  # CUDA context, cuBLAS and cuDNN workspaces, fragmentation
_CONDITIONING = 4  # of a block's 12 large matrices' worth: cross-attention keys and values, text and image


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

    tokens: int  # latent frames * h/2 * w/2
    pixels: int  # H * W of one frame
    branches: int  # 2 with guidance, 1 without


@dataclass(frozen=True)
class MemoryPlan:
    """A decision, with the peak it is expected to reach on the device."""

    name: Literal["resident", "fp8", "offload"]
    fp8: bool
    resident_blocks: int
    vae_tiled: bool
    vae_float32: bool
    expected_peak: int  # bytes

    def __str__(self) -> str:
        weights = "8-bit" if self.fp8 else "16-bit"
        tiles = ", VAE in tiles" if self.vae_tiled else ""
        return f"{self.name} ({weights} weights{tiles}), about {self.expected_peak / GIB:.1f} GiB on the GPU"


def steps_bytes(size: ModelSize, work: Workload, *, fp8: bool, resident_blocks: int, residual_bytes: int = 4) -> int:
    """Peak of the denoising loop."""
    per_block = size.block_parameters * (1 if fp8 else 2)
    streamed = size.num_layers - resident_blocks
    blocks = per_block * (resident_blocks + (_SLOTS if streamed else 0))
    cross = 4 * size.dim * size.num_layers * (work.branches * size.text_tokens + size.image_tokens)
    shot = 2 * size.conditioning_parameters  # one block's, borrowed at the start
    activations = work.tokens * (size.dim * (2 * residual_bytes + 14) + size.ffn_dim * 4)
    outer = 64 * size.dim * 12 + 4 * size.dim * work.tokens  # embeddings, geometry tokens
    return blocks + cross + shot + activations + outer


def vae_bytes(work: Workload, *, tiled: bool, float32: bool) -> int:
    """Peak of encoding or decoding: the convolutions' past and one chunk, about 12 kB a pixel in 16 bits.

    Measured on an H200 at 512x512 with the other encoders beside it: 4.5 GiB in 16 bits, 7.2 GiB in 32.
    """
    pixels = min(work.pixels, 384 * 384) if tiled else work.pixels
    return pixels * 12_000 * (2 if float32 else 1) + (600 << 20)


def _plan(
    name: Literal["resident", "fp8", "offload"], mode: Mode, size: ModelSize, work: Workload, free: int, resident: int
) -> MemoryPlan:
    fp8 = mode == "fp8" or name == "fp8"
    residual = 4 if mode == "exact" else 2
    loop = steps_bytes(size, work, fp8=fp8, resident_blocks=resident, residual_bytes=residual)
    blocks = size.block_parameters * (1 if fp8 else 2) * (resident + (_SLOTS if resident < size.num_layers else 0))
    float32 = mode == "exact"
    tiled = blocks + vae_bytes(work, tiled=False, float32=float32) + _RESERVE > free
    peak = max(loop, blocks + vae_bytes(work, tiled=tiled, float32=float32)) + _RESERVE
    return MemoryPlan(name, fp8, resident, tiled, float32, peak)


def plans(mode: Mode, memory: Memory, size: ModelSize, work: Workload, free: int) -> list[MemoryPlan]:
    """Plans to try in order; the first is expected to fit ``free`` bytes, the others are for when it does not.

    Raises SettingError for an unknown name, DeviceMemoryError if the smallest asked-for plan cannot fit.
    """
    if memory not in MEMORY:
        raise SettingError(f"memory must be one of {', '.join(MEMORY)}, got {memory!r}.")
    every = size.num_layers
    wanted: list[MemoryPlan] = []
    if memory in ("auto", "resident"):
        wanted.append(_plan("resident", mode, size, work, free, every))
    if memory in ("auto", "fp8"):
        wanted.append(_plan("fp8", mode, size, work, free, every))
    if memory in ("auto", "offload"):
        wanted += _offload_plans(mode, size, work, free)
    fitting = [plan for plan in wanted if plan.expected_peak <= free]
    if fitting:
        return fitting
    least = min(wanted, key=lambda plan: plan.expected_peak)
    smaller = "" if memory in ("auto", "offload") else "use --memory offload, "
    raise DeviceMemoryError(
        f"The {memory} plan needs about {least.expected_peak / GIB:.1f} GiB and {free / GIB:.1f} GiB are free on the "
        f"GPU; {smaller}close other programs, or ask for fewer pixels or frames."
    )


def _offload_plans(mode: Mode, size: ModelSize, work: Workload, free: int) -> list[MemoryPlan]:
    """As many blocks resident as fit in nine tenths of ``free``, then none."""
    best = 0
    for resident in range(size.num_layers - _SLOTS, -1, -1):
        if _plan("offload", mode, size, work, free, resident).expected_peak <= 0.9 * free:
            best = resident
            break
    counts = [best, 0] if best else [0]
    return [_plan("offload", mode, size, work, free, count) for count in counts]
