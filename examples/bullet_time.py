"""A bullet-time move as a camera file: the clip plays, stops while the camera swings around, and plays on.

    python examples/bullet_time.py CLIP DEPTH OUT.npz [--freeze 16] [--degrees 20]

The file is for ``--cam`` of every ``ex4d`` command and for the panel's Import Camera. The source time is part of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import ex4d
from ex4d.trajectory import source_times

SWING = 25
"""Output frames for which the clip stands still."""


def main() -> int:
    """Write the camera file and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("depth", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--freeze", type=int, default=16, help="source frame that stands still, counted from 0")
    parser.add_argument("--degrees", type=float, default=20.0, help="how far the camera swings to the right")
    options = parser.parse_args()
    clip = ex4d.load_clip(options.clip, options.depth)
    swing = ex4d.preset("orbit_right", clip, num_frames=SWING, amount=options.degrees)
    before, after = options.freeze, clip.num_frames - 1 - options.freeze
    hold = [0] * before + list(range(SWING)) + [SWING - 1] * after  # which camera of the swing each output frame has
    times = [
        source_times(num_frames=before, num_source_frames=clip.num_frames),
        source_times("freeze", num_frames=SWING, num_source_frames=clip.num_frames, frame=options.freeze),
        source_times(num_frames=after, num_source_frames=clip.num_frames, frame=options.freeze + 1),
    ]
    move = ex4d.Trajectory(
        swing.world_from_camera[hold], swing.intrinsics[hold], np.concatenate(times), clip.width, clip.height, "bullet"
    )
    ex4d.save_camera(options.output, move)
    print(f"{options.output}  {len(move)} frames, source frame {options.freeze} stands still for {SWING}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
