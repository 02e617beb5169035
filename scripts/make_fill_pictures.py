"""Make the documentation's picture of the ways a preview fills holes: the example clip's last frame of some orbits.

python scripts/make_fill_pictures.py [--output docs/images]
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from picture_tools import ROOT, labelled_rows

from ex4d.clip import read_video
from ex4d.shots.take import generate
from ex4d.trajectory import near_depth_of, preset
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics

MOVES = (("orbit_right", 15), ("orbit_right", 30), ("orbit_right", 60), ("orbit_left", 30))
WAYS = (
    {"fill": "background", "known_first": False},
    {"fill": "background", "known_first": True},
    {"fill": "world", "known_first": True},
)
WIDTH, LABEL = 300, 130


def main() -> int:
    """Write the picture and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    clip, rows = example(), []
    last = clip.num_frames - 1
    for name, angle in MOVES:
        move = preset(
            name, num_frames=2, intrinsics=clip.intrinsics, near_depth=near_depth_of(clip, 100.0), amount=angle
        )
        move = replace(move, source_time=np.full(2, float(last)))
        tiles = [np.asarray(generate(clip, move, settings=way).frames)[1] for way in WAYS]
        notes = [f"to the {name.removeprefix('orbit_')};", "beside, from left:", "background,", "known first,", "world"]
        rows.append((f"{angle} degrees", notes, tiles))
    path = options.output / "fill-courtyard.jpg"
    labelled_rows(rows, width=WIDTH, label=LABEL).convert("RGB").save(path, quality=86, optimize=True)
    print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    return 0


def example() -> Clip:
    """The example clip with its true depth and lens."""
    folder = ROOT / "examples"
    camera = json.loads((folder / "camera.json").read_text())
    lens = Intrinsics(*(camera[name] for name in ("fx", "fy", "cx", "cy", "width", "height")))
    with np.load(folder / "depth.npz") as arrays:
        return Clip(np.asarray(read_video(folder / "clip.mp4")[0]), arrays["depth"], lens)


if __name__ == "__main__":
    sys.exit(main())
