"""Out of memory: smaller windows, then the CPU, one step at a time and never in silence.

An estimator says what it would do with less (:meth:`~ex4d.depth.estimator.DepthEstimator.smaller`); here it is asked
until the clip fits or nothing is left. Every step is told while it happens, through ``on_progress`` under the stage
:data:`~ex4d_ground.stages.DEPTH_MEMORY`, and stays in the result's warnings.
"""

import gc
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from ex4d.depth.base import DepthEstimate, FrameSource
from ex4d.depth.estimator import DepthEstimator
from ex4d.depth.models import ModelTooLargeError, pick_device
from ex4d.progress import Watch, check, report
from ex4d_ground import stages
from ex4d_ground.errors import DeviceMemoryError


def estimate_within_memory(
    estimator: DepthEstimator[Any],
    frames: FrameSource,
    *,
    settings: Mapping[str, Any],
    seed: int,
    **watch: Unpack[Watch],
) -> DepthEstimate:
    """The estimate, with as little taken back from ``settings`` as the memory allows; ``warnings`` say what.

    Raises DeviceMemoryError, with what was tried and advice, when nothing smaller is left.
    """
    values, tried = dict(settings), list[str]()
    while True:
        check(watch.get("cancel"))
        try:
            raw = estimator.estimate(frames, settings=values, seed=seed, **watch)
            return replace(raw, warnings=(*tried, *raw.warnings))
        except DeviceMemoryError as error:
            failed = error.with_traceback(None)  # the traceback's frames hold the very tensors that did not fit
            failed.__cause__ = failed.__context__ = None
        _give_back()
        step = estimator.smaller(values, frames.num_frames, weights_alone=isinstance(failed, ModelTooLargeError))
        if step is None:
            raise _nothing_left(failed, tried)
        tried.append(f"{_cause(failed)}; trying again {step.what}.")
        report(watch.get("on_progress"), stages.DEPTH_MEMORY, len(tried), len(tried), tried[-1])
        values = step.settings


def on_the_cpu(settings: Any) -> tuple[Any, str] | None:
    """The same on the CPU, for settings with a device and a dtype; None if it is there already.

    Half precision, which is for GPUs, is left to "auto".
    """
    if pick_device(settings.device).type == "cpu":
        return None
    dtype = "auto" if settings.dtype == "float16" else settings.dtype
    return replace(settings, device="cpu", dtype=dtype), "on the CPU, which takes far longer"


def _cause(error: DeviceMemoryError) -> str:
    """The error's first half: what happened, without the advice that is being followed just now."""
    return str(error).split(";", 1)[0].rstrip(".")


def _nothing_left(error: DeviceMemoryError, tried: list[str]) -> DeviceMemoryError:
    steps = f" Tried before: {' '.join(tried)}" if tried else ""
    return error.reworded(f"{str(error).rstrip('.')}.{steps}")


def _give_back() -> None:
    """Free what the failed attempt held, and let the device have it back."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
