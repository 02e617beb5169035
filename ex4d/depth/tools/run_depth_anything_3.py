"""Depth Anything 3 as an external estimator, run by the Python of its own environment.

Arguments: frames folder, request.json, output.npz, model folder or repository, frames per chunk, device. Chunks share
their last frames with the next chunk's first, and each chunk is scaled so that the shared frames agree. Its cameras
(``extrinsics`` [N, 3, 4], camera_from_world, OpenCV axes) go the same way, and then as rigidly as the shared ones ask.
"""

import json
import sys
from pathlib import Path

import numpy as np

SHARED = 8


def main(frames: str, request: str, output: str, model: str, chunk: str, device: str) -> int:
    """Estimate depth for all frames and write the .npz of the external contract."""
    import torch
    from depth_anything_3.api import DepthAnything3  # pyright: ignore[reportMissingImports]

    facts = json.loads(Path(request).read_text("utf-8"))
    paths = sorted(str(p) for p in Path(frames).glob("frame_*.png"))
    if len(paths) != facts["num_frames"]:
        sys.stderr.write(f"expected {facts['num_frames']} frames, found {len(paths)}\n")
        return 2
    torch.manual_seed(facts["seed"])
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    network = DepthAnything3.from_pretrained(model).to(device).eval()
    depth: np.ndarray | None = None
    poses: np.ndarray | None = None
    lenses: list[np.ndarray] = []
    size = max(int(chunk), SHARED + 1)
    start = 0
    while depth is None or len(depth) < len(paths):
        prediction = network.inference(paths[start : start + size])
        part = np.asarray(prediction.depth, np.float32)
        shared = 0 if depth is None else len(depth) - start
        if getattr(prediction, "intrinsics", None) is not None:
            lenses.extend(np.asarray(prediction.intrinsics, np.float64)[shared:])
        factor = 1.0 if depth is None else scale_between(depth, part, shared)
        if getattr(prediction, "extrinsics", None) is not None and (depth is None or poses is not None):
            found = world_from_camera(np.asarray(prediction.extrinsics, np.float64))
            poses = found if poses is None else followed(poses, found, shared, factor)
        depth = part if depth is None else joined(depth, part, shared, factor)
        start = len(depth) - SHARED
        sys.stdout.write(f"progress {len(depth)} {len(paths)}\n")
        sys.stdout.flush()
    extra = {"intrinsics": np.stack(lenses)} if len(lenses) == len(depth) else {}
    extra |= {"world_from_camera": poses} if poses is not None and len(poses) == len(depth) else {}
    np.savez(output, depth=depth, meaning="scale-free", **extra)
    return 0


def scale_between(before: np.ndarray, after: np.ndarray, shared: int) -> float:
    """What ``after`` [n, h, w] is multiplied with to agree with ``before`` on its first ``shared`` frames."""
    old, new = before[-shared:], after[:shared]
    ok = (old > 0) & (new > 0)
    return float(np.exp(np.median(np.log(old[ok] / new[ok])))) if ok.any() else 1.0


def joined(before: np.ndarray, after: np.ndarray, shared: int, factor: float) -> np.ndarray:
    """``after`` [n, h, w] scaled, and appended without its ``shared`` first frames."""
    return np.concatenate([before, after[shared:] * np.float32(factor)])


def world_from_camera(extrinsics: np.ndarray) -> np.ndarray:  # [n, 3, 4] or [n, 4, 4] -> [n, 4, 4]
    """Inverse of camera_from_world."""
    whole = np.tile(np.eye(4), (len(extrinsics), 1, 1))
    whole[:, :3] = extrinsics[:, :3]
    return np.linalg.inv(whole)


def followed(before: np.ndarray, after: np.ndarray, shared: int, factor: float) -> np.ndarray:
    """Poses ``after`` [n, 4, 4] in the world of ``before``, scaled, and appended without the ``shared`` first ones."""
    after = after.copy()
    after[:, :3, 3] *= factor
    moves = before[-shared:] @ np.linalg.inv(after[:shared])  # one rigid motion, seen by each of them
    u, _, v = np.linalg.svd(moves[:, :3, :3].mean(axis=0))
    motion = np.eye(4)
    motion[:3, :3] = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    places = before[-shared:, :3, 3] - after[:shared, :3, 3] @ motion[:3, :3].T
    motion[:3, 3] = places.mean(axis=0)
    return np.concatenate([before, motion @ after[shared:]])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:7]))
