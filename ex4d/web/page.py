"""Writing the page: one HTML file that holds video, depth, viewer and licence, and asks nobody for anything."""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from ex4d.progress import Watch, check, reported
from ex4d.web.frames import page_frame
from ex4d.web.limits import orbit_limits, target_distance
from ex4d.web.movie import Coding, write_tiles
from ex4d.web.sources import Replay, WebSource
from ex4d.web.tiles import FIELDS, KINDS, LAYERS, LEAST, MAX_FRAMES, SEGMENTS, Layout, PageFrame
from ex4d_ground import stages
from ex4d_ground.errors import OutputError, SettingError, ShapeError
from ex4d_ground.files import staged_folder
from ex4d_ground.remedies import Remedy, larger_clip, larger_page

PAGE_FILE = "index.html"
SMALLEST_SIDE, USUAL_SIDE, LARGEST_SIDE = 48, 960, 2048
LIBRARY = "three.min.js"
_SCRIPTS = ("shaders.js", "surface_shaders.js", "picture.js", "player.js", "controls.js", "main.js")
_MARGIN = 0.02
"""Share of the range of disparity that is left free at either end, for coding errors."""


@dataclass(frozen=True)
class WebOptions:
    """What can be chosen of a page."""

    side: int = USUAL_SIDE
    """Pixels of the longer side of its picture, at most."""
    coding: Coding = field(default_factory=Coding)

    def __post_init__(self) -> None:
        if not SMALLEST_SIDE <= self.side <= LARGEST_SIDE:
            raise SettingError(f"A page's side must be from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, got {self.side}.")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the page's picture of a source of this size. Raises ShapeError for one too small."""
        largest = min(1.0, Layout.most(width, height))
        scale = min(self.side / max(width, height), largest)
        size = round(width * scale), round(height * scale)
        if min(size) < LEAST:
            raise ShapeError(
                f"A page's picture needs {LEAST} pixels along each side, and a clip of {width}x{height} pixels gives "
                f"one of {size[0]}x{size[1]}.",
                remedy=_larger(width, height, largest),
            )
        return size


def _larger(width: int, height: int, largest: float) -> Remedy:
    """What to do about a page's picture too small of a clip that is made ``largest`` times its size at most."""
    short, long = sorted((width, height))
    if short * largest >= LEAST:
        return larger_page(math.ceil(LEAST * long / short))
    least = math.ceil(LEAST / largest)
    return larger_clip(max(width, least), max(height, least))


def write_page(
    output_dir: Path,
    sources: Sequence[WebSource],
    replays: Sequence[Replay],
    options: WebOptions = WebOptions(),
    **watch: Unpack[Watch],
) -> Path:
    """Write ``index.html`` into ``output_dir``; returns it. The first source is the shot, replays are of its world.

    Raises SettingError, ShapeError, OutputError (also for a page that is there already), Cancelled; then the folder is
    as it was. Nothing is cut: a source larger than the page's picture is made smaller as a whole.
    """
    target = new_page(output_dir)
    shot = sources[0]
    with staged_folder(output_dir) as staging:
        described, videos = [], []
        for source in sources:
            path = staging / "video.mp4"
            described.append(_write_source(path, source, options, watch))
            videos.append(base64.b64encode(path.read_bytes()).decode("ascii"))
            path.unlink()
        check(watch.get("cancel"))
        facts = {
            "title": shot.mesh.clip.name,
            "segments": SEGMENTS,
            "kinds": KINDS,
            "layers": LAYERS,
            "fields": FIELDS,
            "target": target_distance(shot.mesh),
            "limits": orbit_limits(shot.mesh),
            "notes": _notes(sources),
            "sources": described,
            "replays": [_replay(each) for each in replays],
        }
        (staging / PAGE_FILE).write_text(_page(facts, videos), encoding="utf-8")
    return target


def new_page(output_dir: Path) -> Path:
    """The page's path in a folder. Raises OutputError for a page that is there already."""
    target = output_dir / PAGE_FILE
    if target.exists():
        raise OutputError(f"{target} is there already; choose another folder.")
    return target


