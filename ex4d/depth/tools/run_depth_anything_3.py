"""Depth Anything 3 as an external estimator, run by the Python of its own environment.

Arguments: frames folder, request.json, output.npz, model folder or repository, frames per chunk, device. Chunks share
their last frames with the next chunk's first, and each chunk is scaled so that the shared frames agree.
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
    lenses: list[np.ndarray] = []
    size = max(int(chunk), SHARED + 1)
    start = 0
    while depth is None or len(depth) < len(paths):
        prediction = network.inference(paths[start : start + size])
        part = np.asarray(prediction.depth, np.float32)
        if getattr(prediction, "intrinsics", None) is not None:
            lenses.extend(np.asarray(prediction.intrinsics, np.float64))
        depth = part if depth is None else joined(depth, part, len(depth) - start)
        start = len(depth) - SHARED
        sys.stdout.write(f"progress {len(depth)} {len(paths)}\n")
        sys.stdout.flush()
    extra = {"intrinsics": np.median(np.stack(lenses), axis=0)} if lenses else {}
    np.savez(output, depth=depth, meaning="scale-free", **extra)
    return 0


def joined(before: np.ndarray, after: np.ndarray, shared: int) -> np.ndarray:
    """``after`` [n, h, w] scaled to agree with ``before`` on its first ``shared`` frames, and appended without them."""
    old, new = before[-shared:], after[:shared]
    ok = (old > 0) & (new > 0)
    factor = np.exp(np.median(np.log(old[ok] / new[ok]))) if ok.any() else 1.0
    return np.concatenate([before, after[shared:] * np.float32(factor)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:7]))
