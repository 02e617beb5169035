"""Requests for the tiny engine, and a count of what is left in memory."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import torch

from ex4d.engines.base import GenerateRequest
from ex4d.trajectory import static
from ex4d.types import Guides
from ex4d_ground.cameras import Intrinsics

QUICK: dict[str, Any] = {"device": "cpu", "steps": 2, "window": 5, "overlap": 2, "compile": False}


def make_guides(count: int, height: int, width: int, seed: int = 0) -> Guides:
    """A drifting gradient with a hole that grows from the right."""
    rng = np.random.default_rng(seed)
    columns = np.linspace(0, 255, width)[None, None, :, None]
    rows = np.linspace(0, 128, height)[None, :, None, None]
    shift = 4 * np.arange(count)[:, None, None, None]
    colour = (columns + rows * [1, 0.5, 0.2] + shift + rng.uniform(0, 20, (1, height, width, 3))) % 256
    mask = np.ones((count, height, width), bool)
    for i in range(1, count):
        mask[i, :, width - 1 - i :] = False
    return Guides(np.where(mask[..., None], colour, 0).astype(np.uint8), mask)


def make_request(count: int = 5, height: int = 32, width: int = 32, seed: int = 0, **settings: Any) -> GenerateRequest:
    camera = static(num_frames=count, intrinsics=Intrinsics.from_fov(width, height))
    return GenerateRequest(make_guides(count, height, width), camera, settings={**QUICK, **settings}, seed=seed)


def tensor_bytes() -> int:
    """Bytes of all tensors that are alive."""
    gc.collect()
    storages = {}
    for found in gc.get_objects():
        if type(found) in (torch.Tensor, torch.nn.Parameter) and found.device.type != "meta":
            storages[found.untyped_storage().data_ptr()] = found.untyped_storage().nbytes()
    return sum(storages.values())