def _write_source(path: Path, source: WebSource, options: WebOptions, watch: Watch) -> dict[str, Any]:
    """Encode a source's video, and say what reads it."""
    mesh = source.mesh
    if mesh.num_frames > MAX_FRAMES:
        raise SettingError(f"A page holds up to {MAX_FRAMES} frames, the clip has {mesh.num_frames}; use fewer.")
    width, height = options.size(mesh.width, mesh.height)
    layout = Layout(width, height)
    span = _span(mesh)

    def frames() -> Iterator[PageFrame]:
        for t in reported(range(mesh.num_frames), stages.WEB, mesh.num_frames, **watch):
            guessed = None if source.guessed is None else source.guessed[t]
            yield page_frame(mesh, t, (height, width), guessed)

    write_tiles(path, frames(), layout, span, mesh.clip.fps, options.coding)
    lenses = [mesh.clip.lens(t).resized(width, height) for t in range(mesh.num_frames)]
    return {
        "name": source.name,
        "fps": mesh.clip.fps,
        "frames": mesh.num_frames,
        "size": [width, height],
        "tile": list(layout.tile),
        "span": span,
        "border": mesh.options.border_depth,
        "edges": _numbers([mesh.edge_limits(t) for t in range(mesh.num_frames)]),
        "lenses": _numbers([[k.fx, k.fy, k.cx, k.cy] for k in lenses]),
        "poses": _numbers(source.poses[:, :3].reshape(-1, 12)),
        "guessed": source.guessed is not None,
    }


def _span(mesh: Any) -> tuple[float, float]:
    """Disparities at black and at white."""
    low, high = np.inf, 0.0
    for t in range(mesh.num_frames):
        depth = mesh.drawn_depth(t)
        low, high = min(low, 1 / float(depth.max())), max(high, 1 / float(depth.min()))
    more = _MARGIN * max(high - low, 1e-6 * high)
    return low - more, high + more


def _replay(replay: Replay) -> dict[str, Any]:
    move = replay.move
    return {
        "name": replay.name,
        "size": [move.width, move.height],
        "frames": replay.frames,
        "lenses": _numbers(move.intrinsics),
        "poses": _numbers(move.world_from_camera[:, :3].reshape(-1, 12)),
    }


def _numbers(rows: Any) -> list[list[float]]:
    """Rows as JSON; equal rows are one."""
    array = np.asarray(rows, np.float64)
    if len(array) and (array == array[0]).all():
        array = array[:1]
    return [[float(f"{value:.9g}") for value in row] for row in array]


def _notes(sources: Sequence[WebSource]) -> list[str]:
    objects = sorted({name for source in sources for name in source.objects})
    notes = [source.note for source in sources if source.note]
    if objects:
        notes.append(f"Guide objects are left out: {', '.join(objects)}.")
    return notes


def _page(facts: dict[str, Any], videos: Sequence[str]) -> str:
    folder = files("ex4d.web") / "page"
    text = {name: (folder / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", LIBRARY, *_SCRIPTS)}
    # A name with "</script>" in it would end the element; JSON allows "<" to be written as an escape.
    said = json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")
    data = [f'<script type="application/json" id="facts">{said}</script>']
    data += [f'<script type="text/plain" id="video-{i}">{video}</script>' for i, video in enumerate(videos)]
    library = base64.b64encode(gzip.compress(text.pop(LIBRARY).encode(), mtime=0)).decode("ascii")
    data.append(f'<script type="text/plain" id="library">{library}</script>')
    scripts = [f"<script>\n{text[name]}</script>" for name in _SCRIPTS]
    page = text["page.html"]
    licence = (folder / "three.LICENSE").read_text(encoding="utf-8")
    for mark, value in (
        ("{{licence}}", f"three.js, which draws this page: {licence}"),
        ("{{title}}", html.escape(facts["title"])),
        ("{{style}}", text["page.css"]),
        ("{{data}}", "\n".join(data)),
        ("{{scripts}}", "\n".join(scripts)),
    ):
        page = page.replace(mark, value)
    return page
