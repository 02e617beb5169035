"""Take pictures of the running add-on into docs/images: run `make test-ui` first, then this.

    python scripts/docs_images.py [--source out/ui] [--output docs/images]

The pictures are those of tests/ui, reduced to 256 colours so that each stays below 300 KB.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {
    "05_imported": "clip-imported",
    "06_coverage": "coverage",
    "07_generating": "generating",
    "08_take": "take",
}
MOST_BYTES = 300_000


def main() -> int:
    """Convert every picture; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "out" / "ui")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, title in PICTURES.items():
        source = options.source / f"{name}.png"
        if not source.exists():
            print(f"{source} is not there; run 'make test-ui' first.", file=sys.stderr)
            return 1
        target = options.output / f"{title}.png"
        picture = Image.open(source).convert("RGB")
        picture.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
        size = target.stat().st_size
        if size > MOST_BYTES:
            print(f"{target} has {size} bytes, more than {MOST_BYTES}; make the window smaller.", file=sys.stderr)
            return 1
        print(f"{target}  {size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
