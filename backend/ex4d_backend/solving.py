"""The job that estimates how the camera moved that filmed a clip: from uploaded footage and depth to poses."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ex4d.solve import solve_camera
from ex4d.solve.matte import read_matte
from ex4d.solve.picture import residual_page
from ex4d.solve.solve import Solved
from ex4d.types import Clip
from ex4d_backend import sources
from ex4d_backend.recording import JobContext
from ex4d_ground.arrays import Bool
from ex4d_ground.errors import InputError
from ex4d_ground.takes import source_camera_record
from ex4d_protocol.requests import Media, SolveCamera


def solve(request: SolveCamera, clip: Clip, context: JobContext) -> None:
    """Run the job on its ``clip``. Raises the library's errors, Cancelled among them."""
    matte = None if request.matte is None else _matte(request.matte, clip, context)
    solved = solve_camera(clip, focal=request.find_focal, matte=matte, **context.watch)
    for line in solved.verdict.lines():
        context.log(line)
    if solved.verdict.failure:
        context.log(solved.verdict.failure)
    context.recorder.picture("residuals", -1, residual_page(clip, solved))
    context.recorder.document("camera_info", camera_info(solved))


def _matte(media: Media, clip: Clip, context: JobContext) -> Callable[[int], Bool]:
    path: Path = sources.lay_out(media, context.blobs, context.scratch / "matte")
    try:
        return read_matte(path, clip, **context.watch)
    except InputError as error:
        raise sources.in_client_words(error, {path: media}) from error


def camera_info(solved: Solved) -> dict[str, Any]:
    """The item ``camera_info``: the camera, or why there is none, and what is known of its quality."""
    verdict = solved.verdict
    return {
        "solved": not verdict.failure,
        "failure": verdict.failure,
        "notes": verdict.lines(),
        "lost": list(verdict.lost),
        "still": verdict.still,
        "focal_known": verdict.focal_known,
        "moving_share": verdict.moving,
        "misfit_px": verdict.misfit_px if math.isfinite(verdict.misfit_px) else None,
        "camera": None if verdict.failure else source_camera_record(solved.camera),
    }
