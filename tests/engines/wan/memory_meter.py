"""Counts what the engine's own code holds on the device, at the model's true size, without a device.

Fake tensors have shapes, dtypes and a device but no numbers: the whole pipeline runs on them in seconds. What torch's
libraries take for themselves (workspaces of convolutions and products) is not seen.
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ex4d.weights.adapters import Ex4dCheckpoint, Lora, LoraLayer
from ex4d.weights.components import PartFiles, build_empty

CUDA = torch.device("cuda", 0)


class DeviceBytes(TorchDispatchMode):
    """Bytes of live tensors on ``device``; ``peak`` is their maximum since the last :meth:`restart`."""

    def __init__(self, device: torch.device):
        super().__init__()
        self._device = device
        self._seen: dict[int, int] = {}
        self.now = self.peak = 0

    def restart(self) -> None:
        self.peak = self.now

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == self._device.type:
                self._add(leaf.untyped_storage())
        return found

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._seen:
            return
        nbytes = storage.nbytes()
        self._seen[key] = nbytes
        self.now += nbytes
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self._seen.pop(key)


class _Methods(TorchFunctionMode):
    """Some methods as operators: Python's own want the real device's library for tensors of that device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__getitem__:
            return _indexed(*args)
        if func is torch.Tensor.__setitem__:
            view = _indexed(args[0], args[1])
            fill = torch.ops.aten.copy_ if isinstance(args[2], torch.Tensor) else torch.ops.aten.fill_
            return fill(view, args[2])
        if func == torch.Tensor.data.__set__:  # pyright: ignore[reportAttributeAccessIssue]
            func(*args)
            args[0].fake_device = args[1].fake_device  # which it does not take along
            return None
        if func is torch.nn.functional.scaled_dot_product_attention:  # as the GPU's: no scores, the queries' layout
            q, v = args[0], args[2]
            shape = (q.shape[0], q.shape[2], q.shape[1], v.shape[3])
            return torch.ops.aten.empty.memory_format(shape, dtype=q.dtype, device=q.device).transpose(1, 2)
        if func is torch.Tensor.contiguous:
            x = args[0]
            return x if x.is_contiguous() else torch.ops.aten.clone(x, memory_format=torch.contiguous_format)
        return func(*args, **(kwargs or {}))


def _indexed(x: torch.Tensor, index: Any) -> torch.Tensor:
    items = list(index) if isinstance(index, tuple) else [index]
    if Ellipsis in items:
        at, given = items.index(Ellipsis), sum(item is not None for item in items) - 1
        items[at : at + 1] = [slice(None)] * (x.dim() - given)
    dim = 0
    for item in items:
        if item is None:
            x = x.unsqueeze(dim)
        elif isinstance(item, slice):
            x = torch.ops.aten.slice(x, dim, item.start, item.stop, item.step or 1)
        else:
            x = torch.ops.aten.select(x, dim, item)
            dim -= 1
        dim += 1
    return x


class _NoFiles:
    """Weight files without numbers."""

    what = "no files"

    def __init__(self, shapes: dict[str, tuple[int, ...]]):
        self.shapes = shapes

    def get(self, name: str) -> torch.Tensor:
        return torch.empty(self.shapes[name], dtype=torch.bfloat16)

    def close(self) -> None:
        pass


class NoSources:
    """All parts of a model of these configurations, without numbers."""

    def __init__(self, configs: dict[Any, dict[str, Any]], geometry_hidden: int, rank: int):
        self._configs, self._hidden, self._rank = configs, geometry_hidden, rank

    def open(self, part: Any) -> PartFiles:
        config = self._configs[part]
        model = build_empty(part, config)
        shapes = {n.removeprefix("vision_model."): tuple(p.shape) for n, p in model.named_parameters()}
        files: Any = _NoFiles(shapes)
        known = dict(model.config.items()) if part != "image_encoder" else config
        return PartFiles(part, files, known, {n: (n, "copy") for n in shapes}, shapes)

    def ex4d(self) -> Ex4dCheckpoint:
        shapes, layers = self.open("transformer").shapes, {}
        for name in ("attn1.to_q", "ffn.net.0.proj"):
            rows, columns = shapes[f"blocks.0.{name}.weight"]
            layers[f"blocks.0.{name}"] = LoraLayer(torch.empty(self._rank, columns), torch.empty(rows, self._rank), 1.0)
        dim, hidden = shapes["blocks.0.attn1.to_q.weight"][0], self._hidden
        geometry = {}
        for index, width in ((0, 32), (2, hidden), (4, hidden)):
            geometry[f"latent_encoder.{index}.weight"] = torch.empty(hidden, width, 1, 1, 1)
            geometry[f"latent_encoder.{index}.bias"] = torch.empty(hidden)
        geometry["latent_patch_embedding.weight"] = torch.empty(dim, hidden, 1, 2, 2)
        geometry["latent_patch_embedding.bias"] = torch.empty(dim)
        return Ex4dCheckpoint(Lora("ex4d", layers), geometry)

    def turbo(self) -> Lora:
        raise NotImplementedError


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch):
    """Fake tensors on a CUDA device that is not there, counted."""
    from ex4d.engines.wan import denoiser, fused, sampling, schedule, step_cache, vae

    monkeypatch.setattr(sampling, "_wait", lambda device: None)
    monkeypatch.setattr(vae.WanVae, "_wait", lambda self: None)
    # What reads a number from the device cannot run: there are none.
    monkeypatch.setattr(schedule.Schedule, "step", lambda self, latents, velocity, index: latents + velocity * 0.5)
    monkeypatch.setattr(step_cache.FirstBlockCache, "_alike", lambda self, branch, added: False)
    halves = denoiser.BlockProgram(fused.self_attention, fused.finish, "uncompiled with kernels")
    monkeypatch.setattr(denoiser, "block_program", lambda *args, **kwargs: halves)
    monkeypatch.setattr("ex4d.engines.wan.loading.multiplies_fp8", lambda device: True)
    meter = DeviceBytes(CUDA)
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(meter)
        stack.enter_context(_Methods())
        yield meter
