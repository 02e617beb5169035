"""What a take will cost before anything is loaded: windows, passes, memory, and roughly how long it takes.

    from ex4d.generate import cost
    found = cost("wan", frames=120, width=512, height=512, settings={"mode": "fast"})
    found.windows, found.forwards, found.peak_bytes, found.seconds, found.text

Needs neither torch nor weights and takes a fraction of a second, so a server can answer it while a panel is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ex4d.errors import SettingError
from ex4d.generate.gpu import Gpu, find_gpu
from ex4d.generate.registry import engine_names, get_engine

GIB = 1 << 30


@dataclass(frozen=True)
class Cost:
    """The answer; whatever cannot be said without guessing is None or ""."""

    engine: str
    frames: int
    """As asked for. A lead-in is not in it: pass the length of the planned move (see :mod:`ex4d.generate.shot`)."""
    width: int
    height: int
    windows: int
    """Runs of at most ``window`` frames, each sharing some with the one before; 1 for engines without windows."""
    passes: int
    """2 if the picture is first made smaller and then refined in tiles, else 1."""
    tiles: int
    """Parts the picture is refined in, 1 if it is made whole."""
    forwards: int
    """Runs of the model in all; 0 for engines without one."""
    gpu: str
    """The GPU's name, "" if there is none."""
    gpu_bytes: int
    """Its memory; 0 if there is none."""
    free_bytes: int
    plan: str
    """Where the weights go: "resident", "fp8" or "offload"; "" if the engine needs no GPU, or none would do."""
    peak_bytes: int | None
    """Expected peak on the GPU; None where no plan was made."""
    seconds: float | None
    """Rough time with the model loaded; None for a GPU whose speed is not known here."""
    problem: str
    """Why it cannot run here as asked, and what to do about it; "" if it can."""

    @property
    def text(self) -> str:
        """All of it in one line, for people."""
        parts = [f"{self.frames} frame{'' if self.frames == 1 else 's'} of {self.width}x{self.height}"]
        if self.forwards:
            parts.append(f"{self.windows} window{'' if self.windows == 1 else 's'}")
        if self.passes > 1:
            parts.append(f"two passes, the second in {self.tiles} tiles")
        if self.peak_bytes is not None:
            parts.append(f"{self.plan}, about {self.peak_bytes / GIB:.1f} of {self.gpu_bytes / GIB:.0f} GiB")
        if self.seconds is not None:
            parts.append(f"roughly {rough_time(self.seconds)}")
        if self.problem:
            parts.append(self.problem)
        return "; ".join(parts)


def cost(
    engine: str,
    *,
    frames: int,
    width: int,
    height: int,
    settings: Mapping[str, Any] | None = None,
    gpu: Gpu | None = None,
    look: bool = True,
) -> Cost:
    """What ``frames`` frames of ``width`` x ``height`` pixels cost with ``engine`` and ``settings`` on this machine.

    ``settings`` may leave out any of the engine's. ``gpu`` is the GPU to reckon with; without one this machine's is
    looked for, unless ``look`` is False, which reckons without a GPU. A machine without one, and a picture too large
    for the one there is, are no errors: ``problem`` says so. Raises SettingError for an unknown engine, a bad setting,
    or sizes below 1.
    """
    if engine not in engine_names():
        raise SettingError(f"There is no engine {engine!r}; choose one of {', '.join(engine_names())}.")
    if min(frames, width, height) < 1:
        raise SettingError(f"A take has at least one frame of one pixel, got {frames} of {width}x{height}.")
    if engine == "wan":
        from ex4d.generate.wan.costs import wan_cost

        return wan_cost(frames, width, height, settings or {}, gpu or (find_gpu() if look else None))
    if settings:
        get_engine(engine).info().validated(settings)
    return _preview_cost(engine, frames, width, height)


_PREVIEW_SECONDS = 0.4  # per frame of a million pixels, two cores of a small server


def _preview_cost(engine: str, frames: int, width: int, height: int) -> Cost:
    seconds = _PREVIEW_SECONDS * frames * width * height / 1e6
    return Cost(engine, frames, width, height, 1, 1, 1, 0, "", 0, 0, "", None, seconds, "")


def rough_time(seconds: float) -> str:
    """A time as roughly as it is known: "10 s", "4 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds)) if seconds < 10 else round(seconds / 10) * 10} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
