"""Training pairs from one clip: random camera moves, their visibility masks laid over the source video.

    python examples/training_pairs.py CLIP DEPTH OUTDIR [--count N] [--seed N] [--mode endless]

Each pair is a folder ``pair_0000`` with ``target.mp4`` (the clip), ``condition.mp4`` (the clip where the moved camera
would see it, black elsewhere), ``mask.npz`` (``mask`` [N, H, W] bool, exact) and ``pair.json``. These
are the *rendering masks* of the EX-4D paper.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

import ex4d
from ex4d.clip import write_video
from ex4d.trajectory import PRESETS
from ex4d_ground.arrays import Bool

MOVES = ("orbit_left", "orbit_right", "orbit_up", "orbit_down", "sway", "truck_left", "truck_right", "zoom_out")
SMALLEST, LARGEST = 2, 8
"""Side of the square that shrinks each mask frame, in pixels, as in the published loader."""


def main() -> int:
    """Write the pairs and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("depth", type=Path)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--count", type=int, default=4, help="pairs to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=("endless", "solid"), default="endless", help="occluders of the mesh")
    options = parser.parse_args()
    clip = ex4d.load_clip(options.clip, options.depth)
    mesh = ex4d.DWMesh(clip, ex4d.MeshOptions(mode=options.mode))
    random = np.random.default_rng(options.seed)
    for number in range(options.count):
        write_pair(options.outdir / f"pair_{number:04d}", clip, mesh, random)
    return 0


def write_pair(folder: Path, clip: ex4d.Clip, mesh: ex4d.DWMesh, random: np.random.Generator) -> None:
    """One random move's pair."""
    name = str(random.choice(MOVES))
    amount = float(PRESETS[name].amount * random.uniform(0.3, 1.5))
    mask = shrunk(ex4d.render_guides(mesh, ex4d.preset(name, clip, amount=amount)).mask, random)
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "target.mp4", clip.frames, fps=clip.fps)
    write_video(folder / "condition.mp4", clip.frames * mask[..., None], fps=clip.fps)
    np.savez_compressed(folder / "mask.npz", mask=mask)
    facts = {"move": name, "amount": amount, "mode": mesh.options.mode, "coverage": float(mask.mean())}
    (folder / "pair.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(f"{folder}  {name} {amount:.3g}, {facts['coverage']:.0%} kept")


def shrunk(mask: Bool, random: np.random.Generator) -> Bool:  # [N, H, W] -> [N, H, W]
    """Each frame eroded by a square of random size."""
    sides = random.integers(SMALLEST, LARGEST + 1, len(mask))
    squares = [np.ones((side, side), np.uint8) for side in sides]
    return np.stack([cv2.erode(m.astype(np.uint8), s) > 0 for m, s in zip(mask, squares, strict=True)])


if __name__ == "__main__":
    sys.exit(main())
