"""A depth file's facts and pictures, before and after what could be done to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ex4d.clip import find_invalid, read_depth
from ex4d.depth.edges import EdgeOptions
from ex4d.depth.frames import open_frames
from ex4d.depth.pictures import depth_range, write_contact_sheet, write_flicker_plot, write_histogram
from ex4d.depth.store import new_values
from ex4d.depth.temporal import flicker, steady
from ex4d.errors import DepthError
from ex4d.files import staged_folder
from ex4d.progress import CancelToken, OnProgress
from ex4d.types import Float64


@dataclass(frozen=True)
class Inspection:
    """What was seen and where the pictures are."""

    pictures: tuple[Path, ...]
    near: float
    far: float
    invalid: str
    behind_border: float
    """Share of pixels deeper than the mesh's border."""
    flicker: dict[str, Float64]

    def lines(self) -> list[str]:
        """For people, one fact a line."""
        found = [
            f"Depth from {self.near:.3g} to {self.far:.3g} (99 % of the pixels).",
            f"Without depth: {self.invalid}.",
            f"Behind the mesh's border: {100 * self.behind_border:.2f} % of the pixels.",
        ]
        for name, series in self.flicker.items():
            known = series[np.isfinite(series)]
            if known.size:
                found.append(f"Flicker {name}: {known.mean():.2f} %.")
        return [*found, *(str(p) for p in self.pictures)]


def inspect_depth(
    video: Path,
    depth: Path,
    folder: Path,
    *,
    with_steady: bool = True,
    border_depth: float = 100.0,
    scale: float | None = None,
    num_frames: int | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Inspection:
    """Write contact_sheet.png, flicker.png and histogram.png to ``folder``.

    Raises DepthError if the depth does not fit the video, ClipError, OutputError, Cancelled.
    """
    frames = open_frames(video, num_frames=num_frames, cancel=cancel)
    values = read_depth(depth, scale=scale, num_frames=frames.num_frames, on_progress=on_progress, cancel=cancel)
    if values.shape != (frames.num_frames, frames.height, frames.width):
        raise DepthError(
            f"{depth} holds depth of {values.shape} (frames, height, width) but the video has "
            f"{(frames.num_frames, frames.height, frames.width)}; inspect it with the video it belongs to."
        )
    series: dict[str, Float64] = {}
    if len(values) > 2:
        series["as it is"] = flicker(values, frames, "metric", on_progress=on_progress, cancel=cancel)
        if with_steady:
            target = new_values((values.shape[0], values.shape[1], values.shape[2]))
            steadied = steady(values, frames, "metric", target, on_progress=on_progress, cancel=cancel)
            series["after the temporal filter"] = flicker(steadied, frames, "metric", cancel=cancel)
    options = EdgeOptions(border_depth=border_depth)
    low, high = depth_range(values)
    names = ["contact_sheet.png", "histogram.png"] + (["flicker.png"] if series else [])
    with staged_folder(folder) as staging:
        write_contact_sheet(staging / names[0], frames, values, options, cancel=cancel)
        write_histogram(staging / names[1], values, border_depth, on_progress=on_progress, cancel=cancel)
        if series:
            write_flicker_plot(staging / names[2], series)
    behind = float(np.mean([np.mean(f > border_depth) for f in values]))
    return Inspection(tuple(folder / n for n in names), low, high, find_invalid(values).describe(), behind, series)
