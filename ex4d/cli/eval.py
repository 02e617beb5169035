"""``ex4d eval``: measure guides and results against scenes with several cameras."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ex4d.cli.console import note, say, watched
from ex4d.cli.options import panel

app = typer.Typer(
    name="eval", no_args_is_help=True, help="Measure guides and results against scenes with several cameras."
)

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="A scene folder, or a folder of them (scripts/make_scenes.py makes some).",
        show_default=False,
    ),
]
_option = panel(None)
Output = Annotated[
    Path,
    _option("--output_dir", "Folder for eval.json, tables.md and report.html; made if missing.", show_default=False),
]


@app.command("guides")
def guides(
    data: Data,
    output_dir: Output,
    mode: Annotated[Literal["endless", "solid"], _option("--mode", "Occluder mode.")] = "solid",
    anchor: Annotated[Literal["center", "corner"], _option("--anchor", "Where in its pixel a vertex sits.")] = "center",
    min_angle: Annotated[float, _option("--min_angle", "Smallest angle of a visible face, degrees.")] = 2.5,
    border_depth: Annotated[float, _option("--border_depth", "Depth at which the mesh is closed.")] = 100.0,
    perturb: Annotated[
        Literal["none", "noise", "drift", "blur", "drift+blur"], _option("--perturb", "Give the depth a fault first.")
    ] = "none",
    published: Annotated[bool, _option("--published", "Also measure the published settings.")] = True,
) -> None:
    """Geometry of the guides: mask IoU, false-visible, reprojection error, PSNR, SSIM, stability; JSON and HTML."""
    from ex4d.eval import Variant
    from ex4d_ground.options import MeshOptions

    options = MeshOptions(mode=mode, border_depth=border_depth, min_angle_deg=min_angle, pixel_anchor=anchor)
    fault = "" if perturb == "none" else perturb
    variants = [Variant(f"{mode}, {fault}" if fault else mode, options, perturbation=fault)]
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

    with watched() as watch:
        keep = output_dir / "scores"
        evaluation = evaluate(data, variants, title=title, with_extras=with_extras, keep=keep, **watch)
        json_path, html_path = write_evaluation(evaluation, output_dir)
    say(angle_table(evaluation.scores).text())
    for s in evaluation.scores:
        if s.unavailable:
            note(f"Not computed, {s.variant.name}: {s.unavailable}")
    say(f"{json_path}\n{html_path}")


@app.command("results")
def results(
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="The generated video, or a folder of frames.", show_default=False)
    ],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="What a camera really saw on the same move.", show_default=False)
    ],
    output_dir: Output,
    camera: Annotated[Path | None, _option("--camera", "The move that was asked for.")] = None,
    estimated: Annotated[Path | None, _option("--estimated_camera", "The move estimated from the video.")] = None,
) -> None:
    """A result against the truth: PSNR, SSIM, stability, camera errors; LPIPS, FID and FVD where they can be had."""
    from ex4d.eval import compare_results, write_results

    with watched() as watch:
        scores = compare_results(video, truth, camera=camera, estimated=estimated, **watch)
        path = write_results(scores, output_dir)
    for name, value in scores.metrics.items():
        say(f"{name}: {value:.4f}")
    for name, reason in scores.not_computed.items():
        note(f"{name}: not computed: {reason}")
    say(str(path))
