"""What a take costs with the wan engine, reckoned from the model's published size. No torch here."""

from collections.abc import Mapping
from typing import Any

from ex4d.engines.gpu import Gpu
from ex4d.engines.wan.constants import SPATIAL, TEMPORAL
from ex4d.engines.wan.division import divided
from ex4d.engines.wan.plan import MemoryPlan, ModelSize, Workload, plans
from ex4d.engines.wan.settings import ABOUT, WanSettings, checked
from ex4d.engines.wan.tiles import Layout, layout
from ex4d.engines.wan.windows import Window, windows
from ex4d_ground.costs import Cost
from ex4d_ground.errors import DeviceMemoryError, SettingError
from ex4d_ground.remedies import Remedy

PUBLISHED = ModelSize(5120, 13824, 40)
"""Wan2.1-I2V-14B."""
PUBLISHED_HEADS = 40

# A forward of 13,312 tokens is 475 TFLOP: a part that grows with the tokens, and self-attention with their square.
_TOKENS, _LINEAR, _SQUARE = 13312, 330.0, 145.0


def forward_tflop(tokens: int, size: ModelSize = PUBLISHED) -> tuple[float, float]:
    """Of one forward: the part that grows with the tokens, and self-attention's."""
    share, width = tokens / _TOKENS, size.dim * size.num_layers / (PUBLISHED.dim * PUBLISHED.num_layers)
    return _LINEAR * share * width * size.dim / PUBLISHED.dim, _SQUARE * share**2 * width


def speed_of(gpu: str) -> float | None:
    """TFLOP/s that the model reaches in 16 bits on the GPU of that name; None if it is not known."""
    return next((speed for name, speed in _SPEEDS if name in gpu), None)


_CODEC_SECONDS = 2.5 / (49 * 512 * 512)  # a pixel of a frame encoded and decoded on an H200
_H200 = 622.0
_SPEEDS = (  # TFLOP/s the model reaches in 16 bits: measured on the H200, from published peaks in its ratio elsewhere
    ("B200", 1400.0), ("GH200", 622.0), ("H200", _H200), ("H100 PCIe", 420.0), ("H100", 590.0), ("H800", 590.0),
    ("A100", 195.0), ("A800", 195.0), ("L40S", 220.0), ("L40", 115.0), ("L4", 70.0), ("A40", 92.0), ("A10", 76.0),
    ("6000 Ada", 220.0), ("RTX PRO 6000", 250.0), ("A6000", 95.0), ("A5000", 68.0), ("5090", 130.0), ("5080", 70.0),
    ("5070", 45.0), ("4090", 105.0), ("4080", 62.0), ("4070", 38.0), ("3090", 45.0), ("3080", 38.0), ("3060", 16.0),
)  # fmt: skip
_FP8_GAIN = 1.39  # measured on an H200
_NO_FP8 = ("A100", "A800", "A40", "A10", "A6000", "A5000", "3090", "3080", "3060")
BUS = 20e9  # bytes a second from page-locked memory, or between GPUs without a link of their own
_LINKED = ("B200", "GH200", "H200", "H100", "H800", "A100", "A800")
_LINK = 200e9  # bytes a second between GPUs of one host that have one: half of what the slowest of them promise


def wan_cost(frames: int, width: int, height: int, settings: Mapping[str, Any], gpu: Gpu | None) -> Cost:
    """See :func:`ex4d.engines.cost`. Raises SettingError."""
    chosen = checked(settings)
    parts = windows(frames, window=chosen.window, overlap=chosen.overlap)
    way = layout(width, height, two_pass=chosen.two_pass)
    branches = 2 if chosen.is_guided else 1
    runs = _runs(parts, way, chosen)
    gpus = gpu.count if gpu else 1
    try:
        work = workload(parts, way, branches, cached=chosen.cache_threshold > 0, gpus=gpus)
        plan, problem, remedy = _plan(chosen, work, gpu)
    except SettingError as error:  # so many GPUs cannot share it
        plan, problem, remedy = None, str(error), None
    seconds = None
    if gpu is not None and plan is not None:
        pixels = way.width * way.height * sum(part.padded for part in parts)
        seconds = _seconds(runs, branches, pixels, plan, gpu)
    return Cost(
        engine=ABOUT.name,
        frames=frames,
        width=width,
        height=height,
        windows=len(parts),
        passes=2 if way.first else 1,
        tiles=len(way.tiles),
        forwards=branches * sum(count for count, _ in runs),
        gpu=gpu.name if gpu else "",
        gpus=gpus,
        gpu_bytes=gpu.total if gpu else 0,
        free_bytes=gpu.free if gpu else 0,
        plan=plan.name if plan else "",
        peak_bytes=plan.expected_peak if plan else None,
        seconds=seconds,
        problem=problem,
        remedy=remedy,
    )


