"""Names of devices: one ("cpu", "cuda:1"), or several that make one shot together ("cuda:0+1"). No torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ex4d_ground.errors import SettingError

_GPUS = re.compile(r"cuda:(\d+(?:\+\d+)*)")


@dataclass(frozen=True)
class Devices:
    """What one model runs on: so many GPUs of this machine, or so many processes on its processor."""

    kind: Literal["cpu", "cuda"]
    indices: tuple[int, ...]
    """Of the GPUs, as the driver counts them; on the processor, of the processes."""

    @classmethod
    def named(cls, name: str) -> Devices:
        """ "cpu", "cuda:N", "cuda:N+M+..." or, for trying things out, "cpu+cpu+...". Raises SettingError."""
        name = name.strip()
        parts = name.split("+")
        if set(parts) == {"cpu"}:
            return cls("cpu", tuple(range(len(parts))))
        found = _GPUS.fullmatch(name)
        indices = tuple(int(index) for index in found[1].split("+")) if found else ()
        if not indices:
            raise SettingError(
                f"A device is cpu or cuda:N, and several that make one shot together are cuda:N+M; got {name!r}."
            )
        if len(set(indices)) < len(indices):
            raise SettingError(f"{name} names a GPU twice; each can be named once.")
        return cls("cuda", indices)

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def name(self) -> str:
        """As :meth:`named` takes it."""
        return "+".join(["cpu"] * len(self)) if self.kind == "cpu" else f"cuda:{'+'.join(map(str, self.indices))}"

    @property
    def visible(self) -> str:
        """What CUDA_VISIBLE_DEVICES must hold for a process that is to see these GPUs alone."""
        return ",".join(map(str, self.indices)) if self.kind == "cuda" else ""

    def one(self, place: int) -> str:
        """What the process at ``place`` runs on, for people."""
        return f"cuda:{self.indices[place]}" if self.kind == "cuda" else f"processor, process {place + 1}"
