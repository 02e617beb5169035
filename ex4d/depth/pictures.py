"""Pictures to judge depth by: contact sheet, flicker plot, histogram, and before/after of edge care."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import cv2
import numpy as np

from ex4d.depth.base import FrameSource
from ex4d.depth.edge_steps import edge_steps
from ex4d.depth.edges import EdgeOptions
from ex4d.progress import CancelToken, Watch, check, reported
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.files import atomic_path

_BLUE, _ORANGE, _GREY = "#2b6cb0", "#dd6b20", "#718096"


def colourised(
    depth: Float32,  # [..., H, W]
    low: float,
    high: float,
) -> UInt8:  # [..., H, W, 3]
    """Depth as colours on a scale of disparity, near warm and far cool; invalid pixels magenta."""
    with np.errstate(divide="ignore", invalid="ignore"):
        disparity = 1 / depth
    level = (disparity - 1 / high) / max(1 / low - 1 / high, 1e-12)
    valid = np.isfinite(level) & (depth > 0)
    codes = np.where(valid, np.clip(level, 0, 1) * 255, 0).astype(np.uint8)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]
    return np.where(valid[..., None], table[codes], np.array([255, 0, 255], np.uint8)).astype(np.uint8)


def write_contact_sheet(
    path: Path, frames: FrameSource, depth: Float32, options: EdgeOptions, *, cancel: CancelToken | None = None
) -> None:
    """Five frames: picture, depth, depth after each kind of edge care, and where it changed it and how."""
    picked = np.unique(np.linspace(0, len(depth) - 1, min(5, len(depth))).round().astype(int))
    low, high = depth_range(depth[picked])
    steps = edge_steps(replace(options, fill=True, sharpen=True, clamp_far=True, align=True), estimated=True)
    rows: dict[str, list[UInt8]] = {name: [] for name in ("picture", "depth as it is", *_AFTER.values(), "changed")}
    for index, frame in enumerate(frames):
        check(cancel)
        if index not in picked:
            continue
        values = depth[index]
        rows["picture"].append(frame)
        rows["depth as it is"].append(colourised(values, low, high))
        grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        marked = (grey * 0.6).astype(np.uint8)
        for name, step in steps.items():
            mended, _ = step(values, frame)
            with np.errstate(invalid="ignore"):
                marked[~(np.abs(mended / values - 1) < 0.01)] = _STEP_COLOURS[name]
            values = mended
            if name in _AFTER:
                rows[_AFTER[name]].append(colourised(values, low, high))
        rows["changed"].append(marked)
    _sheet(path, {name: np.stack(images) for name, images in rows.items()}, [f"frame {i + 1}" for i in picked])


_AFTER = {"sharpen": "sharpened\n(sharpen)", "align": "edges moved too\n(edges)"}
"""Steps after which the depth is shown, and what the row is called."""
_STEP_COLOURS = {"fill": (255, 0, 255), "sharpen": (240, 140, 30), "clamp": (70, 160, 255), "align": (80, 220, 90)}
_STEP_WORDS = {"fill": "filled", "sharpen": "sharpened", "clamp": "brought before the border", "align": "edges moved"}


def _sheet(path: Path, rows: Mapping[str, UInt8], heads: list[str]) -> None:  # each row [N, H, W, 3]
    """A grid of pictures, one named row each, one headed column a frame, and what the colours of changes mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    height, width = next(iter(rows.values())).shape[1:3]
    tile = 2.6
    figure = Figure(figsize=(tile * len(heads) + 1, (tile * height / width + 0.1) * len(rows) + 0.6), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(heads), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name)
    for axis, head in zip(axes[0], heads, strict=True):
        axis.set_title(head, fontsize=10)
    colours = {name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in _STEP_COLOURS.items()}
    patches = [Patch(color=colours[name], label=words) for name, words in _STEP_WORDS.items()]
    title = "changed by more than 1 %:"
    figure.legend(handles=patches, title=title, loc="lower center", ncols=4, frameon=False, alignment="center")
    tall = figure.get_figheight()
    figure.subplots_adjust(
        left=0.9 / figure.get_figwidth(), right=0.99, top=1 - 0.25 / tall, bottom=0.55 / tall, wspace=0.03, hspace=0.04
    )
    _save(figure, path)


def write_flicker_plot(path: Path, series: Mapping[str, Float64]) -> None:  # name -> [T] per cent
    """Flicker over time, one line for each entry, with its mean in the legend."""
    figure, axes = _figure()
    for (name, values), colour in zip(series.items(), (_ORANGE, _BLUE, _GREY), strict=False):
        known = values[np.isfinite(values)]
        mean = known.mean() if known.size else 0.0
        axes.plot(np.arange(len(values)), values, color=colour, linewidth=1.6, label=f"{name} (mean {mean:.2f} %)")
    axes.set(xlabel="frame", ylabel="flicker, per cent of depth", title="Flicker along the motion")
    axes.set_ylim(0, max(axes.get_ylim()[1], 0.1))  # a tenth of a per cent is nothing: do not draw rounding as a peak
    axes.legend(frameon=False)
    _save(figure, path)


def write_histogram(
    path: Path,
    depth: Float32,  # [T, H, W]
    border_depth: float,
    **watch: Unpack[Watch],
) -> None:
    """How much of the clip lies how deep, on a logarithmic axis, with the mesh's border."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = depth_range(depth)
    deepest = max(float(np.max(f, where=np.isfinite(f), initial=0)) for f in depth)
    edges = np.geomspace(low * 0.8, max(high, border_depth, deepest) * 1.25, 81)
    counts = np.zeros(80)
    for frame in reported(depth, "depth: histogram", len(depth), **watch):
        counts += np.histogram(frame[np.isfinite(frame) & (frame > 0)], edges)[0]
    figure, axes = _figure()
    axes.stairs(100 * counts / max(counts.sum(), 1), edges, fill=True, color=_BLUE, alpha=0.75)
    axes.axvline(border_depth, color=_ORANGE, linewidth=1.6, label=f"border of the mesh ({border_depth:g})")
    axes.set(xscale="log", xlabel="depth", ylabel="per cent of pixels", title="Depth of the clip")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(frameon=False)
    _save(figure, path)


def depth_range(depth: Float32) -> tuple[float, float]:
    """The 0.5 % and 99.5 % quantiles of valid depth, from at most 64 frames."""
    step = max(1, len(depth) // 64)
    valid = [f[np.isfinite(f) & (f > 0)] for f in depth[::step]]
    samples = np.concatenate([v[:: max(1, v.size // 20000)] for v in valid])
    if not samples.size:
        return 1.0, 2.0
    low, high = (float(q) for q in np.quantile(samples, [0.005, 0.995]))
    return low, max(high, low * 1.001)


def _figure():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    return figure, axes


def _save(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