def workload(
    parts: list[Window],
    way: Layout,
    branches: int,
    *,
    cached: bool = False,
    gpus: int = 1,
    heads: int = PUBLISHED_HEADS,
) -> Workload:
    """What the largest of everything that is made at once asks of the device, or of each of several.

    Raises SettingError where ``gpus`` cannot share it.
    """
    count = max(part.padded for part in parts)
    sizes = [(way.tile_size, len(way.tiles)), *([(way.first, 1)] if way.first else [])]
    lengths = {tokens(part.padded, *size): tiles for part in parts for size, tiles in sizes}
    ways = [
        divided(gpus, guided=branches > 1, heads=heads, tokens=length, tiles=tiles) for length, tiles in lengths.items()
    ]
    return Workload(
        max(tokens(count, *size) for size, _ in sizes),
        way.width * way.height,
        branches // ways[0].branches,
        len(way.tiles),
        cached,
        sharing=min(each.sequence if each.shares_tokens else 1 for each in ways),
        strips=gpus,
    )


def exchanged_bytes(tokens: int, sharing: int, size: ModelSize = PUBLISHED) -> float:
    """What each of ``sharing`` GPUs sends in one run: queries, keys, values and results of every block, in 16 bits."""
    own = tokens / sharing * size.dim * 2
    return 4 * own * (sharing - 1) / sharing * size.num_layers


def tokens(count: int, width: int, height: int) -> int:
    """Tokens of ``count`` = 4n + 1 frames."""
    return ((count - 1) // TEMPORAL + 1) * (height // SPATIAL // 2) * (width // SPATIAL // 2)


def _runs(parts: list[Window], way: Layout, settings: WanSettings) -> list[tuple[int, int]]:
    """(runs of the model, tokens of each) of every window and pass, for one branch of guidance."""
    runs = []
    for part in parts:
        if way.first is not None:
            runs.append((settings.step_count, tokens(part.padded, *way.first)))
        count = settings.step_count if way.first is None else settings.refining_steps * len(way.tiles)
        runs.append((count, tokens(part.padded, *way.tile_size)))
    return runs


def _plan(settings: WanSettings, work: Workload, gpu: Gpu | None) -> tuple[MemoryPlan | None, str, Remedy | None]:
    """The plan the engine would begin with, or why there is none and what to do about it."""
    if settings.device == "cpu":
        return None, "It runs on the processor, which takes hours to days at this model's size.", None
    if gpu is None:
        text = "There is no GPU here: this engine needs one with at least 8 GiB of memory, on a backend that has."
        return None, text, None
    try:
        return plans(settings.mode, settings.memory, PUBLISHED, work, gpu.free)[0], "", None
    except DeviceMemoryError as error:
        return None, str(error), error.remedy


def _seconds(runs: list[tuple[int, int]], branches: int, pixels: int, plan: MemoryPlan, gpu: Gpu) -> float | None:
    speed = speed_of(gpu.name)
    if speed is None:
        return None
    side_by_side = 2 if branches > 1 and gpu.count % 2 == 0 else 1
    sharing = gpu.count // side_by_side
    fp8 = plan.fp8 and not any(name in gpu.name for name in _NO_FP8)
    total = _CODEC_SECONDS * pixels * _H200 / speed / gpu.count
    streamed = (PUBLISHED.num_layers - plan.resident_blocks) * PUBLISHED.block_parameters * (1 if plan.fp8 else 2)
    for count, length in runs:
        work = sum(forward_tflop(length)) / (speed * (_FP8_GAIN if fp8 else 1)) / sharing
        exchange = exchanged_bytes(length, sharing) / (_LINK if any(name in gpu.name for name in _LINKED) else BUS)
        total += count * branches / side_by_side * (max(work, streamed / BUS) + exchange)
    return total
