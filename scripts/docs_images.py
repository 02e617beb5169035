"""Take pictures of the running extension into docs/images: run `make test-ui` first, then this.

    python scripts/docs_images.py [--source out/ui] [--output docs/images]

The pictures are those of tests/ui, cut to the 3D viewport or to the panel and reduced to 256 colours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WINDOW = (1280, 720)
"""Size in pixels of the windows that the pictures are of."""
VIEWPORT = (0, 0, 1052, 698)
"""Left, upper, right, lower: the 3D viewport with its sidebar and the timeline."""
PANEL = (766, 84, 1048, 640)
"""The sidebar."""
PICTURES = {
    "way-720/1_empty-1-dark": ("empty", PANEL),
    "way-720/3_ready-1-dark": ("clip-imported", VIEWPORT),
    "drawn-5.2/camera": ("camera", VIEWPORT),
    "drawn-5.2/live": ("live", VIEWPORT),
    "way-720/5_generating": ("generating", VIEWPORT),
    "way-720/6_take-1-dark": ("take", VIEWPORT),
    "drawn-5.2/compare": ("compare", VIEWPORT),
    "filmed/2_moving": ("filming-moving", VIEWPORT),
    "filmed/4_locked_last": ("filming-locked", VIEWPORT),
    "parts/planes": ("planes", VIEWPORT),
    "parts/stereo": ("stereo-panel", VIEWPORT),
    "parts/geometry": ("geometry-panel", (766, 84, 1022, 352)),
    "parts/geometry-options": ("geometry-options", (1030, 70, 1280, 196)),
}
MOST_BYTES = 300_000


def main() -> int:
    """Convert every picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "out" / "ui")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, (title, box) in PICTURES.items():
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
