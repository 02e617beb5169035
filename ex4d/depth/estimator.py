"""The estimator interface: what turns frames into depth.

An estimator states, before anything is run, what its values mean, what its licence allows and how much memory it
plans to use. Frames come from a :class:`~ex4d.depth.base.FrameSource` one at a time and values go into an array the
caller provides (a memory-mapped file for long clips), so that no estimator needs the whole clip in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar, Unpack

from ex4d.depth.base import DepthEstimate, FrameSource, MemoryEstimate
from ex4d.depth.store import new_values
from ex4d.progress import Watch
from ex4d_ground.arrays import Float32
from ex4d_ground.descriptions import EstimatorInfo, as_it_is_here

S = TypeVar("S")
"""An estimator's settings: a frozen dataclass, or a dict where the user's configuration says what there is."""


@dataclass(frozen=True)
class EstimateRun:
    """What one run works on, beside the settings."""

    frames: FrameSource
    out: Float32 | None
    seed: int
    watch: Watch

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, H, W of the frames."""
        return self.frames.num_frames, self.frames.height, self.frames.width

    def values(self) -> Float32:  # [T, H, W]
        """The array to write into: the caller's, or a new one."""
        return new_values(self.shape) if self.out is None else self.out


@dataclass(frozen=True)
class Smaller:
    """A plan that needs less memory than the one before."""

    settings: dict[str, Any]
    what: str
    """What is different, to be read after "trying again"."""


class DepthEstimator(ABC, Generic[S]):
    """Frames to depth. Same frames, settings, seed and machine: same values."""

    about: EstimatorInfo
    """The description that holds on every machine."""
    settings_type: type[S]

    @abstractmethod
    def require(self) -> None:
        """Raise what keeps it from running here: MissingExtraError, MissingProgramError or WeightsError."""

    @abstractmethod
    def _estimate(self, run: EstimateRun, settings: S) -> DepthEstimate: ...

    @abstractmethod
    def _memory(self, height: int, width: int, settings: S) -> MemoryEstimate: ...

    @abstractmethod
    def _smaller(self, settings: S, num_frames: int, weights_alone: bool) -> tuple[S, str] | None: ...

    def info(self) -> EstimatorInfo:
        """Describe the estimator as it is here, without loading anything heavy."""
        return as_it_is_here(self.about, self.require)

    def memory(self, height: int, width: int, settings: Mapping[str, Any] | None = None) -> MemoryEstimate:
        """Plan for frames of this size. Raises SettingError for a bad setting."""
        return self._memory(height, width, self._checked(settings))

    def estimate(
        self,
        frames: FrameSource,
        *,
        out: Float32 | None = None,  # [T, H, W] float32 to write into, e.g. a numpy.memmap; None: a new array
        settings: Mapping[str, Any] | None = None,
        seed: int = 42,
        **watch: Unpack[Watch],
    ) -> DepthEstimate:
        """Estimate depth for every frame.

        Raises Cancelled, SettingError, ClipError (too short), MissingExtraError, MissingProgramError, WeightsError,
        DeviceMemoryError, EngineError (NaN or constant output, external tool failed).
        """
        return self._estimate(EstimateRun(frames, out, seed, watch), self._checked(settings))

    def smaller(self, settings: Mapping[str, Any], num_frames: int, *, weights_alone: bool = False) -> Smaller | None:
        """The next plan after ``settings`` ran out of memory, or None if nothing smaller is left.

        ``weights_alone`` says that the model itself did not fit, whatever the window.
        """
        step = self._smaller(self._checked(settings), num_frames, weights_alone)
        return None if step is None else Smaller(as_mapping(step[0]), step[1])

    def _checked(self, settings: Mapping[str, Any] | None) -> S:
        return self.settings_type(**self.about.validated(settings or {}))


def as_mapping(settings: Any) -> dict[str, Any]:
    """Typed settings by name."""
    return settings if isinstance(settings, dict) else asdict(settings)


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for the record, without this machine's paths."""
    return {name: value for name, value in settings.items() if not name.endswith("_dir")}
