"""What x264's presets cost for viewing files, beside its own preset at crf 16.

    python benchmarks/x264_presets.py CLIP [CLIP ...] [--frames N] [--output benchmarks/results/x264_presets.json]

Each clip is encoded as :mod:`ex4d.clip.writing` does, by every preset and quality below, on one thread. JSON: bytes,
PSNR and SSIM of luma (mean of frames, SSIM by Gaussian windows of 11 pixels) and CPU seconds, beside the baseline.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from ex4d.clip import read_video, write_video, writing  # noqa: E402
from ex4d_ground.arrays import Float64, UInt8  # noqa: E402

BASELINE = ("medium", "16")
TRIED = (BASELINE, ("fast", "16"), ("veryfast", "16"), ("veryfast", "16.5"), ("veryfast", "17"))


def luma(frame: UInt8) -> Float64:  # [H, W]
    return frame @ np.array([0.2126, 0.7152, 0.0722])


def ssim(a: Float64, b: Float64) -> float:
    """Of two pictures of 0..255 (Wang et al. 2004)."""

    def mean(x: Float64) -> Float64:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5))

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * ma * mb + c1) * (2 * vab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())


def measured(frames: UInt8, preset: str, crf: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.mp4"
        with patch.object(writing, "_X264", {"preset": preset, "crf": crf, "threads": "1"}):
            began = time.process_time()
            write_video(path, frames, fps=24)
            seconds = time.process_time() - began
        back, size = read_video(path)[0], path.stat().st_size
    pairs = [(luma(a), luma(b)) for a, b in zip(frames, back, strict=True)]
    error = np.mean([((a - b) ** 2).mean() for a, b in pairs])
    likeness = float(np.mean([ssim(a, b) for a, b in pairs]))
    psnr = round(float(10 * np.log10(255**2 / error)), 2)
    return {"bytes": size, "psnr": psnr, "ssim": round(likeness, 4), "cpu_seconds": round(seconds, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    results: dict[str, Any] = {}
    for clip in args.clips:
        frames = np.ascontiguousarray(read_video(clip)[0][: args.frames])
        rows = {f"{preset} crf {crf}": measured(frames, preset, crf) for preset, crf in TRIED}
        base = rows[" crf ".join(BASELINE)]
        for row in rows.values():
            row["bytes_ratio"] = round(row["bytes"] / base["bytes"], 3)
            row["cpu_ratio"] = round(row["cpu_seconds"] / base["cpu_seconds"], 3)
        results[clip.stem] = {"size": f"{len(frames)} x {frames.shape[2]}x{frames.shape[1]}", **rows}
    text = json.dumps(results, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
