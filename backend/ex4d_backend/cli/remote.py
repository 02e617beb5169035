"""``ex4d remote``: run a shot on a backend, on this machine or another, and fetch what it made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ex4d.cli.console import note, say, watched
from ex4d.cli.options import SEEDS, OutputDir, spread
from ex4d.cli.stereo import StereoConvergence, StereoDistance, stereo_of
from ex4d.shots.options import ShotOptions
from ex4d_backend.cli.jobs import find_job
from ex4d_backend.cli.link import Connection, bytes_for_people, check_writable, connected
from ex4d_ground.descriptions import EngineInfo, EstimatorInfo
from ex4d_ground.errors import SettingError, WeightsError, in_words
from ex4d_ground.parsing import parse_json
from ex4d_ground.records import Scalar
from ex4d_ground.texts import one_line
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.errors import ConnectionFailed
from ex4d_protocol.requests import Generate, RenderGuides

if TYPE_CHECKING:
    from ex4d.shots.take import Stereo
    from ex4d_backend.cli.shot_job import MakeRequest

app = typer.Typer(
    help="Run shots on a backend. The clip is sent as bytes (once), the results come back as files.",
    no_args_is_help=True,
    add_completion=False,
)
ABILITIES_WAIT_S = 20.0
"""So long a backend that has just started may take to know its engines, before its job is submitted all the same."""
Detach = Annotated[bool, typer.Option("--detach", help="Print the job's id and leave; 'ex4d remote fetch' gets it.")]


@app.command("status")
@spread
def status(link: Connection, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show what the backend has and can do: version, devices, engines, queue, disk."""
    with connected(link) as client:
        health, welcome, can = client.ask(m.GetHealth()), client.welcome, client.capabilities
    if as_json:
        parts = {"address": link.backend, "versions": welcome.versions if welcome else {}}
        parts |= {"health": msgspec.to_builtins(health), "capabilities": msgspec.to_builtins(can)}
        say(json.dumps(parts, indent=1))
        return
    version = (welcome.versions if welcome else {}).get("ex4d", "?")
    say(f"EX-4D backend {one_line(version)} at {link.backend}, up {health.uptime_s / 3600:.1f} h")
    say(f"queue: {health.queued} waiting, {health.running} running{', shutting down' if health.draining else ''}")
    stored = f"{bytes_for_people(health.blob_bytes)} of clips, {bytes_for_people(health.result_bytes)} of results"
    say(f"disk: {stored}, {bytes_for_people(health.disk_free_bytes)} free")
    for device in health.devices:
        memory = f", {bytes_for_people(device.memory_bytes)}" if device.memory_bytes else ""
        say(f"device: {one_line(device.name)}{memory}: {device.worker}")
    for kind, offered in (("engine", can.engines), ("depth", can.estimators)):
        for one in offered:
            licence = one.licence_text if isinstance(one, EstimatorInfo) else one.licence
            why = "" if one.available else f": {in_words(one.missing, one.remedy, 'cli')}"
            say(one_line(f"{kind}: {one.name} ({licence}){why}"))


@app.command("guides")
@spread
def guides(shot: ShotOptions, output_dir: OutputDir, link: Connection, detach: Detach = False) -> None:
    """Have the backend draw what a moved camera sees: colour_NNNN.png and mask_NNNN.png."""
    _run(shot, output_dir, link, RenderGuides, require=partial(_require, shot), detach=detach)


@app.command("generate")
@spread
def generate(
    shot: ShotOptions,
    output_dir: OutputDir,
    link: Connection,
    *,
    detach: Detach = False,
    engine: Annotated[str, typer.Option("--engine", help="preview, wan, ...: 'ex4d remote status' lists them.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One of the engine's settings; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same frames.", **SEEDS)] = 0,
    stereo: StereoDistance = None,
    convergence: StereoConvergence = None,
) -> None:
    """Have the backend generate a take: the next free take_NNN/ and take_NNN.mp4, as 'ex4d run' writes them."""
    eyes = stereo_of(stereo, convergence)
    settings = dict(_setting(text) for text in setting or ())
    make = partial(Generate, engine=engine, settings=settings, seed=seed, layers="plate")
    require = partial(_require, shot, engine=engine, settings=settings)
    _run(shot, output_dir, link, make, require=require, detach=detach, stereo=eyes)


@app.command("fetch")
@spread
def fetch(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, or enough of its beginning.")],
    output_dir: OutputDir,
    link: Connection,
) -> None:
    """Wait for a job that was submitted earlier and write its results; the backend deletes them then."""
    from ex4d_backend.cli.received import collect

    check_writable(output_dir)
    with connected(link) as client, watched() as watch:
        job_id = find_job(client, job)
        client.follow(job_id)
        say(collect(client, job_id, output_dir, watch, cancel_job=False))


def _require(
    shot: ShotOptions, client: Client, *, engine: str | None = None, settings: Mapping[str, Scalar] | None = None
) -> None:
    """Refuse an engine or estimator that the backend lacks, or settings it does not know, before anything is sent.

    Raises SettingError, WeightsError. A backend whose workers are not ready yet says it when they are.
    """
    if not client.capabilities.engines:
        with suppress(ConnectionFailed):
            client.wait_for(lambda _: bool(client.capabilities.engines), ABILITIES_WAIT_S)
    can = client.capabilities
    wanted: list[tuple[str, str, Sequence[EngineInfo | EstimatorInfo]]] = []
    if engine is not None:
        wanted.append(("engine", engine, can.engines))
    if shot.depth is None and shot.estimator is not None:
        wanted.append(("estimator", shot.estimator, can.estimators))
    for what, name, offered in wanted:
        one = next((each for each in offered if each.name == name), None)
        if offered and one is None:
            names = ", ".join(each.name for each in offered)
            raise SettingError(f"The backend has no {what} {name!r}; it has: {names}.")
        if one is not None and not one.available:
            raise WeightsError(f"The backend cannot run {name}: {one.missing}", remedy=one.remedy)
        if isinstance(one, EngineInfo):
            one.validated(settings or {})


def _run(
    shot: ShotOptions,
    output_dir: Path,
    link: Connection,
    make: MakeRequest,
    *,
    require: Callable[[Client], None],
    detach: bool,
    stereo: Stereo | None = None,
) -> None:
    """Submit the request for a shot, and fetch what comes of it unless it is detached."""
    from ex4d_backend.cli.received import collect
    from ex4d_backend.cli.shot_job import check_sendable, request_for

    check_sendable(shot)
    check_writable(output_dir)
    with watched() as watch, connected(link) as client:
        require(client)
        request = request_for(client, shot, make, watch, stereo)
        job_id = client.submit(request, title=output_dir.name, fetch=not detach)
        if detach:
            client.wait_for(lambda e: client.jobs[job_id].submitted or bool(client.jobs[job_id].rejected), 30)
            say(job_id)
            return
        note(f"Job {job_id}")
        say(collect(client, job_id, output_dir, watch, cancel_job=True, sound=shot.input_video))


def _setting(text: str) -> tuple[str, Scalar]:
    """``steps=4`` as ("steps", 4): true, false and numbers by their look, all else as text. Raises SettingError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingError(f"--set takes NAME=VALUE, such as --set steps=4; got {text!r}.")
    try:
        scalar = parse_json(value)
    except ValueError:
        scalar = value
    return name, scalar if isinstance(scalar, bool | int | float | str) else value
