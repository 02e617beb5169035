"""Blocks' inputs, which the backward pass begins from, wait in main memory: 5 GiB of them at the published size.

A copy leaves the device while the next block computes, and returns while the block behind it goes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Away:
    """One block's input on the host, or on its way."""

    host: Tensor
    here: Tensor | None
    """Held on the device until the copy has been made."""
    left: Any = None
    back: Tensor | None = None
    returned: Any = None


class InputOffload:
    """Holds the inputs of ``count`` blocks of one step. Without a CUDA device copies are made at once."""

    def __init__(self, count: int, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._hosts: list[Tensor | None] = [None] * count  # page-locked once, used in every step
        self._away: dict[int, _Away] = {}

    @contextmanager
    def block(self, index: int, x: Tensor) -> Iterator[None]:
        """While block ``index`` runs on ``x``, autograd is given a ticket wherever it would keep ``x`` itself."""
        known = (x.data_ptr(), x.shape, x.dtype)

        def pack(tensor: Tensor) -> Any:
            if (tensor.data_ptr(), tensor.shape, tensor.dtype) != known:
                return tensor
            self._leave(index, tensor)
            return index

        def unpack(kept: Any) -> Tensor:
            return kept if isinstance(kept, Tensor) else self._fetched(kept)

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            yield

    def start(self) -> None:
        """A new step: what an earlier one left is let go."""
        self._away.clear()

    def _leave(self, index: int, x: Tensor) -> None:
        if index in self._away:
            return
        host = self._hosts[index]
        if host is None or host.shape != x.shape or host.dtype != x.dtype:
            host = torch.empty(x.shape, dtype=x.dtype, pin_memory=self._stream is not None)
            self._hosts[index] = host
        x = x.detach()
        if self._stream is None:
            self._away[index] = _Away(host.copy_(x), None)
            return
        self._let_go(index - 1)
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            host.copy_(x, non_blocking=True)
            self._away[index] = _Away(host, x, self._stream.record_event())

    def _let_go(self, index: int) -> None:
        """The device's copy of an input that left a block ago: what is computed next may have its memory.

        Held by us instead of handed to the allocator with the stream: that would see only later that the copy is made,
        and ask the device for more memory meanwhile.
        """
        away = self._away.get(index)
        if away is not None and away.here is not None:
            torch.cuda.current_stream(self._device).wait_event(away.left)
            away.here = None

    def _return(self, index: int) -> None:
        """Start the way back."""
        away = self._away.get(index)
        if away is None or away.back is not None:
            return
        away.back = torch.empty(away.host.shape, dtype=away.host.dtype, device=self._device)
        if self._stream is None:
            away.back.copy_(away.host)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))  # the new memory may still be read as old
        with torch.cuda.stream(self._stream):
            away.back.copy_(away.host, non_blocking=True)
            away.returned = self._stream.record_event()

    def _fetched(self, index: int) -> Tensor:
        self._let_go(index)
        self._return(index)
        away = self._away[index]
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(away.returned)
        back = away.back
        assert back is not None
        away.back = None  # autograd holds it as long as it needs it
        self._return(index - 1)
        return back
