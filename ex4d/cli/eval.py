"""``ex4d eval``: measure guides and results against scenes with several cameras."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ex4d.cli.console import cancel_on_signals, note, progress_bars, say

app = typer.Typer(no_args_is_help=True, help="Measure guides and results against scenes with several cameras.")

Data = Annotated[
    Path,
    typer.Argument(help="A scene folder, or a folder of them (scripts/make_scenes.py makes some).", show_default=False),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output_dir", help="Folder for eval.json, tables.md and report.html; made if missing.", show_default=False
    ),
]


class Mode(StrEnum):
    """Occluder modes of the library."""

    ENDLESS = "endless"
    SOLID = "solid"


class Anchor(StrEnum):
    """Where in its pixel a vertex sits."""

    CENTER = "center"
    CORNER = "corner"


class Perturbation(StrEnum):
    """Faults that depth can be given."""

    NONE = "none"
    NOISE = "noise"
    DRIFT = "drift"
    BLUR = "blur"
    DRIFT_BLUR = "drift+blur"


@app.command("guides")
def guides(
    data: Data,
    output_dir: Output,
    mode: Annotated[Mode, typer.Option("--mode", help="Occluder mode.")] = Mode.SOLID,
    anchor: Annotated[Anchor, typer.Option("--anchor", help="Where in its pixel a vertex sits.")] = Anchor.CENTER,
    min_angle: Annotated[float, typer.Option("--min_angle", help="Smallest angle of a visible face, degrees.")] = 2.5,
    border_depth: Annotated[float, typer.Option("--border_depth", help="Depth at which the mesh is closed.")] = 100.0,
    perturb: Annotated[
        Perturbation, typer.Option("--perturb", help="Give the depth a fault first.")
    ] = Perturbation.NONE,
    published: Annotated[bool, typer.Option("--published", help="Also measure the published settings.")] = True,
) -> None:
    """Geometry of the guides: mask IoU, false-visible, reprojection error, PSNR, SSIM, stability; JSON and HTML."""
    from ex4d.eval import Variant
    from ex4d.types import MeshOptions

    options = MeshOptions(
        mode="solid" if mode is Mode.SOLID else "endless",
        border_depth=border_depth,
        min_angle_deg=min_angle,
        pixel_anchor="corner" if anchor is Anchor.CORNER else "center",
    )
    fault = "" if perturb is Perturbation.NONE else perturb.value
    variants = [Variant(mode.value if not fault else f"{mode.value}, {fault}", options, perturbation=fault)]
    if published:
        variants.append(Variant("published", MeshOptions.ex4d_parity(), perturbation=fault))
    _run(data, output_dir, variants, "Guides against ground truth")


@app.command("ablation")
def ablation(data: Data, output_dir: Output) -> None:
    """What each choice is worth: modes, thickness, anchor, thresholds, border, caps, other frames, perturbed depth."""
    from ex4d.eval import default_ablation, main_variants

    _run(data, output_dir, [*main_variants(), *default_ablation()], "What each choice is worth", with_extras=True)


def _run(data: Path, output_dir: Path, variants: list, title: str, *, with_extras: bool = False) -> None:
    from ex4d.eval import angle_table, evaluate, write_evaluation

    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        evaluation = evaluate(
            data, variants, title=title, with_extras=with_extras, keep=output_dir / "scores", on_progress=on_progress,
            cancel=cancel,
        )  # fmt: skip
        json_path, html_path = write_evaluation(evaluation, output_dir)
    say(angle_table(evaluation.scores))
    for s in evaluation.scores:
        if s.unavailable:
            note(f"Not computed, {s.variant.name}: {s.unavailable}")
    say(f"{json_path}\n{html_path}")


@app.command("results")
def results(
    video: Annotated[Path, typer.Argument(help="The generated video, or a folder of frames.", show_default=False)],
    truth: Annotated[Path, typer.Argument(help="What a camera really saw on the same move.", show_default=False)],
    output_dir: Output,
    camera: Annotated[Path | None, typer.Option("--camera", help="The move that was asked for.")] = None,
    estimated: Annotated[
        Path | None, typer.Option("--estimated_camera", help="The move estimated from the video.")
    ] = None,
) -> None:
    """A result against the truth: PSNR, SSIM, stability, camera errors; LPIPS, FID and FVD where they can be had."""
    from ex4d.eval import compare_results, write_results

    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        scores = compare_results(
            video, truth, camera=camera, estimated=estimated, on_progress=on_progress, cancel=cancel
        )
        path = write_results(scores, output_dir)
    for name, value in scores.metrics.items():
        say(f"{name}: {value:.4f}")
    for name, reason in scores.not_computed.items():
        note(f"{name}: not computed: {reason}")
    say(str(path))


def register(parent: typer.Typer) -> None:
    """Put the command under ``parent``."""
    parent.add_typer(app, name="eval")
