"""How far a recording's own poses can be trusted: against what its depth says by itself, beside the estimated camera.

    python benchmarks/rgbd_registration.py --recording PATH [--output FILE]

``PATH`` and the clips are those of benchmarks/rgbd_handheld.py. Of each clip every fourth frame's depth is laid onto
that of the frames four, eight and twelve after it (point to plane, with robust weights), and one set of poses is
adjusted to all these pairs. No picture takes part in it, and where it begins does not matter: begun at the recorded and
at the estimated poses, a pair ends at the same place.

``pairs_deg`` and ``pairs_mm`` are what is usually left of a pair after that: how well the depth agrees with itself. The
errors are root mean square distances of positions in percent of the path's length: ``..._first`` with the first frames
laid onto each other, ``..._rigid`` with the two paths laid onto each other as well as a turn and a shift can, which is
what papers call the absolute trajectory error. *recorded* and *estimated* are held against the depth's own poses,
*apart* against each other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from holes import SOURCE, Recording
from rgbd_handheld import COUNT, EVERY, STARTS, ate, laid_onto, read

from ex4d.solve import solve_camera
from ex4d.trajectory.metrics import rotation_angles
from ex4d_ground.arrays import Float32, Float64
from ex4d_ground.poses import inverse, se3_exp, se3_log

NODES = 4
"""Frames of the clip, of which one is laid onto others."""
GAPS = (1, 2, 3)
"""How many of those chosen frames lie between the two of a pair."""
THINNED = 4
"""Pixels of the depth, along both sides, of which one is used."""
ROUNDS, WIDE_ROUNDS = 25, 5
WIDE_M, NARROW_M = 0.15, 0.05
"""Metres beyond which two points are no pair, in the first rounds and then."""
NOISE_M, NOISE_PER_M2 = 0.001, 0.002
"""Standard deviation of a Kinect's depth: it grows with the square of the distance."""
JUMP = 0.05
"""Share of the depth by which it may change across two pixels of a surface."""
FEWEST = 4000
"""Points that a pair needs."""
USUAL = np.array([0.005, 0.005, 0.005, 0.002, 0.002, 0.002])
"""What is usually left of a pair: metres, then radians."""


