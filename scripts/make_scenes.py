"""Render ground-truth scenes: a source video and target cameras with depth, cameras and true visibility.

    python scripts/make_scenes.py OUT                      the full set: every scene, every move, 256x256, 13 frames
    python scripts/make_scenes.py OUT --set ci             three tiny scenes
    python scripts/make_scenes.py OUT --scenes thin street --moves orbit_right_30 --seed 5

Needs the `blender` extra. The folders are in the layout of `ex4d.eval.dataset`; finished scenes are not made again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from scenes import VERSION, blend, catalogue, moves, render

from ex4d.eval.dataset import SCENE_FILE, save_scene_info, save_view
from ex4d.eval.visibility import Truth, true_visibility
from ex4d.types import Clip
from ex4d_ground.cameras import Intrinsics, Trajectory

FPS = 15.0
SETS = {
    "full": {"scenes": list(catalogue.SCENES), "moves": list(moves.MOVES), "size": 256, "frames": 13, "samples": 4},
    "ci": {
        "scenes": ["clutter", "figures", "thin"],
        "moves": ["orbit_right_30", "orbit_left_60", "orbit_right_90", "crane"],
        "size": 128,
        "frames": 7,
        "samples": 3,
    },
}


def make_scene(
    folder: Path, name: str, move_names: list[str], size: int, frames: int, seed: int, quality: render.Quality
) -> None:
    """Render one scene with all its targets into ``folder``; ``scene.json`` is written last."""
    scene = catalogue.build(name, seed)
    render.setup(size, size, quality)
    stages = [None, *(moves.MOVES[m] for m in move_names)]
    camera = blend.camera("target")
    colour = np.zeros((len(stages), frames, size, size, 3), np.uint8)
    depth = np.zeros((len(stages), frames, size, size), np.float32)
    sight = np.zeros(depth.shape, np.bool_)
    poses, lenses = np.zeros((len(stages), frames, 4, 4)), np.zeros((len(stages), frames, 4))
    for t in range(frames):
        u = t / max(frames - 1, 1)
        scene.update(u)
        for k, move in enumerate(stages):
            used = scene.camera if move is None else camera
            poses[k, t] = render.world_from_camera(used) if move is None else moves.place(camera, move, scene, u)
            lenses[k, t] = render.intrinsics(used, size, size)
            colour[k, t] = render.render_colour(used, quality)
            depth[k, t], sight[k, t] = render.render_depth_and_sight(used, scene.camera)
        report(f"{name}: frame {t + 1} of {frames}")
    write_scene(folder, name, [m.name for m in stages if m], poses, lenses, colour, depth, sight, seed)


def write_scene(folder, name, targets, poses, lenses, colour, depth, sight, seed) -> None:
    """Views, true visibility and scene.json. The world becomes the source camera of frame 0."""
    size, frames = colour.shape[2], colour.shape[1]
    poses = np.linalg.inv(poses[0, 0]) @ poses
    times = np.arange(frames, dtype=np.float64)
    tracks = [
        Trajectory(p, k, times, size, size, n) for p, k, n in zip(poses, lenses, ["source", *targets], strict=True)
    ]
    clip = Clip(colour[0], depth[0], Intrinsics(*map(float, lenses[0, 0]), size, size), fps=FPS, name=name)
    save_view(folder / "source", colour[0], depth[0], tracks[0])
    for k, track in enumerate(tracks[1:], start=1):
        unknowable = true_visibility(clip, track, depth[k]).unknowable
        save_view(folder / track.name, colour[k], depth[k], track, Truth(sight[k] & ~unknowable, unknowable))
    kinds = [{"name": n, "kind": moves.MOVES[n].kind} for n in targets]
    save_scene_info(folder, name, kinds, fps=FPS, seed=seed, generator=f"scripts/make_scenes.py, Blender {VERSION}")


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=sorted(SETS), default="full")
    parser.add_argument("--scenes", nargs="+", choices=list(catalogue.SCENES))
    parser.add_argument("--moves", nargs="+", choices=list(moves.MOVES))
    parser.add_argument("--size", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--noise", type=int, default=0, help="what Cycles' own noise is drawn from (default 0)")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    chosen = {k: getattr(args, k) or v for k, v in SETS[args.set].items()}
    quality = render.Quality(samples=chosen["samples"], threads=args.threads, seed=args.noise)
    for name in chosen["scenes"]:
        folder = args.out / f"{name}_{args.seed}"
        if (folder / SCENE_FILE).exists():
            report(f"{name}: already there")
            continue
        started = time.monotonic()
        make_scene(folder, name, chosen["moves"], chosen["size"], chosen["frames"], args.seed, quality)
        report(f"{name}: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
