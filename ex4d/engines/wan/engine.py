"""The wan engine: from guides to frames, with everything that can go wrong turned into a sentence."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from msgspec import structs

from ex4d.engines.base import GenerateRequest, Hooks
from ex4d.engines.gpu import Gpu
from ex4d.engines.members import joined
from ex4d.engines.wan.constants import NEGATIVE_PROMPT, PROMPT
from ex4d.engines.wan.cost_model import wan_cost
from ex4d.engines.wan.settings import ABOUT, WanSettings, checked
from ex4d.progress import CancelToken, OnProgress, Progress, Watch, check, report
from ex4d.weights.layout import WanWeights
from ex4d_ground.arrays import UInt8
from ex4d_ground.costs import rough_time
from ex4d_ground.descriptions import EngineInfo, as_it_is_here
from ex4d_ground.errors import DeviceMemoryError, EngineError, Ex4dError, MissingExtraError, SettingError, WeightsError
from ex4d_ground.remedies import fetch_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ex4d.engines.group import Group
    from ex4d.engines.wan.clip import ClipRun
    from ex4d.engines.wan.pipeline import PipelineOptions, WanPipeline
    from ex4d.engines.wan.plan import MemoryPlan, ModelSize, Workload

_NEEDS = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors")


class WanEngine:
    """EX-4D's model. ``weights`` default to the user's weights folder, ``cache`` to the user's cache folder."""

    about = ABOUT
    needs_gpu = True
    cost = staticmethod(wan_cost)

    def __init__(self, weights: WanWeights | None = None, *, cache: Path | None = None):
        self._weights = weights
        self._cache = cache
        self._kept: tuple[tuple[Any, ...], WanPipeline] | None = None

    def info(self) -> EngineInfo:
        """The engine's settings, and what is missing if it cannot run."""
        names = self.weights.trained_names
        if not names:
            return as_it_is_here(self.about, self._require)
        here = f" Here: {', '.join(names)}."
        settings = tuple(
            structs.replace(each, help=each.help + here) if each.name == "checkpoint" else each
            for each in self.about.settings
        )
        return as_it_is_here(structs.replace(self.about, settings=settings), self._require)

    @property
    def weights(self) -> WanWeights:
        """The files the engine uses."""
        return self._weights or WanWeights.under()

    def _weights_of(self, settings: WanSettings) -> WanWeights:
        """With the checkpoint that the settings name. Raises SettingError."""
        return self.weights.trained(settings.checkpoint) if settings.checkpoint else self.weights

    def generate(self, request: GenerateRequest, **hooks: Unpack[Hooks]) -> UInt8:  # [N, H, W, 3]
        """Frames for the request's guides.

        Raises SettingError, WeightsError, DeviceMemoryError, EngineError (which names the step), Cancelled, and Paused
        and OutputError where windows are kept. After any of them the device's memory is free again.
        """
        settings = checked(request.settings)
        if request.kept is not None:
            request.kept.require_more()
        _require_packages()
        self._weights_of(settings).require(turbo=settings.mode == "turbo", text_encoder=False)
        stage = _Stage(hooks.get("on_progress"))
        failure: BaseException | None = None
        try:
            return self._run(request, settings, stage, hooks)
        except BaseException as error:  # noqa: BLE001 - freeing the device comes first, whatever it was
            # The traceback's frames hold tensors on the device; keep the text, let the frames go.
            text = "".join(traceback.format_exception(error))
            failure = error.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
        self.close()
        group = joined()
        if group is not None and group.broken and not isinstance(failure, DeviceMemoryError):
            raise _lost(failure, stage)
        if isinstance(failure, Ex4dError) or not isinstance(failure, Exception):
            raise failure
        wrapped = EngineError(
            f"The wan engine failed while {stage} ({type(failure).__name__}: {_first_line(failure)})."
        )
        wrapped.add_note(text)
        raise wrapped

    def _require(self) -> None:
        """Raise what is missing for the usual prompts: the text encoder is not, once their embeddings are on disk."""
        _require_packages()
        self.weights.require(text_encoder=False)
        try:
            self.weights.require()
        except WeightsError:
            from ex4d.engines.wan.text import PromptCache

            if not PromptCache(self._cache or default_cache(), None).has([PROMPT, NEGATIVE_PROMPT]):
                raise

    def close(self) -> None:
        """Let go of a model that was kept loaded, and of the device's memory."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()
        del kept
        free_device()

    def _run(self, request: GenerateRequest, settings: WanSettings, stage: _Stage, hooks: Hooks) -> UInt8:
        from ex4d.engines.wan.clip import ClipRun

        group, cancel = joined(), hooks.get("cancel")
        device = choose_device(settings.device) if group is None else _device_of(group, settings.device)
        contexts = self._contexts(settings, device, stage, cancel)
        check(cancel)
        run = ClipRun(request, settings, contexts, hooks.get("on_frame"))
        for plan, is_last in self._plans(settings, run, device):
            stage(Progress("planning", 1, 1, f"Memory plan: {plan}.{_rough_time(request, device)}"))
            try:
                pipe = self._pipeline(settings, plan, device, stage, cancel)
                frames = run(pipe, on_progress=stage, cancel=cancel)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if is_last or group is not None:  # the others wait for this process in the midst of something
                    raise _no_plan_left(plan, run) from None
            else:
                if not settings.keep_loaded:
                    self.close()
                return frames
            self.close()
            stage(Progress("planning", 0, 1, f"The {plan.name} plan ran out of GPU memory; trying the next one."))
        raise AssertionError("plans() gave none")

    def _plans(self, settings: WanSettings, run: ClipRun, device: torch.device) -> Iterator[tuple[MemoryPlan, bool]]:
        from ex4d.engines.wan.pipeline import FileSources
        from ex4d.engines.wan.plan import ModelSize, plans

        source = FileSources(self.weights).open("transformer")
        size, heads = ModelSize.of(source.config), int(source.config["num_attention_heads"])
        source.files.close()
        group = joined()
        work = run.workload if group is None else run.workload_of(group.size, heads)
        free = free_bytes(device) + (held_bytes(device) if self._kept else 0)
        if group is not None:
            from ex4d.engines.wan.leading import free_everywhere

            free = free_everywhere(group, free)
        wanted = plans(settings.mode, settings.memory, size, work, free)
        again = self._kept_plan(settings, size, work, device, free)
        if again is not None:
            wanted = [again, *wanted]
        for index, plan in enumerate(wanted):
            yield plan, index == len(wanted) - 1

    def _kept_plan(
        self, settings: WanSettings, size: ModelSize, work: Workload, device: torch.device, free: int
    ) -> MemoryPlan | None:
        """The loaded model's plan, if that model is what the settings ask for and the work fits beside it."""
        from ex4d.engines.wan.plan import make_plan

        if self._kept is None or self._kept[0] != self._key(settings, device):
            return None
        kept = self._kept[1].options.plan
        plan = make_plan(kept.name, settings.mode, size, work, free, kept.resident_blocks)
        same = (plan.fp8, plan.vae_tiled) == (kept.fp8, kept.vae_tiled)
        return plan if same and plan.expected_peak <= free else None

    def _key(self, settings: WanSettings, device: torch.device) -> tuple[Any, ...]:
        """What a loaded model depends on besides its plan."""
        return (
            self._weights_of(settings),
            device,
            settings.mode,
            settings.memory,
            settings.fuse_lora,
            settings.compile,
        )

    def _pipeline(
        self, settings: WanSettings, plan: MemoryPlan, device: torch.device, stage: _Stage, cancel: CancelToken | None
    ) -> WanPipeline:
        from ex4d.engines.wan.pipeline import PipelineOptions

        options = PipelineOptions(settings.mode, plan, device, settings.fuse_lora, settings.compile)
        key = self._key(settings, device)
        if self._kept is not None:
            kept = self._kept[1].options.plan
            if self._kept[0] == key and replace(kept, expected_peak=plan.expected_peak) == plan:
                return self._kept[1]
            self.close()
        pipe = self._loaded(settings, options, stage, cancel)
        self._kept = (key, pipe)
        return pipe

    def _loaded(
        self, settings: WanSettings, options: PipelineOptions, stage: _Stage, cancel: CancelToken | None
    ) -> WanPipeline:
        from ex4d.engines.wan.pipeline import FileSources, WanPipeline

        weights, group = self._weights_of(settings), joined()
        if group is None:
            return WanPipeline(FileSources(weights), options, on_progress=stage, cancel=cancel)
        from ex4d.engines.wan.leading import LeadingPipeline

        return LeadingPipeline(weights, options, group, on_progress=stage, cancel=cancel)

    def _contexts(
        self, settings: WanSettings, device: torch.device, stage: OnProgress, cancel: CancelToken | None
    ) -> list[Tensor]:
        """Embeddings of the prompt and, with guidance, of the negative prompt."""
        prompts = [settings.prompt]
        if settings.is_guided:
            prompts.append(settings.negative_prompt)
        return self.embeddings(prompts, device, on_progress=stage, cancel=cancel)

    def embeddings(self, prompts: Sequence[str], device: torch.device, **watch: Unpack[Watch]) -> list[Tensor]:
        """[1, 512, channels] for each prompt; from disk where possible, else by the text encoder.

        Raises WeightsError, Cancelled.
        """
        from ex4d.engines.wan.text import PromptCache, encoder_id

        path = self.weights.path_of("text_encoder")
        files = [f for f in (sorted(path.glob("*.safetensors")) if path.is_dir() else [path]) if f.is_file()]
        cache = PromptCache(self._cache or default_cache(), encoder_id(files) if files else None)

        def compute(texts: Sequence[str]) -> list[Tensor]:
            if not files:
                raise WeightsError(
                    f"The text encoder {path} is missing and the prompt {texts[0][:40]!r} was never embedded before.",
                    remedy=fetch_weights("wan"),
                )
            return self._embed(texts, device, watch)

        return cache.get(prompts, compute)

    def _embed(self, texts: Sequence[str], device: torch.device, watch: Watch) -> list[Tensor]:
        import torch

        from ex4d.engines.wan.text import embed, tokenise
        from ex4d.weights.components import load_part, open_part

        tokens = [tokenise(self.weights.tokenizer_path, text) for text in texts]
        source = open_part(self.weights, "text_encoder")
        parameters = sum(int(np.prod(shape)) for shape in source.shapes.values())
        fits = device.type == "cuda" and 2.2 * parameters < free_bytes(device)
        place = device if fits else torch.device("cpu")
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        encoder = load_part(source, dtype=dtype, device=place, **watch)
        source.files.close()
        try:
            embeddings = []
            for done, (ids, mask) in enumerate(tokens):
                check(watch.get("cancel"))
                report(watch.get("on_progress"), "reading prompts", done, len(tokens))
                embeddings.append(embed(encoder, ids, mask))
            return embeddings
        finally:
            del encoder
            free_device()


