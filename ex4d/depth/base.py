"""The estimator interface: what turns frames into depth, and how an estimator describes itself.

An estimator states, before anything is run, what its values mean, what its licence allows and how much memory it
plans to use. Frames come from a :class:`FrameSource` one at a time and values go into an array the caller provides
(a memory-mapped file for long clips), so that no estimator needs the whole clip in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ex4d.errors import SettingError
from ex4d.generate.base import Setting
from ex4d.progress import CancelToken, OnProgress
from ex4d.types import Float32, Intrinsics, UInt8

Meaning = Literal["metric", "scale-free", "disparity"]

MEANINGS: dict[Meaning, str] = {
    "metric": "distance along the viewing axis, in metres",
    "scale-free": "distance along the viewing axis, up to one unknown factor",
    "disparity": "inverse distance, up to an unknown factor and offset: larger is nearer",
}
"""What an estimator's values can mean, in words for people."""


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
class EstimatorInfo:
    """What an estimator is, needs and allows: everything shown before anything is run."""

    name: str
    title: str
    meaning: Meaning
    licence: str
    research_only: bool = False
    """True if the licence of code or weights forbids commercial production."""
    gives_intrinsics: bool = False
    temporally_steady: bool = False
    """True if the model looks at many frames at once; single-image models need :mod:`ex4d.depth.steady`."""
    zero_is_infinity: bool = False
    """For disparity: the value 0 means infinitely far, so that only a factor is unknown."""
    settings: tuple[Setting, ...] = ()
    available: bool = True
    """False if packages, the program or the weights (in their usual folder) are not here."""
    missing: str = ""
    """If not available: one sentence with the one command that mends it."""

    @property
    def licence_text(self) -> str:
        """The licence as it is shown wherever the estimator is offered."""
        return f"{self.licence} - RESEARCH ONLY" if self.research_only else self.licence

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """All settings with defaults filled in. Raises SettingError for an unknown name or a bad value."""
        known = {s.name: s for s in self.settings}
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise SettingError(
                f"The {self.name} estimator has no setting {unknown[0]!r}; it has: {', '.join(known) or 'none'}."
            )
        return {name: s.validated(settings.get(name, s.default)) for name, s in known.items()}


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


@dataclass(frozen=True)
class Smaller:
    """A plan that needs less memory than the one before."""

    settings: dict[str, Any]
    what: str
    """What is different, to be read after "trying again"."""


class DepthEstimator(Protocol):
    """Frames to depth. Same frames, settings, seed and machine: same values."""

    def info(self) -> EstimatorInfo:
        """Describe the estimator without loading anything heavy."""
        ...

    def memory(self, height: int, width: int, settings: Mapping[str, Any] | None = None) -> MemoryEstimate:
        """Plan for frames of this size. Raises SettingError for a bad setting."""
        ...

    def estimate(
        self,
        frames: FrameSource,
        *,
        out: Float32 | None = None,  # [T, H, W] float32 to write into, e.g. a numpy.memmap; None: a new array
        settings: Mapping[str, Any] | None = None,
        seed: int = 42,
        on_progress: OnProgress | None = None,
        cancel: CancelToken | None = None,
    ) -> DepthEstimate:
        """Estimate depth for every frame.

        Raises Cancelled, SettingError, ClipError (too short), MissingExtraError, WeightsError, DeviceMemoryError,
        EngineError (NaN or constant output, external tool failed).
        """
        ...

    def smaller(self, settings: Mapping[str, Any], num_frames: int, *, weights_alone: bool = False) -> Smaller | None:
        """The next plan after ``settings`` ran out of memory, or None if nothing smaller is left.

        ``weights_alone`` says that the model itself did not fit, whatever the window.
        """
        ...
