"""Checkpoints of a run: everything that the next step depends on, in folders that are whole or not there.

``step_000500/`` holds ``trained.safetensors`` (parameters), ``optimizer.safetensors``, ``ema.safetensors`` if there is
an average, ``state.json`` (the step, the configuration), and the exports. Chance needs no state: see
:mod:`ex4d.train.objective`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ex4d.train.model import TrainedModel
from ex4d.train.published import published_state, write_exports
from ex4d.train.sharded import filled, whole
from ex4d.weights.writing import whole_folder
from ex4d_ground.errors import WeightsError

TRAINED, OPTIMIZER, EMA, STATE = "trained.safetensors", "optimizer.safetensors", "ema.safetensors", "state.json"
_STEP = re.compile(r"step_(\d+)")


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints below ``folder``, oldest first."""
    found = [p for p in folder.glob("step_*") if _STEP.fullmatch(p.name) and (p / STATE).is_file()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("step_")))


def newest(folder: Path) -> Path | None:
    """The last checkpoint, if there is one."""
    return next(reversed(checkpoints(folder)), None)


def save(
    folder: Path,
    step: int,
    model: TrainedModel,
    optimizer: torch.optim.Optimizer,
    ema: Mapping[str, Tensor] | None,
    about: Mapping[str, Any],
    *,
    keep: int,
    writes: bool,
) -> Path:
    """A checkpoint after ``step`` steps; older ones beyond ``keep`` go. Every process calls it, one ``writes``.

    Raises OutputError; what was there before is then untouched.
    """
    from safetensors.torch import save_file

    target = folder / f"step_{step:06d}"
    trained = {name: whole(p).detach().cpu().clone() for name, p in model.trained().items()}
    moments = _optimizer_state(model, optimizer)
    averages = None if ema is None else {name: whole(t).cpu().clone() for name, t in ema.items()}
    published = published_state(model, ema)
    if not writes or target.exists():
        return target
    with whole_folder(target) as temporary:
        save_file(trained, temporary / TRAINED)
        save_file(moments, temporary / OPTIMIZER)
        if averages is not None:
            save_file(averages, temporary / EMA)
        write_exports(temporary, published, {"step": str(step)})
        (temporary / STATE).write_text(json.dumps({"step": step, **about}, indent=1) + "\n", encoding="utf-8")
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def restore(
    path: Path, model: TrainedModel, optimizer: torch.optim.Optimizer, ema: dict[str, Tensor] | None
) -> dict[str, Any]:
    """Put everything back as it was saved; gives ``state.json``. Raises WeightsError naming a key that does not fit."""
    from safetensors.torch import load_file

    state = json.loads((path / STATE).read_text(encoding="utf-8"))
    _fill(model.trained(), load_file(path / TRAINED), f"{path.name}/{TRAINED}")
    if ema is not None and (path / EMA).is_file():
        _fill(ema, load_file(path / EMA), f"{path.name}/{EMA}")
    moments = load_file(path / OPTIMIZER)
    parameters = model.trained()
    for name, p in parameters.items():
        own = {key.rpartition("|")[2]: value for key, value in moments.items() if key.rpartition("|")[0] == name}
        current: dict[str, Any] = optimizer.state[p]
        for key, value in own.items():
            if value.dim() == 0:  # the count of steps lies where the optimizer does its arithmetic
                current[key] = value.to(p.device if optimizer.defaults.get("fused") else "cpu", copy=True)
                continue
            current[key] = torch.zeros_like(p, dtype=value.dtype)
            filled(current[key], value)
    return state


def _optimizer_state(model: TrainedModel, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, p in model.trained().items():
        for key, value in optimizer.state.get(p, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}|{key}"] = whole(value).detach().cpu().clone()
    return found


def _fill(targets: Mapping[str, Tensor], values: Mapping[str, Tensor], what: str) -> None:
    odd = sorted(set(targets) ^ set(values))
    if odd:
        raise WeightsError(f"{what} and this training differ in {odd[0]} ({len(odd)} keys); use a folder of its own.")
    for name, target in targets.items():
        if target.shape != values[name].shape:
            raise WeightsError(
                f"{what} has {name} as {list(values[name].shape)}, this training {list(target.shape)}: "
                "the configuration was changed; use a folder of its own."
            )
        filled(target, values[name])
