"""``ex4d farm``: a folder of shots handed to a render farm that a studio has already."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from ex4d.cli.console import note, say
from ex4d.cli.options import panel, refuse_empty_words, require_between, spread
from ex4d.cli.run import DEFAULT_ENGINE
from ex4d_ground.errors import SettingError
from ex4d_ground.farms import FarmJob

HELP = """Hand a folder of shots to a render farm: one task a shot, each 'ex4d run SHOT'.

Who gives the tasks out, watches them and tries again is the farm; see docs/farms.md.
"""
app = typer.Typer(name="farm", help=HELP, no_args_is_help=True)
WATCH_EVERY_S = 2.0
_HIGHEST_PRIORITY = 1_000_000
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
        _check_options(job)
        gpus, gib = _gpu_needs(job)
        gpus = gpus if self.gpus is None else self.gpus
        gib = gib if self.gpu_memory is None else self.gpu_memory
        if self.gpu_memory and not gpus:
            raise SettingError(
                f"--gpu_memory {self.gpu_memory:g} is a GPU's, and a task needs none; give --gpus, too, or drop it."
            )
        more = {"gpus": gpus, "gpu_memory_gib": gib if gpus else 0.0, "memory_gib": self.memory}
        told = f" with {gib:.3g} GiB" if gpus and gib else ""
        shots = "1 shot" if len(job.shots) == 1 else f"{len(job.shots)} shots"
        note(f"{shots} in {job.folder}; a task needs {gpus} GPU{'' if gpus == 1 else 's'}{told}.")
        return FarmJob(job.folder, job.shots, job.windows, job.command, job.options, **more)


def _check_options(job: FarmJob) -> None:
    """Raise SettingError for what a task would be refused for: options that 'ex4d run' does not know or take."""
    from ex4d.cli.run import run

    tasks = typer.Typer(context_settings={"token_normalize_func": lambda token: token.replace("-", "_")})
    tasks.command()(spread(run))
    refuse_empty_words(job.options)
    command = get_command(tasks)

    def refusal(*words: str) -> str:
        try:  # without --help, which shows a page and makes nothing
            command.make_context("run", list(words), help_option_names=[])
        except typer.TyperException as error:
            return error.format_message()
        return ""

    for shot in job.shots:
        path = str(job.folder / shot)
        refused = refusal(path, *job.options)
        if refused:
            by_itself = not job.options or refusal(path) == refused
            what = f"the shot {path}" if by_itself else f"--option {' '.join(job.options)}"
            raise SettingError(f"'ex4d run' refuses {what}: {refused}")


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


ManagerAddress = Annotated[
    str, _option("--manager", "Address of the Flamenco Manager.", envvar="EX4D_FLAMENCO", show_default=False)
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as it was printed.", show_default=False)]


@app.command("flamenco")
@spread
def flamenco(
    shots: Shots,
    tasks: Tasks,
    manager: ManagerAddress,
    *,
    task_type: Annotated[str, _option("--task_type", "Type of the tasks, by which workers are chosen.")] = "blender",
    priority: Annotated[int, _option("--priority", "Higher goes first.")] = 50,
) -> None:
    """Submit the shots to a Flamenco Manager and print the job's id.

    The Manager needs the job type once: see 'ex4d farm job_type'. What a task needs of a GPU Flamenco does not ask;
    choose workers by --task_type.

    Examples:

      ex4d farm flamenco /show/shots --manager http://farm:8080
    """
    from ex4d_ground.flamenco import Manager, submission

    require_between(priority, 0, _HIGHEST_PRIORITY, "--priority")
    job, there = tasks.of(shots), Manager(manager)
    news = there.submit(submission(job, etag=there.etag(), task_type=task_type, priority=priority))
    note(f"{news.name}: {news.total} tasks, {news.status}.")
    say(news.job_id)


@app.command("watch")
def watch(job: JobId, manager: ManagerAddress) -> None:
    """Follow a Flamenco job until it ends: exit code 0 if it was completed, else 1. Ctrl-C leaves the job alone."""
    from ex4d_ground.errors import FarmError
    from ex4d_ground.flamenco import Manager

    there, told = Manager(manager), ""
    while True:
        news = there.news(job)
        line = f"{news.name}: {news.done} of {news.total} tasks, {news.status}"
        if line != told:
            note(line)
            told = line
        if news.ended:
            break
        time.sleep(WATCH_EVERY_S)
    if news.status != "completed":
        raise FarmError(f"The job {job} is {news.status}: {news.activity or 'see the Manager for its tasks'}.")


@app.command("cancel")
def cancel(job: JobId, manager: ManagerAddress) -> None:
    """Cancel a Flamenco job and no other; shots that are made stay."""
    from ex4d_ground.flamenco import Manager

    Manager(manager).cancel(job)
    say(f"Job {job} is being cancelled.")


@app.command("job_type")
def job_type(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="The Manager's folder 'scripts', or a file.", show_default=False)
    ],
) -> None:
    """Write Flamenco's job type, one JavaScript file, for the Manager's folder 'scripts'."""
    from ex4d_ground.files import atomic_path
    from ex4d_ground.flamenco import JOB_TYPE, job_type_source

    path = output / f"{JOB_TYPE}.js" if output.is_dir() else output
    with atomic_path(path) as staged:
        staged.write_text(job_type_source(), encoding="utf-8")
    say(str(path))
