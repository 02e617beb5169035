"""A shot as an engine wants it: the frame-0 rule applied to the move before guides are drawn, and undone afterwards.

plan = plan_shot(trajectory, clip, settings)
guides = render_guides(mesh, plan.trajectory, source_first_frame=plan.source_first_frame, ...)
frames = generate_shot(engine, plan, guides, clip, settings=settings, ...)
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Unpack, runtime_checkable

from ex4d.engines.base import Engine, FirstEye, GenerateRequest, Hooks, OnFrame, OnUsed
from ex4d.engines.kept_windows import KeptWindows
from ex4d.engines.leadin import starts_at_source, with_lead_in
from ex4d.frames import Frames
from ex4d.progress import Watch, report
from ex4d.trajectory import near_depth_of
from ex4d.types import Clip, Guides
from ex4d_ground.arrays import UInt8
from ex4d_ground.cameras import Trajectory

LEAD_IN = "lead_in"
"""The setting of engines whose model expects its first frame to be a real, complete picture."""
KNOWN_FIRST = "known_first"
"""The setting of engines that take from the clip what guides do not show of it (:mod:`ex4d.guides.known`)."""
KEEP_LOADED = "keep_loaded"
"""The setting of engines whose model can stay loaded between takes."""


@dataclass(frozen=True)
class ShotPlan:
    """What is rendered and generated for a move."""

    trajectory: Trajectory
    """The move, with its lead-in in front if it has one."""
    trim: int = 0
    """The lead-in's frames, cut off from what comes back."""
    source_first_frame: bool = False
    """The first guide is the source picture itself, with a full mask."""

    @property
    def message(self) -> str:
        """What people are told of it, "" if the move is used as it is."""
        if not self.trim:
            return ""
        return (
            f"The move does not start at the source camera: {self.trim} frames lead there and are cut off afterwards "
            f"(turn it off with {LEAD_IN})."
        )

    def without_lead_in(self, guides: Guides) -> Guides:
        """The guides of the move alone."""
        return guides.part(self.trim)


def plan_shot(
    trajectory: Trajectory, clip: Clip, settings: Mapping[str, Any], *, border_depth: float | None = None
) -> ShotPlan:
    """How ``trajectory`` is to be rendered for an engine with these ``settings`` (all of them, defaults filled in).

    An engine without a ``lead_in`` setting takes any first frame: its moves stay as they are. Otherwise a move that
    starts elsewhere than at the source camera gets a lead-in, unless the setting is off.
    """
    if LEAD_IN not in settings:
        return ShotPlan(trajectory)
    near, trim = near_depth_of(clip, border_depth), 0
    lens, pose = clip.camera_at(trajectory.source_time[0])
    if settings[LEAD_IN]:
        led = with_lead_in(trajectory, lens, reference_depth=near, pose=pose)
        trajectory, trim = led.trajectory, led.trim
    at_source = starts_at_source(trajectory, lens, reference_depth=near, pose=pose)
    # At another size than the clip's, the mesh seen from the source camera is as near as one can come to its picture.
    same_size = (trajectory.width, trajectory.height) == (clip.width, clip.height)
    return ShotPlan(trajectory, trim, at_source and same_size)


def generate_shot(
    engine: Engine,
    plan: ShotPlan,
    guides: Guides,  # of plan.trajectory
    clip: Clip | None,
    *,
    settings: Mapping[str, Any],
    seed: int,
    fps: float,
    kept: KeptWindows | None = None,
    first_eye: FirstEye | None = None,
    on_frame: OnFrame | None = None,
    on_used: OnUsed | None = None,
    **watch: Unpack[Watch],
) -> Frames:  # [N, H, W, 3]
    """The engine's frames of the move, without the lead-in; ``on_frame`` counts from the move's first frame.

    ``kept`` is where an engine with windows keeps those that are done, ``first_eye`` what the left eye shows where this
    is the right one. ``on_used`` is told where another value of a setting was used than the one that was asked for.
    Raises what the engine raises.
    """
    if plan.message:
        report(watch.get("on_progress"), "planning", 1, 1, plan.message)
    request = GenerateRequest(guides, plan.trajectory, clip, settings=settings, seed=seed, fps=fps, kept=kept)
    request = replace(request, first_eye=first_eye)

    def trimmed(index: int, frame: UInt8) -> None:
        if on_frame is not None and index >= plan.trim:
            on_frame(index - plan.trim, frame)

    hooks: Hooks = {"on_frame": None if on_frame is None else trimmed, "on_used": on_used, **watch}
    frames = engine.generate(request, **hooks)
    return frames[plan.trim :]


@runtime_checkable
class Closable(Protocol):
    """An engine that can keep its model loaded between takes (and has a setting for it)."""

    def close(self) -> None:
        """Let go of it."""
        ...


@contextmanager
def loaded_once(engine: Engine, settings: Mapping[str, Any]) -> Iterator[bool]:
    """For several shots in a row: yields whether to generate them with ``keep_loaded``, so that one loading does.

    Afterwards the model is let go, unless ``settings`` say themselves that it is kept.
    """
    if not isinstance(engine, Closable) or settings.get(KEEP_LOADED, True):
        yield False
        return
    try:
        yield True
    finally:
        engine.close()
