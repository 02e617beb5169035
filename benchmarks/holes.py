"""How right filled holes of a depth camera are, beside the nearest valid pixel.

    python benchmarks/holes.py [--recording PATH] [--output benchmarks/results/holes_kinect.json]

``PATH`` is a folder of ``frame-NNNNNN.depth.png`` (16 bit, millimetres), ``frame-NNNNNN.pose.txt`` (4x4, world from
camera, metres) and ``camera-intrinsics.txt`` (3x3), such as ``data`` of https://github.com/andyzeng/tsdf-fusion-python
(a Kinect, from the 7-Scenes data set). Four sets of eight frames of it, 100 apart, are filled as clips; the rule was
chosen on the first and third, its near margin with a look at the others. What a hole's pixel truly is, its neighbours
in time tell: the median of what eight of them (12, 20, 30 and 40 frames before and after) measured there, brought over
by the recorded poses, where at least three agree within 2 %.

Without a recording only made scenes are filled, of which everything is known: boxes with the shadows of a projector,
once with pixels lost along edges as well. Prints JSON; "too near" and "too far" are percent of the judged pixels of
holes that are more than 10 % off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from ex4d.clip import fill_invalid  # noqa: E402
from ex4d.eval.depth_camera import boxes, shadowed, without_rims  # noqa: E402
from ex4d_ground.arrays import Float32, Float64  # noqa: E402

BESIDE = (-40, -30, -20, -12, 12, 20, 30, 40)
STARTS, STEP, COUNT = (100, 125, 150, 175), 100, 8
NEAREST_M, FARTHEST_M = 0.3, 6.0
SOURCE = "https://github.com/andyzeng/tsdf-fusion-python (data), a Kinect recording of 7-Scenes"


class Recording:
    """Depth and poses of a folder, frame by frame."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lens = np.loadtxt(folder / "camera-intrinsics.txt")

    def depth(self, t: int) -> Float32:  # [H, W] metres, NaN in holes
        """One frame's depth."""
        steps = cv2.imread(str(self.folder / f"frame-{t:06d}.depth.png"), cv2.IMREAD_UNCHANGED)
        metres = np.asarray(steps, np.float32) / 1000
        return np.where((metres > 0) & (metres <= FARTHEST_M), metres, np.float32(np.nan))

    def world_from_camera(self, t: int) -> Float64:  # [4, 4]
        """One frame's pose."""
        return np.loadtxt(self.folder / f"frame-{t:06d}.pose.txt")

    def truth(self, t: int) -> Float32:  # [H, W], NaN where too few agree
        """What the frames beside frame ``t`` measured in its pixels."""
        seen = np.stack([self._seen_from(t, t + k) for k in BESIDE])
        known = np.isfinite(seen).any(0)
        truth = np.full(known.shape, np.nan, np.float32)
        truth[known] = np.nanmedian(seen[:, known], axis=0)
        with np.errstate(invalid="ignore"):
            agree = (np.abs(seen - truth) < 0.02 * truth).sum(0)
        return np.where(agree >= 3, truth, np.float32(np.nan))

    def _seen_from(self, t: int, other: int) -> Float32:  # [H, W]
        """Frame ``other``'s points as depth in frame ``t``'s view, the nearest of each pixel; NaN where none is."""
        depth = self.depth(other)
        y, x = np.nonzero(depth >= NEAREST_M)
        z = depth[y, x].astype(np.float64)
        (fx, _, cx), (_, fy, cy) = self.lens[:2]
        points = np.stack([(x - cx) / fx * z, (y - cy) / fy * z, z, np.ones_like(z)])
        px, py, pz = (np.linalg.inv(self.world_from_camera(t)) @ self.world_from_camera(other) @ points)[:3]
        front = pz > 0.2
        px, py, pz = px[front], py[front], pz[front]
        u, v = np.rint(px / pz * fx + cx).astype(int), np.rint(py / pz * fy + cy).astype(int)
        height, width = depth.shape
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        view = np.full((height, width), np.inf, np.float32)
        np.minimum.at(view, (v[inside], u[inside]), pz[inside].astype(np.float32))
        return np.where(np.isfinite(view), view, np.float32(np.nan))


def nearest(frames: Float32) -> Float32:  # [T, H, W]
    """The plain way: each hole's pixel takes the nearest valid one."""
    filled = frames.copy()
    for frame in filled:
        holes = ~(frame > 0)
        _, labels = cv2.distanceTransformWithLabels(
            holes.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        values = np.zeros(int(np.max(labels)) + 1, np.float32)
        values[np.asarray(labels)[~holes]] = frame[~holes]
        frame[holes] = values[np.asarray(labels)[holes]]
    return filled


def judged(frames: Float32, truth: Float32) -> dict[str, Any]:  # [T, H, W] each
    """Shares of wrong pixels and the median error of both ways, in percent."""
    pixels = ~(frames > 0) & np.isfinite(truth)
    ways: dict[str, Callable[[Float32], Float32]] = {"nearest": nearest, "ours": lambda f: fill_invalid(f)[0]}
    found: dict[str, Any] = {"hole_pixels": int((~(frames > 0)).sum()), "judged": int(pixels.sum())}
    for name, way in ways.items():
        off = way(frames)[pixels] / truth[pixels] - 1
        shares = {"too_near": float((off < -0.1).mean()), "too_far": float((off > 0.1).mean())}
        numbers = {**shares, "wrong": sum(shares.values()), "median_error": float(np.median(np.abs(off)))}
        found[name] = {key: round(100 * value, 2) for key, value in numbers.items()}
    return found


def sets(recording: Recording) -> Iterator[dict[str, Any]]:
    """Each set of frames, filled and judged."""
    for start in STARTS:
        times = range(start, start + COUNT * STEP, STEP)
        frames = np.stack([recording.depth(t) for t in times])
        truth = np.stack([recording.truth(t) for t in times])
        yield {"frames": f"{times[0]} to {times[-1]}, every {STEP}th", **judged(frames, truth)}


def made() -> Iterator[dict[str, Any]]:
    """Scenes whose truth is known, filled and judged."""
    truth = np.stack([boxes(seed) for seed in range(8)])
    frames = np.stack([shadowed(each, 22.5) for each in truth])
    yield {"frames": "8 made scenes with shadows", **judged(frames, truth)}
    rng = np.random.default_rng(0)
    rims = np.stack([without_rims(each, 1, 0.7, rng) for each in frames])
    yield {"frames": "the same with pixels lost along edges", **judged(rims, truth)}


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recording", type=Path, help="a folder of depth pictures and poses")
    parser.add_argument("--output", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    measured: dict[str, Any] = {"made": list(made())}
    if given.recording is not None:
        measured = {"source": SOURCE, "recording": list(sets(Recording(given.recording))), **measured}
    text = json.dumps(measured, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
