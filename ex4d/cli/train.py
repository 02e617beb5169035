"""``ex4d train``: simulated masks, data sets, and training of EX-4D's LoRA and geometry encoder."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from ex4d.cli.console import note, say, watched
from ex4d.cli.options import SEEDS, panel

HELP = """Train EX-4D's LoRA and geometry encoder on your own footage.

In order: preview_masks (what will be hidden), prepare (a folder of clips becomes a data set), doctor (will it fit, how
long), run.
"""

app = typer.Typer(name="train", no_args_is_help=True, help=HELP)
_option = panel(None)
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The run's configuration (TOML).", show_default=False)]
Occluders = Annotated[
    Literal["endless", "solid", "mixed"], _option("--occluders", "How a mesh blocks what lies behind it.")
]


@app.command("run")
def run(config: Config) -> None:
    """Train, or go on from the newest checkpoint of the folder.

    Several GPUs: torchrun --nproc_per_node 8 -m ex4d train run CONFIG. Ctrl-C writes a checkpoint and stops.
    """
    from ex4d.train.config import read_config
    from ex4d.train.loop import train

    settings = read_config(config)
    with watched() as watch:
        outcome = train(settings, **watch)
    if os.environ.get("RANK", "0") == "0":
        say(f"{outcome.steps} steps, last loss {outcome.loss:.4f}: {outcome.checkpoint}")


@app.command("preview_masks")
def preview_masks(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A video.", show_default=False)],
    output_dir: Annotated[Path, _option("--output_dir", "Folder for the sheet and the video.", show_default=False)],
    depth: Annotated[Path | None, _option("--depth", "The clip's depth. Default: a file beside it.")] = None,
    count: Annotated[int, _option("--count", "Masks to show.", min=1, max=64)] = 8,
    seed: Annotated[int, _option("--seed", "Of the first mask.", **SEEDS)] = 0,
    num_frames: Annotated[int, _option("--num_frames", "Frames of the clip.", min=2)] = 49,
    occluders: Occluders = "mixed",
    tracking: Annotated[float, _option("--tracking", "Share of tracking masks.", min=0, max=1)] = 0.3,
    degrade: Annotated[bool, _option("--degrade", "Also spoil the guides as bad depth would.")] = False,
) -> None:
    """Show simulated masks of a clip: a contact sheet and a video."""
    from ex4d.train.preview import preview
    from ex4d.train.recipes import recipe_of

    with watched() as watch:
        recipe = recipe_of(occluders=occluders, tracking=tracking)
        made = preview(
            clip,
            output_dir,
            depth=depth,
            recipe=recipe,
            seeds=range(seed, seed + count),
            num_frames=num_frames,
            degrade=degrade,
            **watch,
        )
    for mask in made.masks:
        note(f"seed {mask.seed}: {mask.kind}, {mask.hidden:.0%} hidden ({mask.about})")
    say(f"{made.sheet}\n{made.video}")


@app.command("prepare")
def prepare(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with footage, searched to its depths.", show_default=False)
    ],
    output: Annotated[Path, _option("--output", "The data set's folder.", "-o", show_default=False)],
    masks: Annotated[int, _option("--masks", "Masks of each sample.", min=1, max=64)] = 4,
    seed: Annotated[int, _option("--seed", "Of masks and of what is held out.", **SEEDS)] = 0,
    frames: Annotated[int, _option("--frames", "Frames of a sample, 4n+1.", min=5)] = 49,
    size: Annotated[str, _option("--size", "Width x height of a sample, or several with commas.")] = "512x512",
    prompt: Annotated[str | None, _option("--prompt", "Default: the published one.")] = None,
    estimator: Annotated[str | None, _option("--estimator", "Of depth, for clips with no file of it.")] = None,
    occluders: Occluders = "mixed",
    tracking: Annotated[float, _option("--tracking", "Share of tracking masks.", min=0, max=1)] = 0.3,
    degrade: Annotated[float, _option("--degrade", "Share of masks whose guides are spoilt.", min=0, max=1)] = 0.0,
    held_out: Annotated[float, _option("--held_out", "Share of clips that are not trained on.", min=0, max=0.5)] = 0.05,
    weights: Annotated[Path | None, _option("--weights", "Weights folder. Default: the engine's.")] = None,
    part: Annotated[str, _option("--part", "I/N: every N-th shard from the I-th on; one process per GPU.")] = "0/1",
) -> None:
    """Find clips, cut scenes, make depth, masks and latents, once; an interrupted run goes on where it stopped."""
    from ex4d.train.prepare import PrepareOptions, prepare_dataset
    from ex4d.train.recipes import parse_part, parse_sizes, recipe_of

    options = PrepareOptions(
        masks=masks,
        seed=seed,
        frames=frames,
        sizes=parse_sizes(size),
        estimator=estimator or "",
        recipe=recipe_of(occluders=occluders, tracking=tracking),
        degrade=degrade,
        held_out=held_out,
        part=parse_part(part),
        **({} if prompt is None else {"prompt": prompt}),
    )
    with watched() as watch:
        manifest = prepare_dataset(folder, output, options, weights=weights, **watch)
    for each in manifest.rejected:
        note(f"Left out: {each.clip}: {each.reason}")
    samples = [sample for shard in manifest.shards for sample in shard.samples]
    aside = sum(s.held_out for s in samples)
    say(f"{len(samples)} samples ({aside} held out) in {len(manifest.shards)} shards: {output}")


@app.command("doctor")
def doctor(
    config: Config,
    gpu: Annotated[str | None, _option("--gpu", "Another GPU, such as 'RTX 4090:24'. Default: this one.")] = None,
) -> None:
    """Memory and time of a run, reckoned from measured tables before it starts."""
    from ex4d.train.config import read_config
    from ex4d.train.doctor import examine, gpu_of

    report = examine(read_config(config), gpu_of(gpu))
    for line in report.lines:
        say(line)
    if report.problem is not None:
        raise report.problem
