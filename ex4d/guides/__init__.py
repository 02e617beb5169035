"""Guides: what a moved camera sees of a clip's DW-mesh, frame by frame, and where it sees nothing."""

from ex4d.frames.ahead import thread_count
from ex4d.guides.known import known_mesh, render_known
from ex4d.guides.live import FrameRenderer, LayerRenderer
from ex4d.guides.objects import GuideObject
from ex4d.guides.render import render_guides
from ex4d.guides.request import OnGuide, source_frames

__all__ = [
    "FrameRenderer",
    "GuideObject",
    "LayerRenderer",
    "OnGuide",
    "known_mesh",
    "render_guides",
    "render_known",
    "source_frames",
    "thread_count",
]
