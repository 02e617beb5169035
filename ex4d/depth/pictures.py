"""Pictures to judge depth by: contact sheet, flicker plot, histogram, and before/after of edge care."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from ex4d.depth.base import FrameSource
from ex4d.depth.edges import EdgeOptions, align_edges, clamp_far, fill_frame
from ex4d.files import atomic_path
from ex4d.progress import CancelToken, OnProgress, check, report
from ex4d.types import Float32, Float64, UInt8

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
    """Five frames: picture, depth, depth after edge care, and where that changed it."""
    picked = np.unique(np.linspace(0, len(depth) - 1, min(5, len(depth))).round().astype(int))
    pictures: list[UInt8] = []
    mended: list[Float32] = []
    for index, frame in enumerate(frames):
        check(cancel)
        if index in picked:
            pictures.append(frame)
            filled, _ = fill_frame(depth[index])
            mended.append(align_edges(clamp_far(filled, options)[0], frame, options))
    before, after = np.stack([depth[i] for i in picked]), np.stack(mended)
    low, high = depth_range(before)
    with np.errstate(invalid="ignore"):
        changed = ~(np.abs(after / before - 1) < 0.01)
    grey = np.stack([cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for p in pictures])
    marked = np.where(changed[..., None], np.array([230, 60, 30], np.uint8), (grey * 0.7).astype(np.uint8))
    rows = {
        "picture": np.stack(pictures),
        "depth as it is": colourised(before, low, high),
        "with edges aligned\n(--edges)": colourised(after, low, high),
        "changed by more\nthan 1 %": marked,
    }
    _sheet(path, rows, [f"frame {i}" for i in picked])


def _sheet(path: Path, rows: Mapping[str, UInt8], heads: list[str]) -> None:  # each row [N, H, W, 3]
    """A grid of pictures, one named row each, one headed column a frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = next(iter(rows.values())).shape[1:3]
    tile = 2.6
    figure = Figure(figsize=(tile * len(heads) + 1, (tile * height / width + 0.1) * len(rows) + 0.3), dpi=110)
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
    figure.subplots_adjust(
        left=0.9 / figure.get_figwidth(), right=0.99, top=0.96, bottom=0.01, wspace=0.03, hspace=0.04
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
    *,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """How much of the clip lies how deep, on a logarithmic axis, with the mesh's border."""
    low, high = depth_range(depth)
    edges = np.geomspace(low * 0.8, max(high, border_depth) * 1.25, 81)
    counts = np.zeros(80)
    for index, frame in enumerate(depth):
        check(cancel)
        counts += np.histogram(frame[np.isfinite(frame) & (frame > 0)], edges)[0]
        report(on_progress, "depth: histogram", index + 1, len(depth))
    figure, axes = _figure()
    axes.stairs(100 * counts / max(counts.sum(), 1), edges, fill=True, color=_BLUE, alpha=0.75)
    axes.axvline(border_depth, color=_ORANGE, linewidth=1.6, label=f"border of the mesh ({border_depth:g})")
    axes.set(xscale="log", xlabel="depth", ylabel="per cent of pixels", title="Depth of the clip")
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
