"""Plots for the report, drawn with matplotlib into PNG bytes."""

import io
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ex4d.eval.geometry import VariantScores
from ex4d.eval.summary import scene_mean

_PALETTE = ("#2f6fb0", "#d1603d", "#4a9a62", "#8a5fb5", "#c29a2f", "#5a6472", "#c0568f", "#3aa6a6")
_BIN_DEG = 7.5


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def by_angle(scores: Sequence[VariantScores], metric: str, label: str, *, percent: bool = False) -> bytes:
    """``metric`` over the orbit's angle, a line per variant (mean over scenes)."""
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    axes = figure.subplots()
    drawn = [s for s in scores if s.frames]
    for k, s in enumerate(drawn):
        bins: dict[float, list] = {}
        for f in s.frames:
            if f.kind == "orbit" and f.frame > 0:
                bins.setdefault(round(f.angle_deg / _BIN_DEG) * _BIN_DEG, []).append(f)
        points = [(a, scene_mean(rows, metric) * (100 if percent else 1)) for a, rows in sorted(bins.items())]
        points = [p for p in points if not math.isnan(p[1])]
        style: dict[str, Any] = {"color": _PALETTE[k % len(_PALETTE)], "linestyle": "-" if k < len(_PALETTE) else "--"}
        style |= {"marker": "o", "markersize": 3.5, "linewidth": 1.8, "label": s.variant.name}
        axes.plot([a for a, _ in points], [v for _, v in points], **style)
    _finish(axes, "angle between source and target (degrees)", label)
    if metric != "psnr":  # decibels have no zero worth showing
        axes.set_ylim(bottom=0)
    if 0 < len(drawn) <= 16:
        axes.legend(fontsize=7.5, frameon=False, ncols=1 + len(drawn) // 7)
    return png(figure)


def by_scene(scores: Sequence[VariantScores], metric: str, label: str) -> bytes:
    """``metric`` per scene (all moves), a group of bars per scene."""
    drawn = [s for s in scores if s.frames][:6]
    names = sorted({f.scene for s in drawn for f in s.frames})
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(drawn), 1)
    for k, s in enumerate(drawn):
        values = [scene_mean([f for f in s.frames if f.scene == n and f.frame > 0], metric) for n in names]
        places = [i + (k - (len(drawn) - 1) / 2) * width for i in range(len(names))]
        axes.bar(places, values, width * 0.92, color=_PALETTE[k % len(_PALETTE)], label=s.variant.name)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    _finish(axes, "", label)
    if drawn:
        figure.legend(
            *axes.get_legend_handles_labels(), loc="outside upper center", fontsize=7.5, frameon=False, ncols=3
        )
    return png(figure)


def _finish(axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
