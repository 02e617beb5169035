"""Make the README's pictures from the example clip: the animation and the contact sheet.

    python scripts/make_pictures.py [--work out/pictures] [--output docs/images]

The clip is run through the command line as a reader would do it; what it writes is kept in ``--work``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from picture_tools import CLIP, ROOT, captioned, read_guides, run_ex4d, save_animation
from PIL import Image

from ex4d.clip import read_video
from ex4d.pictures import checkered
from ex4d.takes import read_take

MOVE = ("--cam", "sway", "--amount", "15", "--mode", "solid")
TILE = 340


def main() -> int:
    """Write both pictures and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("out/pictures"), help="where the commands write")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    write_animation(options.work / "sway", options.output / "demo.webp")
    write_sheet(options.work / "demo", options.output / "demo_contact_sheet.jpg")
    return 0


def write_animation(work: Path, path: Path) -> None:
    """Source, guide and take side by side while the camera swings right, left and back."""
    guides, takes = work / "guides", work / "take"
    run_ex4d("recon", *CLIP, *MOVE, "--output_dir", str(guides), "--lossless", output=ROOT / guides)
    run_ex4d("preview", *CLIP, *MOVE, "--output_dir", str(takes), output=ROOT / takes)
    source = read_video(ROOT / "examples" / "clip.mp4")[0]
    colour, mask = read_guides(ROOT / guides / "guides_sway.npz")
    take = read_take(ROOT / takes / "take_001").frames
    frames = [
        captioned(
            [source[i], checkered(colour[i], mask[i]), take[i]],
            [
                ("The clip you have", f"frame {i + 1}"),
                ("What the new camera sees of it", f"{mask[i].mean():.0%}"),
                ("Result: preview, no model", ""),
            ],
            width=TILE,
        )
        for i in range(len(take))
    ]
    save_animation(frames, path, milliseconds=70, quality=66)


def write_sheet(work: Path, path: Path) -> None:
    """The demo's contact sheet, smaller."""
    run_ex4d("demo", "--output_dir", str(work), output=ROOT / work)
    sheet = Image.open(ROOT / work / "contact_sheet.png").convert("RGB")
    sheet.save(path, quality=86, optimize=True)
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    sys.exit(main())
