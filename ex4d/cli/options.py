"""Options that several commands share. Underscores are the spelling; dashes are accepted everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SOURCE, _CAMERA, _OUTPUT = "Source", "Camera", "Output"

InputVideo = Annotated[
    Path,
    typer.Option(
        "--input_video",
        help="The clip: a video file, or a folder of numbered PNGs.",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
Depth = Annotated[
    Path,
    typer.Option(
        "--depth",
        help="Its depth along the view axis: .npz, .npy, a folder of 16-bit PNGs (with --depth_scale) or of EXRs.",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
OptionalDepth = Annotated[
    Path | None,
    typer.Option(
        "--depth",
        help="Its depth along the view axis: .npz, .npy, a folder of 16-bit PNGs (with --depth_scale) or of EXRs. "
        "Without it depth is estimated: see --estimator.",
        show_default=False,
        rich_help_panel=_SOURCE,
    ),
]
Estimator = Annotated[
    str | None,
    typer.Option(
        "--estimator",
        help="What estimates depth where --depth is not given: a name of 'ex4d depth list', which also says what each "
        "one's licence allows. Default: depth-anything-v2.",
        rich_help_panel=_SOURCE,
    ),
]
DepthSettings = Annotated[
    list[str] | None,
    typer.Option("--depth_set", help="Estimator setting as name=value; repeat for more.", rich_help_panel=_SOURCE),
]
SaveDepth = Annotated[
    Path | None,
    typer.Option(
        "--save_depth",
        help="Keep the estimated depth in this .npz, to give as --depth the next time.",
        rich_help_panel=_SOURCE,
    ),
]
DepthScale = Annotated[
    float | None,
    typer.Option(
        "--depth_scale",
        help="Length of one step of whole-number depth, e.g. 0.001 for millimetres; multiplies any other depth.",
        rich_help_panel=_SOURCE,
    ),
]
DepthChannel = Annotated[
    str | None,
    typer.Option("--depth_channel", help="EXR channel to use where several could be meant.", rich_help_panel=_SOURCE),
]
NumFrames = Annotated[
    int | None,
    typer.Option("--num_frames", help="Use only the first N frames. Default: all.", rich_help_panel=_SOURCE),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps", help="Frame rate. Default: the video's own; 15 for a folder of PNGs.", rich_help_panel=_SOURCE
    ),
]
FillInvalid = Annotated[
    bool,
    typer.Option(
        "--fill_invalid",
        help="Fill NaN, infinite, zero or negative depth from the nearest valid pixel instead of refusing it.",
        rich_help_panel=_SOURCE,
    ),
]
Cam = Annotated[
    str,
    typer.Option(
        "--cam",
        help="Camera move: a preset (30, 60, 90, 180, zoom_in, zoom_out, orbit_left, ...; a wrong name lists all), "
        "or a saved camera .npz.",
        show_default=False,
        rich_help_panel=_CAMERA,
    ),
]
Amount = Annotated[
    float | None,
    typer.Option(
        "--amount",
        help="How far the preset goes, e.g. 60 (degrees) for orbit_left. Default: the preset's own.",
        rich_help_panel=_CAMERA,
    ),
]
Fov = Annotated[
    float | None,
    typer.Option(
        "--fov",
        help="Horizontal field of view of the clip, in degrees. Default: the lens that the depth file names, "
        "else 54.22.",
        rich_help_panel=_CAMERA,
    ),
]
Focal = Annotated[
    float | None,
    typer.Option("--focal", help="Focal length of the clip in pixels, instead of --fov.", rich_help_panel=_CAMERA),
]
LensFrom = Annotated[
    Path | None,
    typer.Option(
        "--lens_from",
        help="A file that knows the clip's lens, instead of --fov: a .blend (its active camera), or an image or a "
        "video whose metadata say it.",
        rich_help_panel=_CAMERA,
    ),
]
BorderDepth = Annotated[
    float | None,
    typer.Option(
        "--border_depth",
        help="Depth at which the mesh is closed behind the scene; deeper parts of the clip are hidden. Default: 100.",
        rich_help_panel=_CAMERA,
    ),
]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="What is behind things: 'solid' (finite thickness; keeps far more of the clip) or 'endless' (as "
        "published, sheets that reach the background). Default: solid; endless with --parity.",
        rich_help_panel=_CAMERA,
    ),
]
Thickness = Annotated[
    str | None,
    typer.Option(
        "--thickness",
        help="How far things reach behind their rim: 'auto', a share of the depth such as 8%, or "
        "a length in the depth's unit. Default: auto.",
        rich_help_panel=_CAMERA,
    ),
]
ThicknessMap = Annotated[
    Path | None,
    typer.Option(
        "--thickness_map",
        help="Thickness per pixel in the depth's unit, NaN where --thickness decides: .npy, or .npz with the key "
        "'thickness', of height x width for all frames or frames x height x width.",
        rich_help_panel=_CAMERA,
    ),
]
OtherFrames = Annotated[
    bool,
    typer.Option(
        "--other_frames",
        help="Show behind things the background that other frames saw, where the camera stands still or "
        "--source_camera says how it moves. Shadows there are those of other moments. Off by default.",
        rich_help_panel=_CAMERA,
    ),
]
SourceCamera = Annotated[
    Path | None,
    typer.Option(
        "--source_camera",
        help="How the camera that filmed the clip moved, for --other_frames: a camera file as --cam takes it, with one "
        "pose per frame in the depth's unit. The new camera's move stays relative to it.",
        rich_help_panel=_CAMERA,
    ),
]
Parity = Annotated[
    bool,
    typer.Option(
        "--parity",
        help="Exactly what EX-4D's published program does: focal length 500 px, mesh corners on pixel corners, "
        "border at 100, over-long moves at lengths other than 49, frame 0 is the source frame.",
        rich_help_panel=_CAMERA,
    ),
]
OutputDir = Annotated[
    Path,
    typer.Option(
        "--output_dir", help="Folder for the results; made if missing.", show_default=False, rich_help_panel=_OUTPUT
    ),
]
