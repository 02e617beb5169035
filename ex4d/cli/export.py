"""``ex4d export``: a take in the formats of other programs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ex4d.cli.console import note, say, watched
from ex4d.cli.options import OutputDir, panel
from ex4d.progress import Watch

_option = panel(None)
KIND_HELP = (
    "exr (half float), exr-float, exr-dwaa, png16, prores (422 HQ), prores4444, dnxhr (HQX), mp4 (8 bits), mp4-10 "
    "(H.265, 10 bits) or mp4-10-lossless; repeat for more."
)
NAME_HELP = (
    "How the files are called, with the fields {shot}, {take}, {frame}, {engine}, {seed} and {kind}, numbers with a "
    "width: {shot}_take{take:03}.{frame:04}. Slashes make folders."
)
EYES_HELP = (
    "Of a stereo take: side-by-side, half (side by side at half width), anaglyph (red-cyan), left or right. Default: "
    "side-by-side."
)
ExportEyes = Annotated[str | None, _option("--eyes", EYES_HELP)]
ExportName = Annotated[str | None, _option("--name", NAME_HELP)]


def export(
    take: Annotated[
        Path, typer.Argument(metavar="TAKE", help="The take's folder, such as shots/010/take_003.", show_default=False)
    ],
    output_dir: OutputDir,
    kind: Annotated[list[str], _option("--kind", KIND_HELP)] = ("exr",),  # type: ignore[assignment]
    eyes: ExportEyes = None,
    name: ExportName = None,
) -> None:
    """Write a take as EXR, 16-bit PNG, ProRes, DNxHR or MP4, in the depth and the colours of its plate.

    Frames are numbered as the clip was (1001 stays 1001); time code, reel, rate and sound go along. Nothing that
    exists is replaced. Of a stereo take --eyes says how both eyes are shown; an MP4 or MOV with both side by side says
    so to players.

    Examples:

      ex4d export shots/010/take_003 --kind exr --output_dir plates/010

      ex4d export shots/010/take_004 --kind mp4 --eyes anaglyph --output_dir review

      ex4d export shots/010/take_003 --kind prores --kind mp4 --output_dir review --name "{shot}_v{take:02}"
    """
    from ex4d_ground.exports import get_kind, layout_of, name_template

    for each in kind:  # all of them before the first is written
        name_template(get_kind(each), name, layout_of(eyes, stereo=eyes is not None))
    with watched() as watch:
        write_exports(take, kind, output_dir, name, watch, eyes)


def write_exports(
    take: Path, kinds: Iterable[str], output_dir: Path, name: str | None, watch: Watch, eyes: str | None = None
) -> None:
    """Export a take as each of ``kinds``; say the first file of each, and what an EXR lacks."""
    from ex4d.export import export_take
    from ex4d_ground.takes import read_take_info

    for each in kinds:
        if each.startswith("exr") and not read_take_info(take).layers:
            note(
                "The take keeps no mask and depth, so its EXRs hold colour alone: make it with 'ex4d run --export exr'."
            )
        files = export_take(take, each, output_dir, name=name, eyes=eyes, **watch)
        say(str(files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"))
