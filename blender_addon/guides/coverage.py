"""Coverage: the share of each frame that the source really shows. Kept on the shot, drawn as a graph and a strip.

Of the rest it may be known where a floor or a wall goes on, as last rendered: the graph tells that from what is
invented.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import bpy
import numpy as np

from ex4d_ground.arrays import Float32, Float64

from ..work import hooks

MARKER_PREFIX = "EX-4D "
GRAPH_SIZE = 128
"""Pixels on each side; Blender shows previews in a square."""

GOOD, BAD = (0.30, 0.66, 0.42), (0.86, 0.32, 0.26)
GOES_ON = (0.22, 0.42, 0.62)
BACKGROUND, GRID, LIMIT = (0.11, 0.11, 0.11), (0.2, 0.2, 0.2), (0.95, 0.75, 0.25)


@dataclass(frozen=True)
class Problem:
    """A run of frames that ask for more than the source can show."""

    first: int
    """Scene frame."""
    last: int
    worst: int
    """Scene frame with the least coverage."""
    coverage: float
    """Of the worst frame."""
    minimum: float = 0.5
    """What was asked for."""

    @property
    def is_empty(self) -> bool:
        """Whether the camera sees nothing at all of the source."""
        return self.coverage == 0

    @property
    def text(self) -> str:
        """Frames, coverage and reason, for a button."""
        span = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{span}: " + ("sees nothing" if self.is_empty else f"{self.coverage:.0%}, below {self.minimum:.0%}")


_partial: tuple[str, Float64] | None = None
"""Shot id and what is known so far [N] of a coverage under way, NaN elsewhere."""


def store(shot: bpy.types.Object, values: Float64, on_plane: Float64 | None = None) -> None:  # [N], [N]
    """Keep the shot's coverage with it; with a linked one it stays until the file is closed.

    ``on_plane`` is the share where floor and walls go on; None: not known, save where it is of the same values already.
    """
    text = _written(values)
    if on_plane is None and text == shot.ex4d.coverage_json:
        return  # the same move, seen by a live view or a take
    shot.ex4d.coverage_json = text
    shot.ex4d.on_plane_json = _written([] if on_plane is None else on_plane)


def _written(values: Sequence[float] | Float64) -> str:
    return json.dumps([round(float(value), 4) for value in values])


def of(shot: bpy.types.Object) -> Float64:  # [N]
    """The shot's coverage as last computed; empty if never."""
    return _read(shot.ex4d.coverage_json or "[]").copy()


@lru_cache(maxsize=8)
def _read(text: str) -> Float64:
    """Panels and strips ask with every redraw."""
    return np.array(json.loads(text), np.float64)


def put_partial(shot_id: str, values: Float64) -> None:  # [N], NaN where not known yet
    """Show what is known so far of a coverage under way."""
    global _partial
    _partial = shot_id, values.copy()


def forget_partial() -> None:
    """No coverage is under way any more."""
    global _partial
    _partial = None


def current(shot: bpy.types.Object) -> Float64:  # [N]
    """What to show: a coverage under way (NaN where it is not known yet), or the last one."""
    if _partial is not None and _partial[0] == shot.ex4d.shot_id:
        return _partial[1]
    return of(shot)


def current_on_plane(shot: bpy.types.Object) -> Float64:  # [N]
    """Where floor and walls go on in what :func:`current` shows; empty where that is not known."""
    under_way = _partial is not None and _partial[0] == shot.ex4d.shot_id
    values = _read(shot.ex4d.on_plane_json or "[]")
    fits = not under_way and len(values) == len(_read(shot.ex4d.coverage_json or "[]"))
    return values.copy() if fits else np.zeros(0)


def redraw() -> None:
    """Have the sidebars and timelines show what changed."""
    hooks.redraw(hooks.SIDEBARS, hooks.TIMELINES)


def problems(values: Float64, *, frame_start: int, minimum: float) -> list[Problem]:
    """Runs of neighbouring frames below ``minimum``, in order."""
    below = np.flatnonzero(values < minimum)  # NaN is not
    runs = []
    for run in np.split(below, np.flatnonzero(np.diff(below) > 1) + 1):
        if run.size:
            worst = int(run[np.argmin(values[run])])
            first, last = int(run[0]), int(run[-1])
            least = float(values[worst])
            runs.append(Problem(frame_start + first, frame_start + last, frame_start + worst, least, minimum))
    return runs


def warnings(values: Float64) -> tuple[str, ...]:
    """A sentence that names the frames whose camera sees nothing of the source."""
    empty = [str(index + 1) for index in np.flatnonzero(values == 0)]
    if not empty:
        return ()
    shown = ", ".join(empty[:10]) + (", ..." if len(empty) > 10 else "")
    return (f"The camera sees nothing of the source in frames {shown} of the shot.",)


def mark(scene: bpy.types.Scene, marked: list[Problem]) -> None:
    """Replace our timeline markers by one per problem, on its worst frame."""
    unmark(scene)
    for problem in marked:
        scene.timeline_markers.new(f"{MARKER_PREFIX}{problem.coverage:.0%}", frame=problem.worst)


def unmark(scene: bpy.types.Scene) -> None:
    """Remove our timeline markers, and no others."""
    for marker in [m for m in scene.timeline_markers if m.name.startswith(MARKER_PREFIX)]:
        scene.timeline_markers.remove(marker)


def graph(
    values: Float64,  # [N]
    *,
    minimum: float,
    on_plane: Float64 | None = None,  # [N]
) -> Float32:  # [S, S, 4] bottom row first
    """A bar per frame, red below ``minimum``, with lines at each quarter and at the minimum.

    On top of it, in blue, where floor and walls go on; ``on_plane`` is empty, or None, where that is not known.
    """
    size = GRAPH_SIZE
    out = np.empty((size, size, 4), np.float32)
    out[...] = (*BACKGROUND, 1.0)
    rows = (np.arange(size) + 0.5) / size
    for quarter in (0.25, 0.5, 0.75):
        out[int(quarter * size), :, :3] = GRID
    columns = (np.arange(size) * len(values)) // size
    heights = np.nan_to_num(values[columns], nan=0.0)  # a gap where a frame is not known yet
    bars = rows[:, None] <= heights[None, :]
    if on_plane is not None and on_plane.size:
        goes_on = ~bars & (rows[:, None] <= (heights + on_plane[columns])[None, :])
        out[..., :3] = np.where(goes_on[..., None], np.array(GOES_ON, np.float32), out[..., :3])
    colours = np.where((heights < minimum)[:, None], np.array(BAD, np.float32), np.array(GOOD, np.float32))
    out[..., :3] = np.where(bars[..., None], colours[None], out[..., :3])
    if 0 < minimum < 1:
        out[int(minimum * size), ::2, :3] = LIMIT
    return out
