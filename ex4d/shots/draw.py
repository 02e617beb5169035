"""From a mesh and a camera move to guides: the engine's first-frame rule, the rasterizer, guides kept from before."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from msgspec import structs

from ex4d.dwmesh import DWMesh
from ex4d.engines.shot import KNOWN_FIRST, ShotPlan, plan_shot
from ex4d.frames import FrameStack
from ex4d.frames.archive import open_array_frames, write_array_frames
from ex4d.guides import GuideObject, OnGuide, render_guides, render_known
from ex4d.progress import Watch, check, report, reported
from ex4d.shots.options import ShotOptions
from ex4d.types import Clip, Guides
from ex4d_ground import stages
from ex4d_ground.array_files import DAMAGED
from ex4d_ground.cameras import Trajectory
from ex4d_ground.errors import Ex4dError
from ex4d_ground.files import atomic_path, told_of_folder
from ex4d_ground.options import RasterOptions

Keep = Callable[[ShotPlan, Callable[[], Guides]], Guides]
"""Called with a plan and how to draw its guides; returns those guides, drawn now or kept from an earlier time."""


@dataclass(frozen=True)
class Drawing:
    """How guides are drawn, and what stands in the scene beside the mesh."""

    options: RasterOptions = field(default_factory=RasterOptions)
    objects: Sequence[GuideObject] = ()
    """Those that move have one position per frame of the move."""
    threads: int | None = None

    @classmethod
    def of(cls, shot: ShotOptions) -> Drawing:
        """As a shot asks for it."""
        options = RasterOptions.ex4d_parity() if shot.parity else RasterOptions()
        return cls(structs.replace(options, rasterizer=shot.rasterizer, source_first_frame=shot.parity))


@dataclass(frozen=True)
class RenderedShot:
    """A clip seen by a moved camera."""

    mesh: DWMesh
    trajectory: Trajectory
    plan: ShotPlan
    guides_with_lead_in: Guides
    """Of the plan's trajectory: with the lead-in, where there is one."""
    drawing: Drawing
    """How they were drawn."""

    @property
    def rasterizer(self) -> str:
        """What drew the guides; "" where they were kept from a time that did not note it."""
        return self.guides_with_lead_in.rasterizer

    @property
    def clip(self) -> Clip:
        """The source."""
        return self.mesh.clip

    @property
    def guides(self) -> Guides:
        """The guides of the move alone, one per frame of ``trajectory``."""
        return self.plan.without_lead_in(self.guides_with_lead_in)


def draw_shot(
    mesh: DWMesh,
    trajectory: Trajectory,
    drawing: Drawing = Drawing(),
    *,
    settings: Mapping[str, Any] | None = None,
    keep: Keep | None = None,
    on_frame: OnGuide | None = None,
    pictures: Callable[[int], Collection[int]] | None = None,
    **watch: Unpack[Watch],
) -> RenderedShot:
    """Draw the guides of a move for an engine with these ``settings`` (all of them; None: for no engine).

    They get the second layer if the engine's settings ask for it. ``on_frame`` is called for every guide in order,
    also where ``keep`` had them already; it counts the lead-in's.
    Raises what :func:`ex4d.guides.render_guides` raises.
    """
    plan = plan_shot(trajectory, mesh.clip, settings or {}, border_depth=mesh.options.border_depth)
    is_new, known = False, bool((settings or {}).get(KNOWN_FIRST))
    objects = [each.after(plan.trim) for each in drawing.objects]

    def draw() -> Guides:
        nonlocal is_new
        is_new = True
        return render_guides(
            mesh,
            plan.trajectory,
            options=drawing.options,
            source_first_frame=plan.source_first_frame,
            objects=objects,
            on_frame=on_frame,
            threads=drawing.threads,
            known=known,
            kept=None if pictures is None else pictures(len(plan.trajectory)),
            **watch,
        )

    guides = draw() if keep is None else keep(plan, draw)
    if not is_new and on_frame is not None:
        for i, (colour, mask) in enumerate(zip(guides.colour, guides.mask, strict=True)):
            check(watch.get("cancel"))
            on_frame(i, colour, mask)
            report(watch.get("on_progress"), stages.GUIDES, i + 1, len(guides.mask))
    if known and guides.known is None:
        layer = render_known(mesh, plan.trajectory, guides, options=drawing.options, objects=objects, **watch)
        guides = guides.with_known(layer)
    elif not known:
        guides = guides.with_known(None)
    return RenderedShot(mesh, trajectory, plan, guides, drawing)


def kept_in_file(path: Path, on_found: Callable[[Path], None]) -> Keep:
    """Keep guides in an .npz, for a run that is interrupted; ``on_found`` is called where they are taken from it."""

    def keep(plan: ShotPlan, draw: Callable[[], Guides]) -> Guides:
        guides = _read_guides(path, plan.trajectory)
        if guides is not None:
            on_found(path)
            return guides
        guides = draw()
        with told_of_folder(path, "the guides to go on with"):
            write_guides_file(path, guides)
        return guides

    return keep


def write_guides_file(path: Path, guides: Guides, **watch: Unpack[Watch]) -> None:
    """Write guides as the array ``rgba`` [N, H, W, 4] of an .npz, frame by frame. Raises OutputError, Cancelled."""
    count, height, width = guides.mask.shape
    frames = (guides.rgba_of(i) for i in reported(range(count), f"Writing {path.name}", count, **watch))
    packed = zipfile.ZIP_DEFLATED
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", packed, compresslevel=1) as archive:
        write_array_frames(archive, "rgba", frames, shape=(count, height, width, 4), dtype=np.uint8)


def _read_guides(path: Path, trajectory: Trajectory) -> Guides | None:
    """The guides in ``path``, if they are whole and of this move's shape."""
    colours, masks = (FrameStack(expected=len(trajectory), label="The guides") for _ in range(2))
    try:
        with open_array_frames(path, "rgba") as (shape, _, frames):
            if shape != (len(trajectory), trajectory.height, trajectory.width, 4):
                return None
            for rgba in frames:
                colours.append(rgba[..., :3])
                masks.append(rgba[..., 3] > 0)
    except DAMAGED as error:
        if isinstance(error, Ex4dError):  # such as a scratch disk that is full
            raise
        return None  # none there, or damaged: drawn anew, which is always right
    return Guides(colours.frames(), masks.frames())