class _Stage:
    """Passes progress on and remembers what was going on, for error messages."""

    def __init__(self, on_progress: OnProgress | None):
        self._pass_on = on_progress
        self._last: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        self._last = progress
        if self._pass_on is not None:
            self._pass_on(progress)

    def __str__(self) -> str:
        return "starting" if self._last is None else f"{self._last.stage} ({self._last.done} of {self._last.total})"


def default_cache() -> Path:
    """Where prompt embeddings are kept."""
    import platformdirs

    return platformdirs.user_cache_path("ex4d") / "prompts"


def choose_device(wanted: str) -> torch.device:
    """The device for ``wanted``. Raises SettingError if there is no GPU and none but ``cpu`` would do."""
    import torch

    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    raise SettingError(
        f"device is {wanted!r} and this machine has no CUDA GPU; use the preview engine, a backend with a GPU, "
        "or device=cpu."
    )


def _device_of(group: Group, wanted: str) -> torch.device:
    """This process's device, where several make the shot. Raises SettingError if another is wanted."""
    if wanted not in ("auto", group.device.type):
        kind = group.device.type
        raise SettingError(f"device is {wanted!r}, and {group.size} processes on {kind} are to make the shot.")
    return group.device


def _lost(failure: BaseException, stage: _Stage) -> EngineError:
    return EngineError(
        f"One of the GPUs' processes ended or failed while {stage} ({_first_line(failure)}); all of them are started "
        "again. Submit it once more."
    )


