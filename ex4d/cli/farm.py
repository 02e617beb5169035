"""``ex4d farm``: a folder of shots handed to a render farm that a studio has already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ex4d.cli.console import note, say
from ex4d.cli.options import panel, spread
from ex4d.cli.run import DEFAULT_ENGINE
from ex4d_ground.farms import FarmJob

HELP = """Hand a folder of shots to a render farm: one task a shot, each 'ex4d run SHOT'.

Who gives the tasks out, watches them and tries again is the farm; see docs/farms.md.
"""
app = typer.Typer(name="farm", help=HELP, no_args_is_help=True)
WINDOW_FRAMES = 49
"""Longer clips take no more of a GPU."""
_option, _needs = panel(None), panel("What a task needs")
Shots = Annotated[
    Path, typer.Argument(metavar="SHOTS", help="Folder of the shots, each a folder with shot.json.", show_default=False)
]


@dataclass(frozen=True)
class Tasks:
    """What every farm is told of the tasks."""

    windows: Annotated[
        int, _option("--windows", "Tasks that a long shot is cut into, one behind the other; 1 makes shots whole.")
    ] = 1
    command: Annotated[str, _option("--command", "The program, as the farm's machines find it.")] = "ex4d"
    option: Annotated[
        list[str] | None, _option("--option", "An option of 'ex4d run' for all shots, as --option=--seed=3; repeat.")
    ] = None
    gpus: Annotated[int | None, _needs("--gpus", "GPUs. Default: 1 where a shot's engine runs on one, else 0.")] = None
    gpu_memory: Annotated[
        float | None, _needs("--gpu_memory", "GPU memory in GiB. Default: what the model takes whole; 0: not said.")
    ] = None
    memory: Annotated[float, _needs("--memory", "Main memory in GiB. Default: not said.")] = 0.0

    def of(self, folder: Path) -> FarmJob:
        """The job of these shots. Raises InputError, SettingError."""
        job = FarmJob.of(folder, windows=self.windows, command=self.command, options=tuple(self.option or ()))
        gpus, gib = _gpu_needs(job)
        gpus = gpus if self.gpus is None else self.gpus
        gib = gib if self.gpu_memory is None else self.gpu_memory
        more = {"gpus": gpus, "gpu_memory_gib": gib if gpus else 0.0, "memory_gib": self.memory}
        told = f" with {gib:.3g} GiB" if gpus and gib else ""
        note(f"{len(job.shots)} shots in {job.folder}; a task needs {gpus} GPU{'' if gpus == 1 else 's'}{told}.")
        return FarmJob(job.folder, job.shots, job.windows, job.command, job.options, **more)


def _gpu_needs(job: FarmJob) -> tuple[int, float]:
    """GPUs that a task needs and their memory in GiB, rounded up: the most of all shots.

    That is the engine's plan that keeps its whole model there; smaller plans run on less, in more time. Raises
    InputError for a shot that cannot be read, SettingError.
    """
    from ex4d.cli.settings import parse_settings
    from ex4d.cli.shot_file import pairs_of
    from ex4d.depth.lens_file import frame_size
    from ex4d.engines import Gpu, cost, get_engine
    from ex4d_ground.costs import GIB

    gib = 0.0
    for shot in job.read():
        engine = str(shot.options.get("engine", DEFAULT_ENGINE))
        settings = parse_settings(get_engine(engine).info(), pairs_of(shot, "set"))
        width, height = frame_size(shot.folder / str(shot.options.get("input_video", "")))
        any_gpu = Gpu("any", 1 << 50, 1 << 50)  # so large that nothing of the model is held elsewhere
        answer = cost(engine, frames=WINDOW_FRAMES, width=width, height=height, settings=settings, gpu=any_gpu)
        gib = max(gib, float(-(-(answer.peak_bytes or 0) // GIB)))
    return int(gib > 0), gib


@app.command("openjd")
@spread
def openjd(
    shots: Shots,
    tasks: Tasks,
    output: Annotated[Path, _option("--output", "Folder of the bundle; made.", show_default=False)],
) -> None:
    """Write a job bundle of Open Job Description, for Deadline Cloud and any other OpenJD worker.

    Examples:

      ex4d farm openjd shots --output bundle --gpu_memory 36

      openjd run bundle/template.json --job-param Shots=/show/shots

      deadline bundle submit bundle
    """
    from ex4d_ground.openjd import write_bundle

    say(str(write_bundle(tasks.of(shots), output)))
