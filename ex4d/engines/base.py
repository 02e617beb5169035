"""The engine interface: what turns guides into finished frames, and how an engine describes itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Unpack

from ex4d.engines.gpu import Gpu
from ex4d.engines.kept_windows import KeptWindows
from ex4d.frames import Frames
from ex4d.progress import Watch
from ex4d.types import Clip, Guides
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Trajectory
from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo


@dataclass(frozen=True)
class FirstEye:
    """The left eye of a stereo take, finished, for an engine that is to fill the right one's holes alike."""

    guides: Guides
    trajectory: Trajectory
    frames: Frames  # [N, H, W, 3] uint8


@dataclass(frozen=True)
class GenerateRequest:
    """Everything an engine may look at."""

    guides: Guides
    trajectory: Trajectory
    clip: Clip | None = None
    """The source, for engines that look at it (lead-in, composite); None when only guides are at hand."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    fps: float = 15.0
    kept: KeptWindows | None = None
    """Where an engine that makes long clips in windows keeps those that are done, and takes them up again."""
    first_eye: FirstEye | None = None
    """Where this is the right eye of a stereo take. Engines that do not look at it fill each eye by itself."""


OnFrame = Callable[[int, UInt8], None]
"""Called with (index, [H, W, 3] uint8) as soon as a frame is final, in any order, each index once."""


OnUsed = Callable[[str, Any], None]
"""Called with a setting's name and the value that was used, where that is not the one that was asked for, or says
more."""


class Hooks(Watch, total=False):
    """Whom an engine tells while it works, and who may stop it; None, or leaving it out, means nobody."""

    on_frame: OnFrame | None
    on_used: OnUsed | None


class Engine(Protocol):
    """Turns guides into frames. Same request, same machine: same bytes."""

    about: ClassVar[EngineInfo]
    """The description that holds on every machine."""
    needs_gpu: ClassVar[bool]
    """Whether what a take costs depends on the GPU."""

    def info(self) -> EngineInfo:
        """Describe the engine as it is here, without loading anything heavy."""
        ...

    def generate(self, request: GenerateRequest, **hooks: Unpack[Hooks]) -> Frames:  # [N, H, W, 3] uint8
        """Return the finished frames. Raises Cancelled, SettingError, WeightsError, EngineError."""
        ...

    @staticmethod
    def cost(frames: int, width: int, height: int, settings: Mapping[str, Any], gpu: Gpu | None) -> Cost:
        """Reckon what a take costs, as :func:`ex4d.engines.cost` says. Needs no packages. Raises SettingError."""
        ...