def free_bytes(device: torch.device) -> int:
    """Bytes a run may use on the device; a CPU is taken to have enough."""
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 1 << 50


def held_bytes(device: torch.device) -> int:
    """Bytes this process holds of the device: a run with the model that is loaded has them too."""
    import torch

    return torch.cuda.memory_reserved(device) if device.type == "cuda" else 0


def free_device() -> None:
    """Give torch's cached device memory back to the system."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch ran out of device memory (its compiled code wraps that error in others)."""
    import torch

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError) or "out of memory" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _rough_time(request: GenerateRequest, device: torch.device) -> str:
    """A sentence about how long a GPU of known speed takes at the published model's size; "" for any other."""
    import torch

    if device.type != "cuda":
        return ""
    properties = torch.cuda.get_device_properties(device)
    group = joined()
    gpus = 1 if group is None else group.size
    gpu = Gpu(properties.name, properties.total_memory, properties.total_memory, gpus)
    count, height, width = request.guides.mask.shape
    seconds = wan_cost(count, width, height, request.settings, gpu).seconds
    return "" if seconds is None else f" With the published model that takes roughly {rough_time(seconds)}."


def _no_plan_left(plan: MemoryPlan, run: ClipRun) -> DeviceMemoryError:
    return DeviceMemoryError(
        f"The GPU ran out of memory with the {plan.name} plan, which was expected to need "
        f"{plan.expected_peak / 2**30:.1f} GiB for {run.describe()}; close other programs, or ask for "
        "fewer pixels or a smaller window."
    )


def _require_packages() -> None:
    absent = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingExtraError(f"The wan engine ({', '.join(absent)} not found)", "wan")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
