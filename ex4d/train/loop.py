"""The training loop: one process or several, stopped at any moment and gone on with exactly."""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import msgspec
import torch

from ex4d.engines.wan.cost_model import tokens
from ex4d.progress import Watch, check, report
from ex4d.train import state
from ex4d.train.building import build, resolved
from ex4d.train.config import ConfigError, TrainConfig
from ex4d.train.dataset import MANIFEST, Dataset, file_sha256
from ex4d.train.errors import DivergedError
from ex4d.train.held_out import held_out_loss
from ex4d.train.model import TrainedModel
from ex4d.train.objective import Levels, Losses, draw, flow_loss, generator
from ex4d.train.optimiser import make_optimizer, rate_at
from ex4d.train.order import Order
from ex4d.train.record import Record
from ex4d.train.sampling import write_samples
from ex4d.weights.layout import WanWeights
from ex4d_ground.errors import Cancelled

STAGE = "training"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    steps: int
    loss: float
    """Of the last step."""
    checkpoint: Path | None
    """The newest."""


def train(config: TrainConfig, *, weights: WanWeights | None = None, **watch: Unpack[Watch]) -> Outcome:
    """Train as ``config`` says, going on from the newest checkpoint in its folder.

    In a program that accelerate or torchrun started several times, each process takes its part of every batch.
    Raises ConfigError, DatasetError, WeightsError, DivergedError (a loss that is no number: the last checkpoint is
    kept), OutputError, Cancelled (after a checkpoint of where it stood).
    """
    if not config.data.dataset or not config.output.folder:
        missing = "data.dataset" if not config.data.dataset else "output.folder"
        raise ConfigError(f"The configuration sets no {missing}; set it in the TOML file.")
    run = _Run(config, weights, watch)
    try:
        return run.go()
    finally:
        run.close()


