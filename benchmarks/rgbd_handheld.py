"""A real handheld clip with measured depth and poses: how right the estimated camera is, and what world memory adds.

    python benchmarks/rgbd_handheld.py --recording PATH [--output FILE] [--picture FILE]

``PATH`` is as for benchmarks/holes.py: ``data`` of https://github.com/andyzeng/tsdf-fusion-python, a Kinect carried
through a room, of 7-Scenes. Clips of 49 frames are taken from it, every third and every sixth frame, at 320x240. Their
own depth is used, its holes filled as ``--fill_invalid`` does. Colour was filmed by another lens beside the depth's and
is drawn as the depth's would have seen it, by the focal length and distance with which neighbouring frames agree best
(525 px and 25 mm, of a few that were tried).

``ate_of_path`` is the absolute trajectory error: the root mean square distance of the estimated positions, in percent
of the path's length, with the two paths laid onto each other as a turn and a shift of the whole clip can. No scale is
fitted, as the depth has one. ``first_of_path`` is the same with only the first frames laid onto each other, where one
frame's wrong turn counts as much as the path; ``rotation_deg`` is so of the turns. ``coverage`` is the share of the
picture that guides show in the last frame of an orbit of 30 degrees, by the recorded poses: of the solid mesh, with
other frames, and with world memory. ``all_points`` is the share that the points of all frames together fall on,
whatever stands before them: no way to remember can show more of what was filmed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from holes import SOURCE, Recording

from ex4d.clip import fill_invalid
from ex4d.dwmesh import DWMesh
from ex4d.eval.visibility import project
from ex4d.raster import Camera
from ex4d.raster.cpu import CpuRasterizer
from ex4d.solve import solve_camera
from ex4d.trajectory import near_depth_of, preset
from ex4d.trajectory.metrics import rotation_angles
from ex4d.types import Clip
from ex4d_ground.arrays import Float32, Float64, UInt8
from ex4d_ground.cameras import Intrinsics, Trajectory
from ex4d_ground.options import MeshOptions
from ex4d_ground.source_camera import SourceCamera

COUNT, STARTS, EVERY = 49, (0, 500), (3, 6)
MOVES, TURN_DEG = ("orbit_left", "orbit_right"), 30.0
COLOUR_FOCAL_PX, COLOUR_BESIDE_M = 525.0, -0.025
SIZE = (320, 240)
WAYS = {
    "solid": MeshOptions(mode="solid"),
    "other frames": MeshOptions(mode="solid", other_frames=True),
    "world memory": MeshOptions(mode="solid", other_frames=True, world_memory=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path, help="the orbits' last frames: solid, other frames, memory")
    parser.add_argument("--every", type=int, nargs="+", default=EVERY)
    parser.add_argument("--starts", type=int, nargs="+", default=STARTS)
    parser.add_argument("--no_solve", action="store_true", help="leave the estimate of the camera out")
    args = parser.parse_args()
    recording, rows, pictures = Recording(args.recording), [], []
    for every in args.every:
        for start in args.starts:
            clip = read(recording, range(start, start + COUNT * every, every))
            row: dict[str, object] = {"start": start, "every": every}
            if not args.no_solve:
                row |= solved(clip)
            for move in MOVES:
                found, drawn = orbited(clip, move)
                row[move] = found
                pictures.append(drawn)
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    head = {"recording": SOURCE, "frames": COUNT, "size": "{}x{}".format(*SIZE), "turn_deg": TURN_DEG}
    text = json.dumps({**head, "clips": rows}, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")
    if args.picture:
        cv2.imwrite(str(args.picture), np.concatenate(pictures)[..., ::-1])


def read(recording: Recording, frames: range) -> Clip:
    """Some frames as a clip with the recorded poses."""
    fx, cx, cy = recording.lens[0, 0], recording.lens[0, 2], recording.lens[1, 2]
    depth, colours, poses = [], [], []
    for t in frames:
        measured = recording.depth(t)
        picture = np.asarray(cv2.imread(str(recording.folder / f"frame-{t:06d}.color.jpg")), np.uint8)[..., ::-1]
        depth.append(measured)
        colours.append(registered(np.ascontiguousarray(picture), measured, fx, cx, cy))
        poses.append(recording.world_from_camera(t))
    filled, _ = fill_invalid(np.stack(depth))
    height, width = filled.shape[1:]
    step = width // SIZE[0]
    lens = Intrinsics(fx, fx, cx, cy, width, height).resized(*SIZE)
    shown = np.stack([cv2.resize(each, SIZE, interpolation=cv2.INTER_AREA) for each in colours])
    thin = np.ascontiguousarray(filled[:, ::step, ::step])
    return Clip(shown, thin, lens, name="rgbd", source_camera=SourceCamera.of(np.stack(poses), lens))


def registered(picture: UInt8, depth: Float32, focal: float, cx: float, cy: float) -> UInt8:  # [H, W, 3]
    """The picture as the depth's own lens would have seen it; where depth is unknown as if it were two metres away."""
    rows, columns = np.indices(depth.shape, np.float32)
    away = np.where(np.isfinite(depth), depth, np.float32(2))
    x = (columns - cx) * COLOUR_FOCAL_PX / focal + cx + COLOUR_FOCAL_PX * COLOUR_BESIDE_M / away
    y = (rows - cy) * COLOUR_FOCAL_PX / focal + cy
    places = x.astype(np.float32), y.astype(np.float32)
    return np.asarray(cv2.remap(picture, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def solved(clip: Clip) -> dict[str, object]:
    """The estimate against the recorded poses."""
    assert clip.source_camera is not None
    busy = time.process_time()
    found = solve_camera(clip)
    used = time.process_time() - busy
    truth, guess = clip.source_camera.world_from_camera, found.camera.world_from_camera
    path = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    turns = rotation_angles(truth[:, :3, :3], guess[:, :3, :3])
    return {
        "ate_of_path": round(ate(truth, laid_onto(truth, guess)), 2),
        "first_of_path": round(ate(truth, guess), 2),
        "rotation_deg": round(float(np.degrees(np.sqrt((turns**2).mean()))), 2),
        "path_m": round(float(path), 2),
        "failure": found.verdict.failure,
        "core_seconds_a_frame": round(used / clip.num_frames, 2),
    }


def ate(truth: Float64, guess: Float64) -> float:  # [N, 4, 4], [N, 4, 4]
    """Root mean square distance of the positions, in percent of the path's length."""
    path = np.linalg.norm(np.diff(truth[:, :3, 3], axis=0), axis=1).sum()
    return 100 * float(np.sqrt(((truth[:, :3, 3] - guess[:, :3, 3]) ** 2).sum(axis=1).mean()) / path)


def laid_onto(truth: Float64, guess: Float64) -> Float64:  # [N, 4, 4]
    """``guess`` turned and shifted as a whole, so that its positions are as near as can be to those of ``truth``."""
    a, b = truth[:, :3, 3], guess[:, :3, 3]
    u, _, v = np.linalg.svd((a - a.mean(axis=0)).T @ (b - b.mean(axis=0)))
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = turn, a.mean(axis=0) - turn @ b.mean(axis=0)
    return whole @ guess


def orbited(clip: Clip, name: str) -> tuple[dict[str, float], UInt8]:
    """Coverage of the orbit's last frame in every way, and the pictures side by side."""
    move = preset(name, clip, near_depth=near_depth_of(clip, WAYS["solid"].border_depth), amount=TURN_DEG)
    i, rasterizer = len(move) - 1, CpuRasterizer()
    camera = Camera.of(clip.seen_by_source(move), i)
    result, drawn = {}, []
    for way, options in WAYS.items():
        colour, mask = rasterizer.draw(DWMesh(clip, options).surface(clip.num_frames - 1), camera)
        result[way] = round(float(mask.mean()), 3)
        drawn.append(np.where(mask[..., None], colour, np.uint8(0)))
    result["all_points"] = round(all_points(clip, move, i), 3)
    return result, np.concatenate(drawn, axis=1)


def all_points(clip: Clip, move: Trajectory, i: int) -> float:
    """Share of a frame's picture that the points of all the clip's frames fall on."""
    lens, height, width = move.frame_intrinsics(i), move.height, move.width
    hit, rows_columns = np.zeros((height, width), np.uint8), np.indices((clip.height, clip.width))
    for t, pose in enumerate(clip.world_from_camera):
        z, k = np.asarray(clip.depth[t], np.float64), clip.lens(t)
        rows, columns = rows_columns
        points = np.stack([(columns + 0.5 - k.cx) / k.fx * z, (rows + 0.5 - k.cy) / k.fy * z, z], -1)
        there = np.linalg.inv(move.world_from_camera[i]) @ pose
        u, v, away = project(points @ there[:3, :3].T + there[:3, 3], lens)
        inside = (away > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        hit[v[inside].astype(int), u[inside].astype(int)] = 1
    return float(cv2.morphologyEx(hit, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)).mean())


if __name__ == "__main__":
    main()
