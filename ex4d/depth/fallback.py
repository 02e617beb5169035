"""Out of memory: smaller windows, then the CPU, one step at a time and never in silence.

An estimator says what it would do with less (:meth:`~ex4d.depth.base.DepthEstimator.smaller`); here it is asked until
the clip fits or nothing is left. Every step is told while it happens, through ``on_progress`` under the stage
:data:`MEMORY_STAGE`, and stays in the result's warnings.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ex4d.depth.base import DepthEstimate, DepthEstimator, FrameSource, Smaller
from ex4d.depth.models import ModelTooLargeError, pick_device
from ex4d.errors import DeviceMemoryError
from ex4d.progress import CancelToken, OnProgress, check, report

MEMORY_STAGE = "depth: out of memory"
"""The stage under which a step to a smaller plan is reported; the message says what is done."""
SMALLEST_WINDOW = 8
"""Windows are not halved below this: what they share would be too little to join them."""


def estimate_within_memory(
    estimator: DepthEstimator,
    frames: FrameSource,
    *,
    settings: Mapping[str, Any],
    seed: int,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> DepthEstimate:
    """The estimate, with as little taken back from ``settings`` as the memory allows; ``warnings`` say what.

    Raises DeviceMemoryError, with what was tried and advice, when nothing smaller is left.
    """
    values, tried = dict(settings), list[str]()
    while True:
        check(cancel)
        try:
            found = estimator.estimate(frames, settings=values, seed=seed, on_progress=on_progress, cancel=cancel)
            return replace(found, warnings=(*tried, *found.warnings))
        except DeviceMemoryError as error:
            failed = error.with_traceback(None)  # the traceback's frames hold the very tensors that did not fit
            failed.__cause__ = failed.__context__ = None
        _give_back()
        step = estimator.smaller(values, frames.num_frames, weights_alone=isinstance(failed, ModelTooLargeError))
        if step is None:
            raise _nothing_left(failed, tried)
        tried.append(f"{_cause(failed)}; trying again {step.what}.")
        report(on_progress, MEMORY_STAGE, len(tried), len(tried), tried[-1])
        values = step.settings


def smaller_window(settings: Mapping[str, Any], num_frames: int, *, overlap: str | None = "overlap") -> Smaller | None:
    """Half the window, with the overlap in proportion; None if it would be shorter than :data:`SMALLEST_WINDOW`."""
    window = min(settings["window"], num_frames) // 2
    if window < SMALLEST_WINDOW:
        return None
    values = {**settings, "window": window}
    if overlap is not None:
        values[overlap] = max(1, min(settings[overlap] * window // settings["window"], window - 1))
    return Smaller(values, f"with windows of {window} frames")


def on_the_cpu(settings: Mapping[str, Any]) -> Smaller | None:
    """The same on the CPU; None if it is there already. Half precision, which is for GPUs, is left to "auto"."""
    if pick_device(settings["device"]).type == "cpu":
        return None
    dtype = "auto" if settings["dtype"] == "float16" else settings["dtype"]
    return Smaller({**settings, "device": "cpu", "dtype": dtype}, "on the CPU, which takes far longer")


def _cause(error: DeviceMemoryError) -> str:
    """The error's first half: what happened, without the advice that is being followed just now."""
    return str(error).split(";", 1)[0].rstrip(".")


def _nothing_left(error: DeviceMemoryError, tried: list[str]) -> DeviceMemoryError:
    steps = f" Tried before: {' '.join(tried)}" if tried else ""
    return type(error)(f"{str(error).rstrip('.')}.{steps}")


def _give_back() -> None:
    """Free what the failed attempt held, and let the device have it back."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
