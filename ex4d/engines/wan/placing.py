"""Parts that live on the device only while they are used."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def on_device(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Have the modules' tensors on ``device`` for a while; those that lived elsewhere return to where they were.

    Buffers too: transformers' CLIP keeps the positions it looks up in one.
    """
    tensors = (t for module in modules for t in (*module.parameters(), *module.buffers()))
    home = [(t, t.data) for t in tensors if t.device != device]
    try:
        for p, data in home:
            p.data = data.to(device, non_blocking=True)
        yield
    finally:
        for p, data in home:
            p.data = data


def free_cached(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the device: what comes next wants pieces of other sizes."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
