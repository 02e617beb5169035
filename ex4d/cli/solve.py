"""``ex4d solve``: the camera that filmed a clip, estimated from its pictures and depth, as a camera file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ex4d.cli.console import frame_ranges, note, say, warn, watched
from ex4d.cli.options import panel, require_frames
from ex4d_ground.errors import CameraNotSolvedError, DepthError, OutputError, SettingError

_plain, _needed = panel(None), panel(None, show_default=False)
_lens, _source = panel("Lens", show_default=False), panel("Source", show_default=False)


def solve(
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="A video file or a folder of images.", show_default=False)
    ],
    depth: Annotated[Path, _source("--depth", "Its depth, as 'ex4d depth' writes it, or any depth file.")],
    output: Annotated[
        Path, _needed("--output", "The camera file: .npz, .json (nerfstudio), or a folder (COLMAP).", "-o")
    ],
    matte: Annotated[
        Path | None,
        _source("--matte", "A video or a folder of images, white where something moves by itself: it is left out."),
    ] = None,
    num_frames: Annotated[int | None, _source("--num_frames", "Use only the first N frames.")] = None,
    depth_scale: Annotated[
        float | None, _source("--depth_scale", "Length of one step of whole-number depth; multiplies any other depth.")
    ] = None,
    depth_channel: Annotated[
        str | None, _source("--depth_channel", "EXR channel, pass or part, where several could be depth.")
    ] = None,
    fov: Annotated[float | None, _lens("--fov", "Horizontal field of view in degrees.")] = None,
    focal: Annotated[float | None, _lens("--focal", "Focal length in pixels.")] = None,
    lens_from: Annotated[
        Path | None, _lens("--lens_from", "A file that knows the lens: a .blend, an image, a camera file.")
    ] = None,
    find_focal: Annotated[
        Literal["no", "shared", "changing"],
        panel("Lens")("--find_focal", "Look for the focal length: one for all frames (shared), or a zoom (changing)."),
    ] = "no",
    picture: Annotated[
        Path | None, _plain("--picture", "Also a .png: what the camera explains (green) and what not (red).")
    ] = None,
) -> None:
    """Estimate how the camera moved that filmed VIDEO and write it as a camera file.

    The path is in the depth's unit, its world is the first frame's camera. A camera that stood still is recognised.
    Where the estimate cannot be relied on, it says why and writes no camera, but the picture, if it is asked for.
    'ex4d recon --source_camera' and other programs read the file.

    Examples:

      ex4d solve shot.mp4 --depth shot_depth.npz -o filmed.npz --picture residuals.png

      ex4d solve shot.mp4 --depth d.npz -o colmap/ --matte actor_matte.mp4 --focal 640

      ex4d solve shot.mp4 --depth d.npz -o transforms.json --find_focal shared
    """
    from ex4d.clip import load_clip
    from ex4d.shots.load import given_lens
    from ex4d.shots.options import ShotOptions
    from ex4d.solve import solve_camera
    from ex4d.solve.matte import read_matte
    from ex4d.solve.picture import residual_picture
    from ex4d_ground.camera_files import save_camera
    from ex4d_ground.files import made_folder

    require_frames(num_frames, 2)
    _require_paths(depth, output, picture)
    options = ShotOptions(video, "static", depth=depth, fov=fov, focal=focal, lens_from=lens_from)
    options.check()
    with watched() as watch, made_folder(output.parent), made_folder((picture or output).parent):
        clip = load_clip(
            video, depth, lens=given_lens(options), num_frames=num_frames, depth_scale=depth_scale,
            depth_channel=depth_channel, fill_invalid=True, on_note=lambda line: note(f"{line.rstrip('.')}."), **watch,
        )  # fmt: skip
        if clip.intrinsics.is_assumed and find_focal == "no":
            warn(
                f"Nothing says the lens, so {clip.intrinsics.fov_deg:.1f} degrees are assumed, and the path is only "
                "as right as that; give --fov or --focal, or try --find_focal shared."
            )
        of = None if matte is None else read_matte(matte, clip, **watch)
        solved = solve_camera(clip, focal="fixed" if find_focal == "no" else find_focal, matte=of, **watch)
        verdict = solved.verdict
        for line in verdict.lines():
            note(line)
        if not verdict.failure:
            save_camera(output, solved.camera.as_trajectory(name=clip.name))
        if picture is not None:
            residual_picture(clip, solved, picture)
            say(str(picture.with_suffix(".png")))
        if verdict.failure:
            raise CameraNotSolvedError(verdict.failure)
        if verdict.lost:
            warn(f"Frames {frame_ranges(verdict.lost)} show too little and keep the pose of the one before.")
    if find_focal != "no" and verdict.focal_known:
        found = solved.camera.intrinsics[:, 0]
        note(f"Focal length: {found[0]:.1f} px" + (f" to {found[-1]:.1f} px." if find_focal == "changing" else "."))
    say(str(output))


def _require_paths(depth: Path, output: Path, picture: Path | None) -> None:
    """Raise for depth that is not there, and for what cannot be written under the names that are given."""
    from ex4d_ground.sequences import is_named

    if not is_named(depth):
        raise DepthError(f"There is no file or folder {depth}; check the path of the depth.")
    if output.suffix.lower() not in (".npz", ".json", ""):
        raise SettingError(f"--output is an .npz, a .json or a folder, got {output.name!r}.")
    if output.is_dir() if output.suffix else output.is_file():
        kind = "folder" if output.suffix else "file"
        raise OutputError(f"Cannot write {output}: there is a {kind} of that name; choose another name.")
    if picture is not None and picture.suffix.lower() != ".png":
        raise SettingError(f"--picture writes a .png, got the name {picture.name!r}; end it in .png.")
