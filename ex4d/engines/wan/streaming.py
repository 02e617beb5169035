"""Running more blocks than fit on the GPU: the rest wait in page-locked memory and are copied just in time.

Each streamed block is one flat buffer, so a block travels in a single copy at full bus speed while the blocks before it
compute. Copies go round in a ring: when a block is done, its place is filled with the block that many steps ahead,
across the end of one pass into the next.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ex4d.engines.wan.blocks import CONDITIONING_NAMES

_ALIGN = 256


@dataclass(frozen=True)
class _Entry:
    name: str
    offset: int
    nbytes: int
    shape: torch.Size
    dtype: torch.dtype

    def view(self, buffer: Tensor) -> Tensor:
        return buffer[self.offset : self.offset + self.nbytes].view(self.dtype).view(self.shape)


def step_parameters(block: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters a block needs in every step."""
    return {n: p for n, p in block.named_parameters() if not n.startswith(CONDITIONING_NAMES)}


@dataclass(frozen=True)
class Layout:
    """Where each of a block's parameters lies in one flat buffer of ``nbytes``; the same for all blocks alike."""

    entries: tuple[_Entry, ...]
    nbytes: int

    @classmethod
    def of(cls, parameters: Mapping[str, nn.Parameter]) -> Layout:
        """The layout of these parameters, one after the other."""
        entries, offset = [], 0
        for name, p in parameters.items():
            nbytes = p.numel() * p.element_size()
            entries.append(_Entry(name, offset, nbytes, p.shape, p.dtype))
            offset += -(-nbytes // _ALIGN) * _ALIGN
        return cls(tuple(entries), offset)

    def store(self, parameters: Mapping[str, nn.Parameter], buffer: Tensor) -> None:
        """Copy the parameters' values into ``buffer``."""
        for entry in self.entries:
            entry.view(buffer).copy_(parameters[entry.name].data)

    def point(self, parameters: Mapping[str, nn.Parameter], buffer: Tensor) -> None:
        """Have the parameters be what lies in ``buffer``."""
        for entry in self.entries:
            parameters[entry.name].data = entry.view(buffer)


class PinnedBuffer:
    """A flat CPU buffer, page-locked in place: torch's own allocator would round it up to a power of two.

    It is unlocked when it is let go, since memory that comes to lie at a locked address cannot be locked again.
    """

    def __init__(self, nbytes: int, device: torch.device):
        self.tensor = torch.empty(nbytes, dtype=torch.uint8)
        self._unlock: weakref.finalize | None = None
        if device.type == "cuda":
            runtime: Any = torch.cuda.cudart()
            address = self.tensor.data_ptr()
            if int(runtime.cudaHostRegister(address, nbytes, 0)) == 0:
                self._unlock = weakref.finalize(self, runtime.cudaHostUnregister, address)
                self._unlock.atexit = False

    def release(self) -> None:
        """Unlock the memory; it stays as ordinary memory."""
        if self._unlock is not None:
            self._unlock()


class BlockStreamer:
    """Iterating yields every block, ready to run, in order; ``resident`` of them stay on the device for good.

    All blocks must have the same parameters. An iteration that is broken off (cancel, error) leaves things in order for
    the next. ``close()`` gives the device's memory back.
    """

    def __init__(self, blocks: Sequence[nn.Module], device: torch.device, *, resident: int = 0, slots: int = 3):
        self._blocks = list(blocks)
        self._device = device
        self._layout = Layout.of(step_parameters(self._blocks[0]))
        nbytes = self._layout.nbytes
        count = len(self._blocks)
        streamed = count - min(resident, count)
        if streamed <= slots:
            streamed = 0
        # Spread evenly, so that the compute time between two copies is even too.
        self._order = [i for i in range(count) if (i + 1) * streamed // count > i * streamed // count]
        self._tick = 0  # streamed blocks run so far; picks block and slot
        self._host = {i: PinnedBuffer(nbytes, device) for i in self._order}
        self._buffers = [torch.empty(nbytes, dtype=torch.uint8, device=device) for _ in range(slots if streamed else 0)]
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" and streamed else None
        self._ready = [torch.cuda.Event() for _ in self._buffers] if self._stream else []
        for index, block in enumerate(self._blocks):
            self._settle(index, block)
        self._restart()

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[nn.Module]:
        finished = False
        try:
            for index, block in enumerate(self._blocks):
                streamed = index in self._host
                if streamed:
                    self._arrive(block)
                yield block
                if streamed:
                    self._leave(index, block)
            finished = True
        finally:
            if not finished:
                self._restart()

    def close(self) -> None:
        """Every parameter back in ordinary CPU memory, the device's buffers freed."""
        if self._stream is not None:
            torch.cuda.synchronize(self._device)
        for index, block in enumerate(self._blocks):
            if index in self._host:
                self._point(block, self._host[index].tensor)
                self._host[index].release()
            else:
                for p in step_parameters(block).values():
                    p.data = p.data.cpu()
        self._host, self._buffers, self._order = {}, [], []

    def _settle(self, index: int, block: nn.Module) -> None:
        """A resident block moves to the device, a streamed one into its flat buffer."""
        parameters = step_parameters(block)
        if index not in self._host:
            for p in parameters.values():
                p.data = p.data.to(self._device)
            return
        self._layout.store(parameters, self._host[index].tensor)
        self._layout.point(parameters, self._host[index].tensor)

    def _restart(self) -> None:
        """The first blocks of the ring into the slots, whatever was there before."""
        self._tick = 0
        for index, host in self._host.items():
            self._point(self._blocks[index], host.tensor)
        for tick in range(len(self._buffers)):
            self._copy(tick)

    def _copy(self, tick: int) -> None:
        """Start copying the block of ``tick`` into its slot, once everything that may still use the slot is done."""
        slot = tick % len(self._buffers)
        source = self._host[self._order[tick % len(self._order)]].tensor
        if self._stream is None:
            self._buffers[slot].copy_(source)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._buffers[slot].copy_(source, non_blocking=True)
            self._ready[slot].record(self._stream)

    def _arrive(self, block: nn.Module) -> None:
        slot = self._tick % len(self._buffers)
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_event(self._ready[slot])
        self._point(block, self._buffers[slot])

    def _leave(self, index: int, block: nn.Module) -> None:
        self._point(block, self._host[index].tensor)
        self._copy(self._tick + len(self._buffers))
        self._tick += 1

    def _point(self, block: nn.Module, buffer: Tensor) -> None:
        self._layout.point(step_parameters(block), buffer)
