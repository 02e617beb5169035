"""What goes into an estimator and what comes out of it, and how an estimator describes itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.descriptions import Meaning
from ex4d_ground.source_camera import SourceCamera


class FrameSource(Protocol):
    """A clip that can be read more than once, one frame at a time."""

    @property
    def num_frames(self) -> int:
        """T."""
        ...

    @property
    def height(self) -> int:
        """H in pixels."""
        ...

    @property
    def width(self) -> int:
        """W in pixels."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second."""
        ...

    def __iter__(self) -> Iterator[UInt8]:
        """Yield each frame [H, W, 3] uint8 RGB, from the first, anew on every call."""
        ...


@dataclass(frozen=True)
class MemoryEstimate:
    """What an estimator plans to use at its largest moment, in bytes. Independent of the clip's length."""

    device_bytes: int
    """On the compute device: weights and activations of one window or frame."""
    host_bytes: int
    """In main memory beside the weights: frames in flight and bookkeeping."""

    @property
    def text(self) -> str:
        """For people."""
        return f"{_size(self.device_bytes)} on the device, {_size(self.host_bytes)} of main memory"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"


@dataclass(frozen=True)
class DepthEstimate:
    """An estimator's raw output; :mod:`ex4d.depth.convert` makes it z-depth."""

    values: Float32  # [T, H, W] in the units of ``meaning``, the clip's size
    meaning: Meaning
    intrinsics: Intrinsics | None = None
    """What the estimator knows about the lens, for the clip's frame size."""
    zero_is_infinity: bool = False
    notes: tuple[str, ...] = ()
    """Sentences a user should read, for example that a model's size was reduced."""
    warnings: tuple[str, ...] = ()
    """What was not done as it was asked for, because memory ran out: one sentence for each step back."""
    details: dict[str, Any] = field(default_factory=dict)
    """JSON-serialisable facts for the record: model folder, sizes, seed."""
    source_camera: SourceCamera | None = None
    """How the camera moved, if the estimator knows it: for the clip's frame size, in the unit of ``values``."""
