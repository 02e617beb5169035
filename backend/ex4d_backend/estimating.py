"""The job that estimates depth: from an uploaded video to a depth file the server keeps, and its frames as items."""

from pathlib import Path
from typing import Any

from ex4d.depth import DEFAULT_ESTIMATOR, DepthOptions, DepthSummary, estimate_to_file, get_estimator
from ex4d.depth.store import open_npz_frames
from ex4d.lens import Lens
from ex4d.progress import reported
from ex4d_backend import sources
from ex4d_backend.devices import is_folder
from ex4d_backend.recording import JobContext
from ex4d_ground import stages
from ex4d_ground.errors import InputError, SettingError
from ex4d_protocol.requests import EstimateDepth

FILE_NAME = "depth.npz"


def estimate(request: EstimateDepth, context: JobContext) -> None:
    """Run the job. Raises the library's errors, Cancelled among them."""
    name = request.estimator or DEFAULT_ESTIMATOR
    _check(request, name)
    lens = Lens(request.intrinsics, request.fov_deg, request.focal_px)
    video = sources.lay_out(request.video, context.blobs, context.scratch / "video")
    try:
        sources.check_size(video, request.num_frames, context.clip_pixels)
        options = DepthOptions(align=request.align, steady=request.steady)
        found: list[DepthSummary] = []

        def make(path: Path) -> None:
            summary = estimate_to_file(
                video, path, estimator=name, settings=request.settings, options=options,
                lens=lens, num_frames=request.num_frames, seed=request.seed,
                **context.watch,
            )  # fmt: skip
            found.append(summary)
            _send_frames(path, context)

        # The frames go out before the file changes hands: from then on it is the server's.
        digest, size = context.recorder.blob(FILE_NAME, make, cancel=context.watch.get("cancel"))
    except InputError as error:
        raise sources.in_client_words(error, {video: request.video}) from error
    for note in found[0].notes:
        context.log(note)
    context.recorder.document("depth_info", depth_info(request, found[0], digest, size))


def _check(request: EstimateDepth, name: str) -> None:
    """Refuse what no estimator could make good, before anything is read. Raises SettingError."""
    info = get_estimator(name).info()
    folders = [s for s in request.settings if is_folder(s)]
    if folders:
        raise SettingError(f"{folders[0]} is a folder of the backend's machine and cannot be set by a client.")
    info.validated(request.settings)


def _send_frames(path: Path, context: JobContext) -> None:
    with open_npz_frames(path) as (shape, frames):
        for t, depth in enumerate(reported(frames(), stages.DEPTH_SEND, shape[0], **context.watch)):
            context.recorder.array("depth", t, depth)


def depth_info(request: EstimateDepth, summary: DepthSummary, digest: str, size: int) -> dict[str, Any]:
    """The item ``depth_info``: the summary, with its notes as warnings, and the file as a blob to refer to."""
    facts = summary.as_dict()
    return {
        **{key: value for key, value in facts.items() if key != "notes"},
        "name": request.name,
        "warnings": list(summary.notes),
        "depth": {"kind": "npz", "sha256": digest, "size": size, "name": FILE_NAME},
    }
