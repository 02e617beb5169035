"""Clips of Blender scenes under a moving camera, with exact depth: rendered once and kept small beside the tests.

    python -m tests.depth.rendered        renders all of them anew (the `blender` extra; about half a minute)

Colour is an ordinary compressed video, as footage is; depth is kept as float16, which is exact to 0.05 %.
"""

import os
import sys
from pathlib import Path

import numpy as np

from ex4d.clip import read_video, write_video
from ex4d_ground.cameras import Intrinsics

FOLDER = Path(__file__).parent / "clips"
CLIPS = {
    "street_dolly": ("street", "dolly"),
    "interior_roll": ("interior", "roll"),
    "clutter_orbit": ("clutter", "orbit_right_30"),
}
SIZE, FRAMES, FAR = 160, 14, 60.0
SEED = 3
SHARE = 0.65
"""Of the move: about one degree or three per cent of the distance a frame, as a camera moves at 15 frames a second."""


def render_clip(name):
    """frames [T, H, W, 3] uint8, z-depth [T, H, W] float32, intrinsics, from Blender."""
    scripts = str(Path(__file__).resolve().parents[2] / "scripts")
    sys.path.insert(0, scripts)
    try:
        from scenes import blend, catalogue, moves, render  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.remove(scripts)
    scene_name, move = CLIPS[name]
    scene = catalogue.build(scene_name, SEED)
    quality = render.Quality(samples=2)
    render.setup(SIZE, SIZE, quality)
    camera = blend.camera("target")
    render.world_from_camera(scene.camera)  # brings the source camera's matrix up to date before it is copied
    frames, depths = [], []
    for t in range(FRAMES):
        u = t / (FRAMES - 1)
        scene.update(u)
        moves.place(camera, moves.MOVES[move], scene, SHARE * u)
        frames.append(render.render_colour(camera, quality))
        depths.append(np.minimum(render.render_depth(camera), FAR))
    fx, fy, cx, cy = render.intrinsics(camera, SIZE, SIZE)
    return np.stack(frames), np.stack(depths).astype(np.float32), Intrinsics(fx, fy, cx, cy, SIZE, SIZE)


def store(name, clip):
    frames, depth, lens = clip
    write_video(FOLDER / f"{name}.mp4", frames, fps=15)
    values = np.array([lens.fx, lens.fy, lens.cx, lens.cy])
    np.savez_compressed(FOLDER / f"{name}.npz", depth=depth.astype(np.float16), intrinsics=values)


def load(name):
    """The stored clip, in the form that :func:`render_clip` gives."""
    frames, _ = read_video(FOLDER / f"{name}.mp4")
    with np.load(FOLDER / f"{name}.npz") as stored:
        depth, k = stored["depth"].astype(np.float32), [float(v) for v in stored["intrinsics"]]
    return frames, depth, Intrinsics(k[0], k[1], k[2], k[3], depth.shape[2], depth.shape[1])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in CLIPS:
        store(each, render_clip(each))
    sys.stdout.flush()
    os._exit(0)  # Blender's module may crash while Python shuts down
