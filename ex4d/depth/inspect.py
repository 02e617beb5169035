"""A depth file's facts and pictures, before and after what could be done to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from ex4d.clip.depth import read_opened
from ex4d.clip.invalid import find_invalid
from ex4d.clip.pairing import paired_sources
from ex4d.clip.resample import require_same_view, resized
from ex4d.depth.edges import EdgeOptions
from ex4d.depth.frames import open_frames, opened_beside
from ex4d.depth.pictures import depth_range, write_contact_sheet, write_flicker_plot, write_histogram
from ex4d.depth.store import new_values
from ex4d.depth.temporal import flicker, mean_flicker, steady
from ex4d.progress import Watch
from ex4d_ground.arrays import Float64
from ex4d_ground.errors import DepthError
from ex4d_ground.files import staged_folder


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
        facts = [
            f"Depth from {self.near:.3g} to {self.far:.3g} (99 % of the pixels).",
            f"Without depth: {self.invalid}.",
            f"Behind the mesh's border: {100 * self.behind_border:.2f} % of the pixels.",
        ]
        for name, series in self.flicker.items():
            mean = mean_flicker(series)
            if mean is not None:
                facts.append(f"Flicker {name}: {mean:.2f} %.")
        return [*facts, *(str(p) for p in self.pictures)]


def inspect_depth(
    video: Path,
    depth: Path,
    folder: Path,
    *,
    with_steady: bool = True,
    border_depth: float = 100.0,
    scale: float | None = None,
    channel: str | None = None,
    num_frames: int | None = None,
    **watch: Unpack[Watch],
) -> Inspection:
    """Write contact_sheet.png, flicker.png and histogram.png to ``folder``.

    ``scale`` and ``channel`` as :func:`ex4d.clip.depth.read_depth` takes them. Raises DepthError if the depth does not
    fit the video, ClipError, SettingError, OutputError, Cancelled.
    """
    options = EdgeOptions(border_depth=border_depth)
    video_source, depth_source, _ = paired_sources(video, depth, num_frames=num_frames)
    frames = open_frames(video_source, num_frames=num_frames, cancel=watch.get("cancel"))
    opened = opened_beside(frames, depth_source, scale=scale, channel=channel, num_frames=num_frames)
    require_same_view((opened.height, opened.width), (frames.height, frames.width), opened.label)
    values = read_opened(opened, **watch)
    if values.shape[1:] != (frames.height, frames.width):
        values = np.stack([resized(frame, (frames.height, frames.width)) for frame in values])
    if values.shape != (frames.num_frames, frames.height, frames.width):
        raise DepthError(
            f"{depth} holds depth of {values.shape} (frames, height, width) but the video has "
            f"{(frames.num_frames, frames.height, frames.width)}; inspect it with the video it belongs to."
        )
    series: dict[str, Float64] = {}
    if len(values) > 2:
        series["as it is"] = flicker(values, frames, "metric", **watch)
        if with_steady:
            target = new_values((values.shape[0], values.shape[1], values.shape[2]))
            steadied = steady(values, frames, "metric", target, **watch)
            series["after the temporal filter"] = flicker(steadied, frames, "metric", cancel=watch.get("cancel"))
    low, high = depth_range(values)
    names = ["contact_sheet.png", "histogram.png"] + (["flicker.png"] if series else [])
    with staged_folder(folder) as staging:
        write_contact_sheet(staging / names[0], frames, values, options, cancel=watch.get("cancel"))
        write_histogram(staging / names[1], values, border_depth, **watch)
        if series:
            write_flicker_plot(staging / names[2], series)
    behind = float(np.mean([np.mean(f > border_depth) for f in values]))
    return Inspection(tuple(folder / n for n in names), low, high, find_invalid(values).describe(), behind, series)
