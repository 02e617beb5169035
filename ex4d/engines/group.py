"""The processes that run one model together, one for each device: who they are, what they say to each other.

The first of them leads: it has the job, and what people see comes from it. All speak over this machine's loopback and
the GPUs' own links alone, and nothing that travels is executed (no pickle).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor

from ex4d.engines.members import become_member
from ex4d.progress import CancelToken
from ex4d_ground.errors import Cancelled

_FOREVER = datetime.timedelta(days=30)
"""Those who follow wait for orders as long as nobody has a job. Who notices a process that died is the launcher."""


@dataclass
class Group:
    """One process's place among them. Every method that talks must be called by all of them, in the same order."""

    rank: int
    size: int
    device: torch.device
    broken: bool = False
    """Whether they have lost each other; the launcher must start all of them again."""
    _meshes: dict[tuple[int, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this is the process that has the job."""
        return self.rank == 0

    # --- words (small, on the CPU) ------------------------------------------------------------------------

    def share(self, words: bytes | None = None) -> bytes:
        """What the leader gives, everywhere."""
        length = torch.tensor([len(words) if words is not None else 0])
        dist.broadcast(length, 0)
        text = torch.empty(int(length), dtype=torch.uint8)
        if words:
            text.copy_(torch.frombuffer(bytearray(words), dtype=torch.uint8))
        if len(text):
            dist.broadcast(text, 0)
        return text.numpy().tobytes()

    def share_tensor(self, tensor: Tensor | None = None) -> Tensor:
        """What the leader gives, everywhere, on the CPU."""
        header = None
        if tensor is not None:
            tensor = tensor.cpu().contiguous()
            header = msgspec.json.encode((str(tensor.dtype).removeprefix("torch."), list(tensor.shape)))
        dtype, shape = msgspec.json.decode(self.share(header), type=tuple[str, list[int]])
        found = torch.empty(shape, dtype=getattr(torch, dtype)) if tensor is None else tensor
        if found.numel():
            dist.broadcast(found.view(-1).view(torch.uint8), 0)
        return found

    def least(self, number: int) -> int:
        """The smallest of everybody's."""
        found = torch.tensor([number])
        dist.all_reduce(found, dist.ReduceOp.MIN)
        return int(found)

    def agree(self, stop: bool = False) -> bool:
        """Whether the leader wants to stop; what others say does not count."""
        flag = torch.tensor([stop], dtype=torch.uint8)
        dist.broadcast(flag, 0)
        return bool(flag)

    # --- pictures (large, on the devices) -----------------------------------------------------------------

    def everyones(self, mine: Tensor) -> list[Tensor]:
        """Everybody's tensor of this shape and dtype, in order."""
        mine = mine.contiguous()
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine)
        return found

    def to_leader(self, mine: Tensor) -> list[Tensor]:
        """Everybody's tensor of this shape and dtype for the leader, nothing for the others."""
        mine = mine.contiguous()
        found = [torch.empty_like(mine) for _ in range(self.size)] if self.leads else None
        dist.gather(mine, found, 0)
        return found or []

    def mesh(self, shape: tuple[int, ...], names: tuple[str, ...]) -> Any:
        """The processes laid out in a grid, rows first; torch's DeviceMesh. Each layout is made once."""
        if shape not in self._meshes:
            from torch.distributed.device_mesh import init_device_mesh

            self._meshes[shape] = init_device_mesh(self.device.type, shape, mesh_dim_names=names)
        return self._meshes[shape]


class Agreed(CancelToken):
    """The leader's cancel, heard by all at the same check: else some would wait for those who had stopped.

    Every process must make the same checks, between the same exchanges.
    """

    def __init__(self, group: Group, own: CancelToken | None = None):
        super().__init__()
        self._group, self._own = group, own

    def check(self) -> None:
        """Raise Cancelled in every process if the leader's token was set."""
        if self._group.agree(self._own is not None and self._own.cancelled):
            raise Cancelled("Cancelled.")


def join(rank: int, size: int, kind: Literal["cpu", "cuda"], meeting: Path) -> Group:
    """Meet the others at the file ``meeting`` and be one of them for the rest of this process's life."""
    device = torch.device("cuda", rank) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
        store=dist.FileStore(str(meeting), size),  # pyright: ignore[reportPrivateImportUsage] - it has no other name
        rank=rank,
        world_size=size,
        timeout=_FOREVER,
    )
    group = Group(rank, size, device)
    become_member(group)
    return group
