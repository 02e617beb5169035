"""Training with fewer blocks on the device than there are: frozen weights come from the host just before they are used.

A step goes through the blocks forwards and then backwards. Each swapped block's frozen weights lie in one page-locked
buffer; a few slots on the device hold those at work and the next ones in the way's direction, copied while a block
computes. What is trained stays on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ex4d.engines.wan.streaming import Layout, PinnedBuffer


def frozen_parameters(block: nn.Module) -> dict[str, nn.Parameter]:
    """What of a block is not trained."""
    return {name: p for name, p in block.named_parameters() if not p.requires_grad}


def spread_evenly(count: int, swapped: int) -> list[int]:
    """Which of ``count`` blocks are the ``swapped`` ones, so that copies come at even distances."""
    return [i for i in range(count) if (i + 1) * swapped // count > i * swapped // count]


class BlockSwapper:
    """The frozen weights of the blocks ``swapped``, in turn on ``device``. All blocks must be alike."""

    def __init__(self, blocks: Sequence[nn.Module], swapped: Sequence[int], device: torch.device, *, slots: int = 3):
        self._parameters = {i: frozen_parameters(blocks[i]) for i in swapped}
        self._order = sorted(swapped)
        self._layout = Layout.of(self._parameters[self._order[0]])
        self._device = device
        self._host = {i: PinnedBuffer(self._layout.nbytes, device) for i in self._order}
        for i in self._order:
            self._layout.store(self._parameters[i], self._host[i].tensor)
            self._layout.point(self._parameters[i], self._host[i].tensor)
        count = min(slots, len(self._order))
        self._slots = [torch.empty(self._layout.nbytes, dtype=torch.uint8, device=device) for _ in range(count)]
        self._holds: list[int | None] = [None] * count
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ready: list[Any] = [torch.cuda.Event() if self._stream else None for _ in range(count)]

    def need(self, index: int, *, backwards: bool) -> None:
        """Block ``index`` runs next: its weights are there when the device comes to it, the next ones on their way."""
        if index not in self._parameters:
            return
        slot = self._holds.index(index) if index in self._holds else self._copy(index, keep=())
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(self._ready[slot])
        self._layout.point(self._parameters[index], self._slots[slot])
        position, step = self._order.index(index), -1 if backwards else 1
        following = self._order[position + 1 :] if step > 0 else self._order[:position][::-1]
        ahead = following[: len(self._slots) - 1]
        for each in ahead:
            if each not in self._holds:
                self._copy(each, keep=(index, *ahead))

    def close(self) -> None:
        """Let go of the slots and of the page-locked memory; the weights stay in ordinary memory."""
        for i, parameters in self._parameters.items():
            self._layout.point(parameters, self._host[i].tensor)
            self._host[i].release()
        self._slots.clear()
        self._holds.clear()

    def _copy(self, index: int, keep: Sequence[int]) -> int:
        """Start copying into a slot whose block is none of ``keep``, behind all work that may still read it."""
        slot = next(s for s, held in enumerate(self._holds) if held is None or held not in keep)
        held = self._holds[slot]
        if held is not None:
            self._layout.point(self._parameters[held], self._host[held].tensor)
        self._holds[slot] = index
        source: Tensor = self._host[index].tensor
        if self._stream is None:
            self._slots[slot].copy_(source)
            return slot
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._slots[slot].copy_(source, non_blocking=True)
            self._ready[slot].record(self._stream)
        return slot
