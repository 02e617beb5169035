"""``ex4d recon``: clip and depth to guide videos, as EX-4D's own reconstruction step does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ex4d.cli import options as opt
from ex4d.cli.console import cancel_on_signals, progress_bars, say
from ex4d.cli.shot import RenderedShot, ShotOptions, render_shot
from ex4d.progress import CancelToken, OnProgress

if TYPE_CHECKING:
    from ex4d.types import Trajectory

HELP = """Render the colour and mask guides of a camera move through a clip.

Writes color_CAM.mp4 and mask_CAM.mp4, and on request DW-Mesh.ply, camera_CAM.npz and guides_CAM.npz.

Examples:

  ex4d recon --input_video shot.mp4 --depth shot_depth.npz --cam 90 --output_dir out --save_mesh --save_camera

  ex4d recon --input_video plates/ --depth z_exr/ --cam orbit_left --amount 60 --fov 40 --output_dir out --lossless

  ex4d recon --input_video shot.mp4 --depth d.npz --cam layout/camera_v3.npz --output_dir out
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("recon", help=HELP)(recon)


def recon(
    input_video: opt.InputVideo,
    cam: opt.Cam,
    output_dir: opt.OutputDir,
    depth: opt.OptionalDepth = None,
    estimator: opt.Estimator = None,
    depth_set: opt.DepthSettings = None,
    save_depth: opt.SaveDepth = None,
    save_mesh: Annotated[
        bool, typer.Option("--save_mesh", help="Also DW-Mesh.ply: the mesh of frame 0.", rich_help_panel="Output")
    ] = False,
    save_camera: Annotated[
        bool,
        typer.Option(
            "--save_camera",
            help="Also camera_CAM.npz: EX-4D's layout, or ours where the lens changes.",
            rich_help_panel="Output",
        ),
    ] = False,
    lossless: Annotated[
        bool,
        typer.Option(
            "--lossless",
            help="Also guides_CAM.npz, exact: 'rgba', uint8, frames x height x width x 4, the mask in alpha.",
            rich_help_panel="Output",
        ),
    ] = False,
    parity: opt.Parity = False,
    fov: opt.Fov = None,
    focal: opt.Focal = None,
    lens_from: opt.LensFrom = None,
    amount: opt.Amount = None,
    border_depth: opt.BorderDepth = None,
    mode: opt.Mode = None,
    thickness: opt.Thickness = None,
    thickness_map: opt.ThicknessMap = None,
    other_frames: opt.OtherFrames = False,
    source_camera: opt.SourceCamera = None,
    num_frames: opt.NumFrames = None,
    fps: opt.Fps = None,
    fill_invalid: opt.FillInvalid = False,
    depth_scale: opt.DepthScale = None,
    depth_channel: opt.DepthChannel = None,
) -> None:
    """Check the flags, render, and write everything at once; the help text is ``HELP``."""
    from ex4d.files import staged_folder

    shot_options = ShotOptions(
        input_video, depth, cam, depth_scale, depth_channel, num_frames, fps, fill_invalid, amount, fov, focal,
        border_depth, parity, mode, thickness, estimator, tuple(depth_set or ()), save_depth, lens_from,
        other_frames, thickness_map, source_camera,
    )  # fmt: skip
    shot_options.check()
    with cancel_on_signals() as cancel, staged_folder(output_dir) as staging:
        with progress_bars() as on_progress:
            shot = render_shot(shot_options, on_progress=on_progress, cancel=cancel)
            write_guides(staging, shot, shot_options.cam_name, on_progress=on_progress, cancel=cancel)
            if save_mesh:
                _write_mesh(staging, shot)
            if save_camera:
                _write_camera(staging, shot.trajectory, shot_options.cam_name)
            if lossless:
                _write_lossless(staging, shot, shot_options.cam_name)
        cancel.check()
        written = sorted(p.name for p in staging.iterdir())
    seen = 100 * shot.guides.coverage
    say(f"Coverage: {seen.mean():.1f} % on average, {seen.min():.1f} % in frame {seen.argmin()}.")
    for name in written:
        say(str(output_dir / name))


def write_guides(folder: Path, shot: RenderedShot, name: str, *, on_progress: OnProgress, cancel: CancelToken) -> None:
    """color_NAME.mp4 and mask_NAME.mp4, at the clip's frame rate."""
    from ex4d.clip import write_video

    for what, frames in (("color", shot.guides.colour), ("mask", shot.guides.mask)):
        write_video(
            folder / f"{what}_{name}.mp4",
            frames,
            fps=shot.clip.fps,
            metadata={"comment": f"EX-4D {what} guide, camera {name}"},
            on_progress=on_progress,
            cancel=cancel,
        )


def _write_mesh(folder: Path, shot: RenderedShot) -> None:
    from ex4d.dwmesh import export_ply

    export_ply(shot.mesh, 0, folder / "DW-Mesh.ply")


def _write_camera(folder: Path, trajectory: Trajectory, name: str) -> None:
    from ex4d.trajectory import save_camera

    save_camera(folder / f"camera_{name}.npz", trajectory, layout=camera_layout(trajectory))


def camera_layout(trajectory: Trajectory) -> Literal["ex4d", "ex4d-blender"]:
    """EX-4D's layout for a move that it can hold (one centred lens, no retiming), else ours."""
    import numpy as np

    lens = trajectory.intrinsics
    centred = np.allclose(lens[:, 2:], (trajectory.width / 2, trajectory.height / 2))
    plays = np.array_equal(trajectory.source_time, np.arange(len(trajectory)))
    return "ex4d" if centred and plays and np.ptp(lens, axis=0).max() == 0 else "ex4d-blender"


def _write_lossless(folder: Path, shot: RenderedShot, name: str) -> None:
    import numpy as np

    np.savez_compressed(folder / f"guides_{name}.npz", rgba=shot.guides.rgba)
