"""The preview engine: fills what the source never showed with its place, or from the background side; without a model.

It runs on any machine, keeps every visible pixel of the guide as it is, and marks its results as a preview. What paints
is loaded by the first take: who only asks what one costs, as a server does, takes no compiled loops along.
"""

from typing import Unpack

from ex4d.engines.base import GenerateRequest, Hooks
from ex4d.engines.preview_settings import ABOUT, PreviewSettings, preview_cost, preview_settings
from ex4d.frames import Frames, FrameStack
from ex4d.frames.ahead import in_order
from ex4d.progress import check, report
from ex4d_ground import planes, stages
from ex4d_ground.descriptions import EngineInfo


class PreviewEngine:
    """Hole filling on the CPU; no weights, nothing random (the seed is recorded and changes nothing)."""

    about = ABOUT
    needs_gpu = False
    cost = staticmethod(preview_cost)

    def info(self) -> EngineInfo:
        """Name, settings and licence: the same everywhere."""
        return self.about

    def generate(self, request: GenerateRequest, **hooks: Unpack[Hooks]) -> Frames:  # [N, H, W, 3]
        """Fill the guides' holes frame by frame, in order. Raises SettingError, ShapeError, Cancelled."""
        from ex4d.engines.preview_painter import PreviewPainter, check_shapes
        from ex4d.engines.world_fill import WorldFill

        settings = preview_settings(request.settings)
        check_shapes(request)
        on_frame, on_progress = hooks.get("on_frame"), hooks.get("on_progress")
        count = len(request.guides.colour)
        out = FrameStack(expected=count, label="The preview")
        world = None
        if settings.fill == "world":
            report(on_progress, stages.PLACE, 0, 1)
            world = WorldFill.of(request, hooks.get("cancel"), settings.planes)
        elif planes.read(settings.planes):
            report(on_progress, stages.PLACE, 1, 1, _unused(settings))
        painter = PreviewPainter(request, settings, world)
        if settings.fill == "world":
            report(on_progress, stages.PLACE, 1, 1, painter.without_world)
            on_used = hooks.get("on_used")
            if on_used is not None:
                on_used(*(("fill", "background") if painter.without_world else ("planes", painter.planes)))
        report(on_progress, stages.PREVIEW, 0, count)
        ready = in_order(painter.prepare, range(count), painter.workers, hooks.get("cancel"), ahead=painter.workers)
        for i, prepared in enumerate(ready):
            check(hooks.get("cancel"))
            painted = painter.paint(i, prepared)
            out.append(painted)
            if on_frame is not None:
                on_frame(i, painted)
            report(on_progress, stages.PREVIEW, i + 1, count)
        return out.frames()


def _unused(settings: PreviewSettings) -> str:
    return (
        f"planes says '{settings.planes.strip()}', but fill is '{settings.fill}', which shows no planes: nothing is "
        "changed by it; fill 'world' shows them."
    )
