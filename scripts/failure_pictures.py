"""Pictures of the scenes that miss what the evaluation aims at: what went wrong, where, and how much was to be had."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ex4d.eval import Scene, Target, Variant, load_scene
from ex4d.eval.geometry import GuideDrawer
from ex4d.eval.limits import resampled
from ex4d.eval.pictures import HOLE, LEGEND, error_map
from ex4d.eval.visibility import Truth
from ex4d.pictures import checkered
from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.options import MeshOptions, RasterOptions

IOU_BARS, FALSE_BARS = {60: 0.88, 90: 0.82}, {60: 0.04, 90: 0.04}
COLOUR_ANGLE, MASK_ANGLE, PSNR_BAR = 30, 90, 30.0
SOLID = Variant("solid", MeshOptions(mode="solid"))
MASK_REASONS = {
    "clutter": "Rings, boxes and poles that cover one another: how each goes on behind the next is a guess.",
    "foliage": "Leaves are one to four pixels wide. How one goes on beside its last pixel is not in the picture.",
    "interior": "Table and chairs cover one another and go back further than they are wide.",
    "mirror": "Cubes: how far their sides go back is a guess, right on average only.",
    "street": "Car and bench are seen from their long side; how deep they are is a guess.",
    "zoom": "The lens doubles, so a pixel of the source covers two by two here. Shrubs hide the sides of the plinth.",
}
COLOUR_REASONS = {
    "foliage": "Nearly every pixel lies on the outline of a leaf and is a blend with what is behind it.",
    "interior": "Outlines, and light that the wood reflects.",
    "mirror": "What chrome and gold reflect moves with the camera.",
    "street": "Outlines, and speckles finer than the source's pixels.",
    "thin": "Poles and wires are outlines above all, blended with what is behind them.",
    "zoom": "The lens magnifies: the source is softer than the target.",
}
ERROR_GAIN = 4
TILE, GAP, BAND, TEXT = 208, 6, 24, 292
PAGE, INK, QUIET = (250, 250, 248), (32, 36, 44), (104, 108, 116)


@dataclass(frozen=True)
class Row:
    """Tiles, with a title, a table whose first line is its head, and a sentence beside them."""

    tiles: Sequence[UInt8]
    title: str
    numbers: Sequence[tuple[str, Sequence[str]]]
    reason: str


def mask_failures(limits: dict[str, Any], folders: dict[str, Path]) -> Image.Image:
    """Every scene whose mask misses a bar at 60 or 90 degrees, worst first, as seen at 90."""

    def misses(kind: str) -> bool:
        rows = limits["by_scene"][kind]["solid"]
        low = any(rows[str(a)]["iou"] < bar for a, bar in IOU_BARS.items())
        return low or any(rows[str(a)]["false_visible_known"] > bar for a, bar in FALSE_BARS.items())

    kinds = sorted(filter(misses, folders), key=lambda k: limits["by_scene"][k]["solid"][str(MASK_ANGLE)]["iou"])
    rows = [_mask_row(load_scene(folders[k]), limits["by_scene"][k], MASK_REASONS.get(k, "")) for k in kinds]
    return _page(["source", "what is truly there", "solid", "where it is wrong"], rows, LEGEND)


def colour_failures(limits: dict[str, Any], folders: dict[str, Path]) -> Image.Image:
    """Every scene below the bar for PSNR at 30 degrees, worst first."""

    def quality(kind: str) -> float:
        return limits["by_scene"][kind]["solid"][str(COLOUR_ANGLE)]["psnr"]

    kinds = sorted((k for k in folders if quality(k) < PSNR_BAR), key=quality)
    rows = [_colour_row(load_scene(folders[k]), limits["by_scene"][k], COLOUR_REASONS.get(k, "")) for k in kinds]
    gain = f"differences, {ERROR_GAIN} times as bright"
    return _page(["what is truly there", "solid", gain, "the same from the right points"], rows, ())


def nearest(scene: Scene, angle: float) -> tuple[Target, Truth, int]:
    """The orbit frame of ``scene`` nearest ``angle``."""
    orbits = [(t, t.truth) for t in scene.targets if t.kind == "orbit" and t.truth is not None]
    if not orbits:
        raise SystemExit(f"{scene.name} has no orbit with a truth; make the scene again.")
    target, truth = min(orbits, key=lambda pair: float(np.abs(pair[0].angle_deg - angle).min()))
    return target, truth, int(np.abs(target.angle_deg - angle).argmin())


def _drawn(scene: Scene, target: Target, i: int) -> tuple[UInt8, Bool]:
    colour, mask, _ = GuideDrawer("cpu", RasterOptions())(scene.clip, target.frames_only([i]), SOLID)
    return colour[0], mask[0]


def _mask_row(scene: Scene, limits: dict[str, Any], reason: str) -> Row:
    target, truth, i = nearest(scene, MASK_ANGLE)
    colour, mask = _drawn(scene, target, i)
    source = scene.clip.frames[int(target.trajectory.source_time[i] + 0.5)]
    tiles = [source, target.frames[i], checkered(colour, mask), error_map(mask, truth, i)]
    shown = [("at 60 and 90 degrees", ["IoU", "", "false %"])]
    for limit, rows in limits.items():
        pair = [rows[str(a)] for a in IOU_BARS]
        if all(row["iou"] is not None for row in pair):
            ious = [f"{row['iou']:.2f}" for row in pair]
            shown.append((limit, [*ious, *(f"{100 * row['false_visible_known']:.1f}" for row in pair)]))
    return Row(tiles, scene.name, shown, reason)


def _colour_row(scene: Scene, limits: dict[str, Any], reason: str) -> Row:
    target, truth, i = nearest(scene, COLOUR_ANGLE)
    colour, mask = _drawn(scene, target, i)
    sampled, _ = resampled(scene.clip, target, i)
    both, true = mask & truth.visible[i], target.frames[i]
    tiles = [true, checkered(colour, mask), _difference(colour, true, both), _difference(sampled, true, both)]
    shown = [("PSNR at 30 degrees", ["dB"])]
    for limit, rows in limits.items():
        if limit in ("solid", "right points", "second render") or limit.startswith("solid at"):
            shown.append((limit, [f"{rows[str(COLOUR_ANGLE)]['psnr']:.1f}"]))
    return Row(tiles, scene.name, shown, reason)


def _difference(a: UInt8, b: UInt8, where: Bool) -> UInt8:
    error = np.abs(a.astype(int) - b.astype(int)).max(axis=2, keepdims=True) * ERROR_GAIN
    return np.where(where[..., None], error.clip(0, 255).repeat(3, axis=2), HOLE).astype(np.uint8)


def _page(
    titles: Sequence[str], rows: Sequence[Row], legend: Sequence[tuple[tuple[int, int, int], str]]
) -> Image.Image:
    columns = len(titles)
    width = columns * (TILE + GAP) + GAP + TEXT
    height = BAND + len(rows) * (TILE + GAP) + (BAND if legend else 0)
    page = Image.new("RGB", (width, height), PAGE)
    pen, small = ImageDraw.Draw(page), ImageFont.load_default(12)
    for c, title in enumerate(titles):
        pen.text((GAP + c * (TILE + GAP) + 2, 6), title, fill=INK, font=small)
    for r, row in enumerate(rows):
        top = BAND + r * (TILE + GAP)
        for c, tile in enumerate(row.tiles):
            scaled = cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)
            page.paste(Image.fromarray(scaled), (GAP + c * (TILE + GAP), top))
        _write(pen.text, row, columns * (TILE + GAP) + 2 * GAP, top)
    x = GAP
    for colour, text in legend:
        pen.rectangle((x, height - BAND + 5, x + 11, height - BAND + 16), fill=colour)
        pen.text((x + 16, height - BAND + 4), text, fill=INK, font=small)
        x += 34 + int(pen.textlength(text, font=small))
    return page


def _write(put: Callable[..., Any], row: Row, x: int, y: int) -> None:
    """Title, numbers in columns, reason."""
    put((x, y + 4), row.title, fill=INK, font=ImageFont.load_default(16))
    small, step = ImageFont.load_default(12), 17
    for n, (head, cells) in enumerate(row.numbers):
        colour = QUIET if n == 0 else INK
        put((x, y + 30 + n * step), head, fill=colour, font=small)
        for k, cell in enumerate(cells):
            put((x + 148 + 34 * k, y + 30 + n * step), cell, fill=colour, font=small)
    for n, line in enumerate(textwrap.wrap(row.reason, 46)):
        put((x, y + 40 + (len(row.numbers) + n) * step), line, fill=QUIET, font=small)
