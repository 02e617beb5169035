"""Take pictures of the running extension into docs/images: run `make test-ui` first, then this.

    python scripts/docs_images.py [--source out/ui] [--output docs/images]

The pictures are those of tests/ui, cut to the 3D viewport or to the panel and reduced to 256 colours. Those of the edit
layers are taken in a Blender of 4.2 or later that EX4D_UI_BLENDER names; without one they stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WINDOW = (1280, 1180)
"""Size in pixels of the window that tests/ui opens."""
VIEWPORT = (0, 0, 1058, 1156)
"""Left, upper, right, lower: the 3D viewport with its sidebar and the timeline."""
PANEL = (832, 82, 1058, 640)
"""The upper part of the sidebar."""
SIDEBAR = (772, 82, 1030, 985)
"""The sidebar of later versions, which is wider."""
PICTURES = {
    "01_unsaved": ("empty", PANEL),
    "03_connected": ("connect", PANEL),
    "03_estimator": ("estimator", PANEL),
    "05_imported": ("clip-imported", VIEWPORT),
    "06_camera": ("camera", VIEWPORT),
    "06_coverage": ("coverage", VIEWPORT),
    "06_live": ("live", VIEWPORT),
    "06_paint": ("paint", VIEWPORT),
    "07_generating": ("generating", VIEWPORT),
    "08_take": ("take", VIEWPORT),
    "11_compare": ("compare", VIEWPORT),
}
EDITS = {"../ui-edits/2_layers": ("edits", SIDEBAR)}
"""Beside the others, if they were taken."""
MOST_BYTES = 300_000


def main() -> int:
    """Convert every picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "out" / "ui")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    taken = {name: entry for name, entry in EDITS.items() if (options.source / f"{name}.png").exists()}
    for title, _ in (entry for name, entry in EDITS.items() if name not in taken):
        print(f"{title} stays as it is: no Blender of 4.2 or later was named.")
    for name, (title, box) in {**PICTURES, **taken}.items():
        source, target = options.source / f"{name}.png", options.output / f"{title}.png"
        if not source.exists():
            print(f"{source} is not there; run 'make test-ui' first.", file=sys.stderr)
            return 1
        picture = Image.open(source).convert("RGB")
        if picture.size != WINDOW:
            print(
                f"{source} is {picture.size}, not {WINDOW}; adapt the boxes in {Path(__file__).name}.", file=sys.stderr
            )
            return 1
        picture = picture.crop(box)
        palette = picture.quantize(256, kmeans=2)
        picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)
        size = target.stat().st_size
        if size > MOST_BYTES:
            print(f"{target} has {size} bytes, more than {MOST_BYTES}; make the window smaller.", file=sys.stderr)
            return 1
        print(f"{target}  {size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
