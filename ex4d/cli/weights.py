"""``ex4d weights``: what models there are, fetching, checking and converting them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ex4d.cli.console import cancel_on_signals, note, progress_bars, say, warn
from ex4d.errors import SettingError, WeightsError

HELP = """Model weights: list, fetch, verify, convert.

This is the only command that downloads a model; everything else says what is missing and stops.
Weights lie below $EX4D_WEIGHTS, or in the user's data folder; --root chooses another place for one call.
"""

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names of 'ex4d weights list'. Default: wan and ex4d.", show_default=False),
]
Root = Annotated[
    Path | None, typer.Option("--root", help="Weights folder. Default: $EX4D_WEIGHTS, or the user's data folder.")
]


def register(app: typer.Typer) -> None:
    """Add the group to ``app``."""
    group = typer.Typer(help=HELP, no_args_is_help=True)
    group.command("list")(list_weights)
    group.command("fetch")(fetch)
    group.command("verify")(verify)
    group.command("convert")(convert)
    app.add_typer(group, name="weights")


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
        with cancel_on_signals() as cancel, progress_bars() as on_progress:
            folder = fetch_package(package, root, on_progress=on_progress, cancel=cancel)
        say(str(folder))


def verify(
    names: Names = None,
    root: Root = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes and shapes only, no hashes.")] = False,
) -> None:
    """Compare weights with the record of their download, and open every part to see that it fits the model."""
    from ex4d.weights.catalogue import find_packages
    from ex4d.weights.fetch import Record
    from ex4d.weights.layout import WanWeights
    from ex4d.weights.verify import verify_files, verify_parts

    chosen = find_packages(names or [])
    found = []
    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        for package in chosen:
            found += verify_files(package, root, hashes=not quick, on_progress=on_progress, cancel=cancel)
        if not found and any(package.name.startswith("wan") for package in chosen):
            turbo = any(package.name == "turbo" for package in chosen)
            found += verify_parts(WanWeights.under(root), turbo=turbo, on_progress=on_progress, cancel=cancel)
    for package in chosen:
        if package.is_there(root) and Record.read(package.path(root)) is None:
            note(f"{package.name} was not fetched by this program, so there are no hashes to compare with.")
    for finding in found:
        note(finding.problem)
    if found:
        raise WeightsError(f"{len(found)} problem{'s' if len(found) > 1 else ''} found in the weights (named above).")
    say("All weights are in order.")


def convert(
    output: Annotated[Path, typer.Option("--output", help="New folder for the result.", show_default=False)],
    to: Annotated[Literal["diffusers", "original"], typer.Option("--to", help="Layout to write.")] = "diffusers",
    source: Annotated[
        Path | None,
        typer.Option("--source", help="Folder with the base model. Default: the weights folder's."),
    ] = None,
    dtype: Annotated[
        Literal["keep", "bfloat16", "float16", "float32"], typer.Option("--dtype", help="Precision to write.")
    ] = "keep",
) -> None:
    """Write the base model in the other layout (or the same one, at another precision)."""
    import torch

    from ex4d.weights.convert import to_diffusers
    from ex4d.weights.convert_original import to_original
    from ex4d.weights.layout import WanWeights

    weights = WanWeights.under() if source is None else WanWeights(source)
    missing = weights.missing(adapters=False)
    if missing:
        raise WeightsError(missing if source is None else f"{source} cannot be converted: {missing}")
    if output.exists():
        raise SettingError(f"{output} exists already; give --output a new folder.")
    run = to_diffusers if to == "diffusers" else to_original
    with cancel_on_signals() as cancel, progress_bars() as on_progress:
        run(
            weights,
            output,
            dtype=None if dtype == "keep" else getattr(torch, dtype),
            on_progress=on_progress,
            cancel=cancel,
        )
    say(str(output))
