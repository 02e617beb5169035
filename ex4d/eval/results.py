"""Generated videos against the truth: pictures, stability, camera, and perceptual measures where they can be had."""

import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from ex4d.clip import read_video
from ex4d.eval.metrics import psnr, ssim
from ex4d.eval.stability import backward_flows, flow_stability
from ex4d.progress import Watch, reported
from ex4d.trajectory import trajectory_errors
from ex4d_ground.camera_files import load_camera
from ex4d_ground.errors import ClipError
from ex4d_ground.files import atomic_path

RESULTS_NAME = "results.json"


@dataclass(frozen=True)
class ResultScores:
    """``metrics`` by name, and why each of the others is missing."""

    metrics: dict[str, float]
    not_computed: dict[str, str]
    frames: int


def compare_results(
    video: Path, truth: Path, *, camera: Path | None = None, estimated: Path | None = None, **watch: Unpack[Watch]
) -> ResultScores:
    """Compare a video with the truth frame by frame; with two camera files also the move with the one asked for.

    RotErr is in radians, TransErr has each move scaled to its farthest distance from its first camera. Raises
    ClipError for videos of different sizes or lengths, the readers' errors, Cancelled.
    """
    a, _ = read_video(video, cancel=watch.get("cancel"))
    b, _ = read_video(truth, cancel=watch.get("cancel"))
    if a.shape != b.shape:
        raise ClipError(
            f"{video} is {a.shape[:3]} and {truth} is {b.shape[:3]} (frames, height, width); make them alike first."
        )
    pairs = []
    for i in reported(range(len(a)), "compare", len(a), **watch):
        pairs.append((psnr(a[i], b[i]), ssim(a[i], b[i])))
    flows = backward_flows(b)
    own, floor = flow_stability(a, flows=flows), flow_stability(b, flows=flows)
    metrics = {
        "psnr": float(np.mean([p for p, _ in pairs])),
        "ssim": float(np.mean([s for _, s in pairs])),
        "warped_error": own.warped_error,
        "true_warped_error": floor.warped_error,
    }
    missing = _perceptual_reasons()
    if camera is not None and estimated is not None:
        errors = trajectory_errors(load_camera(camera), load_camera(estimated))
        metrics |= {"rot_err_rad": errors.rot_err, "rot_err_deg": errors.rot_err_deg, "trans_err": errors.trans_err}
    else:
        missing["RotErr, TransErr"] = "they compare two moves, the camera and the estimated camera"
    return ResultScores({k: v for k, v in metrics.items() if not math.isnan(v)}, missing, len(a))


def _perceptual_reasons() -> dict[str, str]:
    """LPIPS, FID and FVD need trained networks; nothing is ever downloaded to compute them."""
    if importlib.util.find_spec("torchmetrics") is None:
        why = "torchmetrics is not installed; run: pip install torchmetrics"
    else:
        why = "their network's weights are not part of this project and are never downloaded behind your back"
    return {"LPIPS": why, "FID": why, "FVD": why}


def write_results(scores: ResultScores, folder: Path) -> Path:
    """Write ``results.json`` into ``folder``. Raises OutputError."""
    path = Path(folder) / RESULTS_NAME
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(
                {"frames": scores.frames, "metrics": scores.metrics, "not_computed": scores.not_computed}, indent=2
            )
            + "\n"
        )
    return path
