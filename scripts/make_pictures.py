"""Make the README's pictures from the demo's results: the contact sheet and an animation.

make demo && python scripts/make_pictures.py [--demo out/demo] [--output docs/images]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ex4d.clip import read_video
from ex4d.pictures import checkered
from ex4d.types import UInt8

TILE = 288
GAP = 6
PAGE = 32


def main() -> int:
    """Write both pictures and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--demo", type=Path, default=Path("out/demo"), help="what 'make demo' left")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    summary_file = options.demo / "summary.json"
    if not summary_file.is_file():
        print(f"{summary_file} is not there; run 'make demo' first.", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    sheet = Image.open(options.demo / "contact_sheet.png").convert("RGB")
    sheet.save(options.output / "demo_contact_sheet.jpg", quality=88, optimize=True)
    write_animation(json.loads(summary_file.read_text(encoding="utf-8")), options.output / "demo.webp")
    return 0


def write_animation(summary: dict, path: Path) -> None:
    """Source, guide and take side by side, forth and back so that it loops without a jump."""
    source, guide, masks, take = (
        read_video(Path(summary[name]))[0] for name in ("footage", "guide_colour", "guide_mask", "take")
    )
    rows = [strip([source[i], checkered(guide[i], masks[i, ..., 0] > 127), take[i]]) for i in range(0, len(take), 2)]
    images = [Image.fromarray(row) for row in rows + rows[-2:0:-1]]
    images[0].save(path, save_all=True, append_images=images[1:], duration=110, loop=0, quality=72, method=6)


def strip(tiles: list[UInt8]) -> UInt8:
    """The tiles in one row, scaled to one size, on a dark page."""
    small = [cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA) for tile in tiles]
    width = len(small) * TILE + (len(small) - 1) * GAP
    page = np.full((TILE, width, 3), PAGE, np.uint8)
    for i, tile in enumerate(small):
        page[:, i * (TILE + GAP) : i * (TILE + GAP) + TILE] = tile
    return page


if __name__ == "__main__":
    sys.exit(main())