class _Run:
    def __init__(self, config: TrainConfig, weights: WanWeights | None, watch: Watch):
        self._watch = watch
        self.folder = Path(config.output.folder)
        self.data = Dataset(Path(config.data.dataset), config.data.kinds)
        self.accelerator = _accelerator(config)
        self.device: torch.device = self.accelerator.device
        largest = max(tokens(s.frames, s.width, s.height) for s in self.data.training)
        self.config = config = resolved(config, largest, weights, self.device)
        world = self.accelerator.num_processes
        self.batch, self.accumulate = config.data.batch, config.train.accumulate
        self.global_batch = self.batch * self.accumulate * world
        self.order = Order(self.data.training, self.global_batch, config.train.seed)
        self.levels = Levels.shifted(config.train.shift)
        self.model: TrainedModel = build(config, self.device, weights=weights, **watch)
        self.optimizer = make_optimizer(self.model.trained().values(), config.train)
        self.wrapped = self._wrap()
        self.parameters = self.model.trained()
        decay = config.train.ema
        self.ema = {n: p.detach().clone() for n, p in self.parameters.items()} if decay else None
        self.weights = weights
        self.step = self._resume()
        self.saved: Path | None = state.newest(self.folder)
        writes = self.accelerator.is_main_process
        self.record = Record(self.folder, self.step, tensorboard=config.output.tensorboard) if writes else None

    def _wrap(self) -> Any:
        if self.accelerator.num_processes == 1:
            return self.model
        if self.config.parallel.kind == "fsdp2":
            wrapped, prepared = self.accelerator.prepare(self.model, self.optimizer)
            self.optimizer = prepared.optimizer
            return wrapped
        return self.accelerator.prepare_model(self.model, device_placement=False)

    def _resume(self) -> int:
        path = state.newest(self.folder)
        if path is None:
            return 0
        self._check_same(path)
        return int(state.restore(path, self.model, self.optimizer, self.ema)["step"])

    def _about(self) -> dict[str, Any]:
        config = self.config
        return {
            "train": {k: v for k, v in msgspec.to_builtins(config.train).items() if k not in ("steps", "accumulate")},
            "model": {k: v for k, v in msgspec.to_builtins(config.model).items() if k != "weights"},
            "kinds": list(config.data.kinds),
            "global_batch": self.global_batch,
            "dataset": file_sha256(self.data.folder / MANIFEST),
        }

    def _check_same(self, path: Path) -> None:
        """What the steps depend on must be what it was when the run began."""
        begun = json.loads((path / state.STATE).read_text(encoding="utf-8"))
        for key, now in self._about().items():
            before = begun.get(key)
            if before == now:
                continue
            if isinstance(now, dict) and isinstance(before, dict):
                name = next(k for k in now if now[k] != before.get(k))
                key, now, before = f"{key}.{name}", now[name], before.get(name)
            raise ConfigError(
                f"{self.folder} was begun with {key} = {before!r}, the configuration has {now!r}: "
                "go on as it was, or use another output.folder."
            )

    def go(self) -> Outcome:
        config, last = self.config, math.nan
        total = config.train.steps
        report(self._watch.get("on_progress"), STAGE, self.step, total)
        try:
            while self.step < total:
                check(self._watch.get("cancel"))
                began = time.monotonic()
                losses, norm = self._one_step()
                self.step += 1
                last = losses["loss"]
                self._log({**losses, "norm": norm, "rate": rate_at(self.step - 1, config.train)}, began)
                self._measure()
                report(self._watch.get("on_progress"), STAGE, self.step, total)
                if self._is_due(config.output.checkpoint_every):
                    self._save()
        except Cancelled:
            if self.step:
                self._save()
            raise
        self._save()
        return Outcome(self.step, last, self.saved)

    def _one_step(self) -> tuple[dict[str, float], float]:
        samples = self.order.at(self.step)
        process, found = self.accelerator.process_index, []
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, self.config.train)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(self.accumulate):
            # Places in the global batch go round the processes first: n processes add up to what one would take.
            first = (part * self.accelerator.num_processes + process) * self.batch
            losses = self._forward_backward(range(first, first + self.batch), samples, last=part + 1 == self.accumulate)
            found.append(torch.stack([losses.loss.detach(), losses.plain.mean(), losses.hidden.nanmean()]))
        mean = self.accelerator.reduce(torch.stack(found).mean(0), "mean")
        loss, plain, hidden = (float(v) for v in mean)
        norm = float(self.accelerator.clip_grad_norm_(list(self.parameters.values()), self.config.train.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            kept = f"the checkpoint {self.saved} is kept" if self.saved else "there is no checkpoint yet"
            what = "loss" if not math.isfinite(loss) else "gradient"
            raise DivergedError(
                f"Step {self.step + 1} has a {what} of {loss if what == 'loss' else norm}; {kept}: lower "
                "train.learning_rate or look at the data."
            )
        self.optimizer.step()
        self._average()
        return {"loss": loss, "plain": plain, "hidden": hidden}, norm

    def _forward_backward(self, places: range, samples: list[Any], *, last: bool) -> Losses:
        config = self.config.train
        chosen = [samples[place] for place in places]
        shape = tuple(_latent_shape(chosen[0]))
        draws = [
            draw(
                config.seed,
                self.step,
                place,
                shape,
                geometry_dropout=config.geometry_dropout,
                prompt_dropout=config.prompt_dropout,
            )
            for place in places
        ]
        picks = []
        for place, sample in zip(places, chosen, strict=True):
            chance = generator(config.seed, "mask", self.step, place)
            picks.append((sample, self.data.mask_of(sample, int(torch.randint(1 << 30, (), generator=chance)))))
        batch = self.data.batch(picks, [d.drop_prompt for d in draws]).to(self.device)
        levels = torch.tensor([d.level for d in draws])
        scale = [float(self.config.model.geometry and not d.drop_geometry) for d in draws]
        with self.model.attention(), self._sync(last):
            losses = flow_loss(
                self.wrapped,
                batch,
                torch.stack([d.noise for d in draws]).to(self.device),
                self.levels.sigmas[levels].to(self.device),
                self.levels.weights[levels].to(self.device),
                torch.tensor(scale, device=self.device),
            )
            (losses.loss / self.accumulate).backward()
        return losses

    def _sync(self, last: bool) -> Any:
        single = self.accelerator.num_processes == 1
        return nullcontext() if last or single else self.accelerator.no_sync(self.wrapped)

    @torch.no_grad()
    def _average(self) -> None:
        if self.ema is not None:
            for name, average in self.ema.items():
                average.lerp_(self.parameters[name].detach(), 1 - self.config.train.ema)

    def _is_due(self, every: int) -> bool:
        return every > 0 and self.step % every == 0

    def _measure(self) -> None:
        output = self.config.output
        if self._is_due(output.held_out_every) and self.data.held_out:
            clips = self.data.held_out[: output.held_out_clips]
            found = held_out_loss(
                self.wrapped,
                self.model,
                self.data,
                clips,
                accelerator=self.accelerator,
                geometry=self.config.model.geometry,
            )
            if self.record is not None:
                self.record.add(self.step, found)
        if self._is_due(output.sample_every) and self.data.held_out:
            target = self.folder / "samples" / f"step_{self.step:06d}"
            write_samples(
                target,
                self.wrapped,
                self.model,
                self.data,
                self.data.held_out[0],
                weights=self.weights,
                config=self.config,
                writes=self.accelerator.is_main_process,
            )

    def _log(self, values: dict[str, float], began: float) -> None:
        if self.record is None:
            return
        more: dict[str, float] = {"seconds": round(time.monotonic() - began, 4)}
        if self.device.type == "cuda":
            more["gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)
        self.record.add(self.step, {**values, **more})

    def _save(self) -> None:
        self.saved = state.save(
            self.folder,
            self.step,
            self.model,
            self.optimizer,
            self.ema,
            self._about(),
            keep=self.config.output.keep,
            writes=self.accelerator.is_main_process,
        )
        self.accelerator.wait_for_everyone()

    def close(self) -> None:
        record = getattr(self, "record", None)
        if record is not None:
            record.close()


def _latent_shape(sample: Any) -> tuple[int, ...]:
    from ex4d.engines.wan.conditioning import latent_shape

    return latent_shape(sample.frames, sample.height, sample.width)[1:]


def _accelerator(config: TrainConfig) -> Any:
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    on_cpu = not torch.cuda.is_available()
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    plugin: dict[str, Any] = {}
    if config.parallel.kind == "fsdp2":
        from accelerate.utils import FullyShardedDataParallelPlugin

        plugin["fsdp_plugin"] = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["TrainedBlock"],
            cpu_ram_efficient_loading=False,
            state_dict_type="SHARDED_STATE_DICT",
        )
    return Accelerator(cpu=on_cpu, kwargs_handlers=[ddp], **plugin)
