"""What the scripts that make the docs' pictures share: running the command line, reading guides, labelled tiles."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ex4d_ground.arrays import Bool, UInt8
from ex4d_ground.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
CLIP = ("--input_video", "examples/clip.mp4", "--depth", "examples/depth.npz")
"""The example clip, as the commands in the docs name it."""

PAGE, INK, QUIET = (32, 32, 34), (232, 232, 234), (160, 160, 166)
GAP, BAR = 8, 34


def run_ex4d(*arguments: str, output: Path) -> str:
    """Run ``ex4d`` from the repository's root and return the command as the docs show it. Raises CalledProcessError.

    A folder ``output`` that the same command of the same library left is kept as it is; any other is made anew.
    """
    shown = " ".join(("ex4d", *arguments))
    marker, made_by = output / ".command", f"{shown}\n{library_digest()}\n"
    if not (marker.is_file() and marker.read_text(encoding="utf-8") == made_by):
        print(shown, flush=True)
        shutil.rmtree(output, ignore_errors=True)
        program = [sys.executable, "-c", "import sys; from ex4d.cli.app import main; sys.exit(main())"]
        subprocess.run([*program, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        marker.write_text(made_by, encoding="utf-8")
    return shown


@cache
def library_digest() -> str:
    """A digest of the library's sources."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "ex4d").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_guides(path: Path) -> tuple[UInt8, Bool]:  # [N, H, W, 3], [N, H, W]
    """Colour and mask of what ``ex4d recon --lossless`` wrote."""
    with np.load(path) as archive:
        rgba = archive["rgba"]
    return rgba[..., :3], rgba[..., 3] > 127


def resized(tile: UInt8, width: int) -> Image.Image:
    """``tile`` at a width, its shape kept."""
    height = round(width * tile.shape[0] / tile.shape[1])
    return Image.fromarray(cv2.resize(np.ascontiguousarray(tile), (width, height), interpolation=cv2.INTER_AREA))


def captioned(
    tiles: Sequence[UInt8],
    captions: Sequence[tuple[str, str]],  # left, right; the right one is quiet
    *,
    width: int,
) -> Image.Image:
    """Tiles in one row, each under its caption."""
    small = [resized(tile, width) for tile in tiles]
    page = Image.new("RGB", (len(small) * (width + GAP) - GAP, BAR + small[0].height), PAGE)
    draw = ImageDraw.Draw(page)
    for i, (tile, (left, right)) in enumerate(zip(small, captions, strict=True)):
        x = i * (width + GAP)
        page.paste(tile, (x, BAR))
        draw.text((x + 6, BAR // 2), left, fill=INK, font=ImageFont.load_default(17), anchor="lm")
        draw.text((x + width - 6, BAR // 2), right, fill=QUIET, font=ImageFont.load_default(15), anchor="rm")
    return page


def labelled_rows(rows: Sequence[tuple[str, Sequence[str], Sequence[UInt8]]], *, width: int, label: int) -> Image.Image:
    """Rows of tiles, each with a title and a few short lines at its left, ``label`` pixels wide."""
    small = [[resized(tile, width) for tile in tiles] for _, _, tiles in rows]
    height = small[0][0].height + GAP
    page = Image.new("RGB", (label + len(small[0]) * (width + GAP), len(rows) * height + GAP), PAGE)
    draw = ImageDraw.Draw(page)
    for i, ((title, lines, _), tiles) in enumerate(zip(rows, small, strict=True)):
        y = GAP + i * height
        draw.text((14, y + 24), title, fill=INK, font=ImageFont.load_default(20), anchor="ls")
        for j, line in enumerate(lines):
            draw.text((14, y + 50 + 20 * j), line, fill=QUIET, font=ImageFont.load_default(14), anchor="ls")
        for k, tile in enumerate(tiles):
            page.paste(tile, (label + k * (width + GAP), y))
    return page


def save_animation(frames: Sequence[Image.Image], path: Path, *, milliseconds: int, quality: int = 70) -> None:
    """An endless animated WebP."""
    with atomic_path(path) as temporary:  # written slowly: nobody shall find half a picture
        frames[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=list(frames[1:]),
            duration=milliseconds,
            loop=0,
            quality=quality,
            method=6,
        )
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