class Points(NamedTuple):
    """A frame's depth in space, NaN where nothing is known."""

    places: Float64  # [h, w, 3]
    normals: Float64  # [h, w, 3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--every", type=int, nargs="+", default=EVERY)
    parser.add_argument("--starts", type=int, nargs="+", default=STARTS)
    parser.add_argument("--no_solve", action="store_true", help="leave the estimate of the camera out")
    args = parser.parse_args()
    recording, rows = Recording(args.recording), []
    for every in args.every:
        for start in args.starts:
            frames = range(start, start + COUNT * every, every)
            rows.append({"start": start, "every": every, **judged(recording, frames, solves=not args.no_solve)})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    text = json.dumps({"recording": SOURCE, "frames": COUNT, "clips": rows}, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


def judged(recording: Recording, frames: range, *, solves: bool) -> dict[str, float]:
    """One clip's figures; those of the estimate only where it ``solves``."""
    chosen = frames[::NODES]
    recorded = np.stack([recording.world_from_camera(t) for t in chosen])
    recorded = inverse(recorded[0]) @ recorded
    lens = recording.lens / THINNED
    clouds = [lifted(recording.depth(t)[::THINNED, ::THINNED], lens) for t in chosen]
    by_depth, left = registered(clouds, lens, recorded)
    found = {
        "pairs_deg": round(float(np.degrees(np.linalg.norm(left[:, 3:], axis=1)).mean()), 3),
        "pairs_mm": round(1000 * float(np.linalg.norm(left[:, :3], axis=1).mean()), 1),
    } | apart("recorded", by_depth, recorded)
    if not solves:
        return found
    estimated = solve_camera(read(recording, frames)).camera.world_from_camera[::NODES]
    return found | apart("estimated", by_depth, estimated) | apart("apart", recorded, estimated)


def apart(name: str, truth: Float64, guess: Float64) -> dict[str, float]:  # [N, 4, 4], [N, 4, 4]
    """How far two sets of poses are from each other."""
    turns = rotation_angles(truth[:, :3, :3], guess[:, :3, :3])
    return {
        f"{name}_first": round(ate(truth, guess), 2),
        f"{name}_rigid": round(ate(truth, laid_onto(truth, guess)), 2),
        f"{name}_deg": round(float(np.degrees(np.sqrt((turns**2).mean()))), 2),
    }


def lifted(depth: Float32, lens: Float64) -> Points:  # [h, w] metres, [3, 3]
    """Points with the normals of the surface between their neighbours, where there is one."""
    z = depth.astype(np.float64)
    row, column = np.indices(z.shape)
    places = np.stack([(column - lens[0, 2]) / lens[0, 0] * z, (row - lens[1, 2]) / lens[1, 1] * z, z], axis=-1)
    across, down = np.full_like(places, np.nan), np.full_like(places, np.nan)
    across[:, 1:-1], down[1:-1] = places[:, 2:] - places[:, :-2], places[2:] - places[:-2]
    normals = np.cross(across, down)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[(np.abs(across[..., 2]) > JUMP * z) | (np.abs(down[..., 2]) > JUMP * z)] = np.nan
    return Points(places, normals)


def laid_on(here: Points, there: Points, lens: Float64, guess: Float64) -> tuple[Float64, int]:  # [4, 4]
    """The pose that brings the points ``there`` onto the surfaces ``here``, and how many points say so."""
    height, width = here.places.shape[:2]
    moving = there.places[np.isfinite(there.places).all(axis=-1)]
    pose, count = guess, 0
    for n in range(ROUNDS):
        most = WIDE_M if n < WIDE_ROUNDS else NARROW_M
        points = moving @ pose[:3, :3].T + pose[:3, 3]
        points = points[points[:, 2] > 0]
        column, row = np.rint(points[:, :2] / points[:, 2:] * lens[[0, 1], [0, 1]] + lens[:2, 2]).astype(int).T
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        points, target = points[inside], here.places[row[inside], column[inside]]
        normal = here.normals[row[inside], column[inside]]
        away = ((points - target) * normal).sum(axis=1)
        near = (np.abs(away) < most) & (np.linalg.norm(points - target, axis=1) < 3 * most)  # NaN is not
        points, normal, away = points[near], normal[near], away[near]
        noise = NOISE_M + NOISE_PER_M2 * points[:, 2] ** 2
        weight = 1 / noise**2 / (1 + (away / noise) ** 2 / 4)
        slopes = np.hstack([normal, np.cross(points, normal)])
        step = np.linalg.solve((slopes.T * weight) @ slopes, -(slopes.T * weight) @ away)
        pose, count = se3_exp(step) @ pose, len(away)
    return pose, count


def registered(clouds: Sequence[Points], lens: Float64, start: Float64) -> tuple[Float64, Float64]:
    """Poses [N, 4, 4] that agree best with all pairs, and what is left of each pair as twists [E, 6]."""
    pairs = []
    for a in range(len(clouds)):
        for b in (a + gap for gap in GAPS if a + gap < len(clouds)):
            pose, count = laid_on(clouds[a], clouds[b], lens, inverse(start[a]) @ start[b])
            if count >= FEWEST:
                pairs.append((a, b, pose))
    poses, left = start.copy(), np.zeros((len(pairs), 6))
    for _ in range(10):
        matrix, right = np.zeros((6 * len(poses),) * 2), np.zeros(6 * len(poses))
        for n, (a, b, pose) in enumerate(pairs):
            left[n] = se3_log(inverse(pose) @ inverse(poses[a]) @ poses[b])
            weight = 1 / USUAL**2 / (1 + ((left[n] / USUAL) ** 2).sum() / 12)
            slopes = np.zeros((6, 6 * len(poses)))
            slopes[:, 6 * a : 6 * a + 6] = -_carried(inverse(poses[b]) @ poses[a])
            slopes[:, 6 * b : 6 * b + 6] = np.eye(6)
            matrix += (slopes.T * weight) @ slopes
            right += (slopes.T * weight) @ left[n]
        steps = -np.linalg.solve(matrix[6:, 6:], right[6:]).reshape(-1, 6)  # the first frame stays
        poses[1:] = poses[1:] @ np.stack([se3_exp(step) for step in steps])
    return poses, left


def _carried(pose: Float64) -> Float64:  # [4, 4] -> [6, 6]
    """What brings a twist into the axes that ``pose`` leads to (its adjoint)."""
    turn, (x, y, z) = pose[:3, :3], pose[:3, 3]
    out = np.zeros((6, 6))
    out[:3, :3] = out[3:, 3:] = turn
    out[:3, 3:] = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    return out


if __name__ == "__main__":
    main()
