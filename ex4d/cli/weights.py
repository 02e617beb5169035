"""``ex4d weights``: what models there are, fetching, checking and converting them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ex4d.cli.console import note, say, warn, watched
from ex4d.cli.options import panel
from ex4d_ground.errors import SettingError, WeightsError, in_words

HELP = """Model weights: list, fetch, verify, convert.

This is the only command that downloads a model; everything else says what is missing and stops.
Weights lie below $EX4D_WEIGHTS, or in the user's data folder; --root chooses another place for one call.
"""

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAMES", help="Names of 'ex4d weights list'. Default: wan and ex4d.", show_default=False),
]
_option = panel(None)
Root = Annotated[Path | None, _option("--root", "Weights folder. Default: $EX4D_WEIGHTS, or the user's data folder.")]
app = typer.Typer(name="weights", help=HELP, no_args_is_help=True)


@app.command("list")
def list_weights(root: Root = None) -> None:
    """Show what there is to fetch, its size and licence, and what is here already."""
    from ex4d.weights.catalogue import PACKAGES
    from ex4d.weights.layout import weights_root

    folder = root or weights_root()
    say(f"Weights folder: {folder}")
    for package in PACKAGES:
        state = "here" if package.is_there(folder) else f"missing; {package.command}"
        say(f"{package.name:<23} {package.title}")
        say(f"{'':<23} {package.repository}, about {package.gigabytes:g} GB, {package.licence_text}: {state}")


@app.command("fetch")
def fetch(names: Names = None, root: Root = None) -> None:
    """Download weights; a download that was broken off goes on where it stopped.

    The disk is checked before anything is downloaded. $HF_ENDPOINT chooses another hub.
    """
    from ex4d.weights.catalogue import find_packages
    from ex4d.weights.fetch import fetch as fetch_package

    chosen = find_packages(names or [])
    for package in chosen:
        if package.research_only:
            warn(f"{package.name} is for research only; its licence: {package.licence}.")
        with watched() as watch:
            folder = fetch_package(package, root, **watch)
        say(str(folder))


@app.command("verify")
def verify(
    names: Names = None,
    root: Root = None,
    quick: Annotated[bool, _option("--quick", "Compare sizes and shapes only, no hashes.")] = False,
) -> None:
    """Compare weights with the record of their download, and open every part to see that it fits the model."""
    from ex4d.weights.catalogue import find_packages
    from ex4d.weights.fetch import Record
    from ex4d.weights.layout import WanWeights
    from ex4d.weights.verify import verify_files, verify_parts

    chosen = find_packages(names or [])
    problems = []
    with watched() as watch:
        for package in chosen:
            problems += verify_files(package, root, hashes=not quick, **watch)
        if not problems and any(package.name.startswith("wan") for package in chosen):
            turbo = any(package.name == "turbo" for package in chosen)
            problems += verify_parts(WanWeights.under(root), turbo=turbo, **watch)
    for package in chosen:
        if package.is_there(root) and Record.read(package.path(root)) is None:
            note(f"{package.name} was not fetched by this program, so there are no hashes to compare with.")
    for finding in problems:
        note(in_words(finding.problem, finding.remedy, "cli"))
    if problems:
        raise WeightsError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found in the weights (named above)."
        )
    say("All weights are in order.")


@app.command("convert")
def convert(
    output: Annotated[Path, _option("--output", "New folder for the result.", show_default=False)],
    to: Annotated[Literal["diffusers", "original"], _option("--to", "Layout to write.")] = "diffusers",
    source: Annotated[
        Path | None, _option("--source", "Folder with the base model. Default: the weights folder's.")
    ] = None,
    dtype: Annotated[
        Literal["keep", "bfloat16", "float16", "float32"], _option("--dtype", "Precision to write.")
    ] = "keep",
) -> None:
    """Write the base model in the other layout (or the same one, at another precision)."""
    import torch

    from ex4d.weights.convert import to_diffusers
    from ex4d.weights.convert_original import to_original
    from ex4d.weights.layout import WanWeights

    weights = WanWeights.under() if source is None else WanWeights(source)
    try:
        weights.require(adapters=False)
    except WeightsError as error:
        raise error if source is None else error.reworded(f"{source} cannot be converted: {error}") from None
    if output.exists():
        raise SettingError(f"{output} exists already; give --output a new folder.")
    run = to_diffusers if to == "diffusers" else to_original
    with watched() as watch:
        run(weights, output, dtype=None if dtype == "keep" else getattr(torch, dtype), **watch)
    say(str(output))
