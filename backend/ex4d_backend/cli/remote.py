"""``ex4d remote``: run a shot on a backend, on this machine or another, and fetch what it made."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from ex4d.cli import options as opt
from ex4d.cli.console import cancel_on_signals, note, progress_bars, say
from ex4d.cli.shot import ShotOptions
from ex4d.errors import Cancelled, SettingError
from ex4d.files import staged_folder
from ex4d.progress import CancelToken, OnProgress, Progress
from ex4d_backend.cli.jobs import find_job
from ex4d_backend.cli.link import (
    DEFAULT_BACKEND,
    Backend,
    ClientId,
    Keys,
    bytes_for_people,
    check_writable,
    connected,
)
from ex4d_backend.cli.media import depth_files, upload_all, video_files
from ex4d_protocol import messages as m
from ex4d_protocol.base import Scalar
from ex4d_protocol.client import Client
from ex4d_protocol.events import Event, ItemReceived, JobChanged, UploadProgress
from ex4d_protocol.requests import ClipSpec, Generate, MeshOptionsSpec, MeshSpec, RenderGuides, TrajectorySpec

app = typer.Typer(
    help="Run shots on a backend. The clip is sent as bytes (once), the results come back as files.",
    no_args_is_help=True,
)
Detach = Annotated[bool, typer.Option("--detach", help="Print the job's id and leave; 'ex4d remote fetch' gets it.")]


@app.command("status")
def status(
    backend: Backend = DEFAULT_BACKEND,
    keys: Keys = None,
    client_id: ClientId = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the backend has and can do: version, devices, engines, queue, disk."""
    with connected(backend, keys, client_id) as client:
        health, welcome, can = client.ask(m.GetHealth()), client.welcome, client.capabilities
    if as_json:
        parts = {"address": backend, "versions": welcome.versions if welcome else {}}
        parts |= {"health": msgspec.to_builtins(health), "capabilities": msgspec.to_builtins(can)}
        say(json.dumps(parts, indent=1))
        return
    version = (welcome.versions if welcome else {}).get("ex4d", "?")
    say(f"EX-4D backend {version} at {backend}, up {health.uptime_s / 3600:.1f} h")
    say(f"queue: {health.queued} waiting, {health.running} running{', shutting down' if health.draining else ''}")
    stored = f"{bytes_for_people(health.blob_bytes)} of clips, {bytes_for_people(health.result_bytes)} of results"
    say(f"disk: {stored}, {bytes_for_people(health.disk_free_bytes)} free")
    for device in health.devices:
        memory = f", {bytes_for_people(device.memory_bytes)}" if device.memory_bytes else ""
        say(f"device: {device.name}{memory}: {device.worker}")
    for kind, offered in (("engine", can.engines), ("depth", can.estimators)):
        for one in offered:
            say(f"{kind}: {one.name} ({one.licence}){'' if one.available else ': ' + one.missing}")


class Target(msgspec.Struct, frozen=True):
    """Which backend, as whom, and where to write."""

    backend: str
    keys: Path | None
    client_id: str | None
    output_dir: Path
    detach: bool


MakeRequest = Callable[[ClipSpec, TrajectorySpec, MeshSpec], RenderGuides | Generate]


def _shared(
    input_video: opt.InputVideo,
    depth: opt.Depth,
    cam: opt.Cam,
    output_dir: opt.OutputDir,
    backend: Backend = DEFAULT_BACKEND,
    keys: Keys = None,
    client_id: ClientId = None,
    amount: opt.Amount = None,
    fov: opt.Fov = None,
    focal: opt.Focal = None,
    border_depth: opt.BorderDepth = None,
    num_frames: opt.NumFrames = None,
    fps: opt.Fps = None,
    fill_invalid: opt.FillInvalid = False,
    depth_scale: opt.DepthScale = None,
    detach: Detach = False,
) -> tuple[ShotOptions, Target]:
    """What every command that runs a shot is asked: the shot, the backend, where the results go."""
    shot = ShotOptions(
        input_video=input_video, depth=depth, cam=cam, amount=amount, fov=fov, focal=focal, border_depth=border_depth,
        num_frames=num_frames, fps=fps, fill_invalid=fill_invalid, depth_scale=depth_scale,
    )  # fmt: skip
    return shot, Target(backend, keys, client_id, output_dir, detach)


def _shot_command(name: str) -> Callable[[Callable[..., MakeRequest]], None]:
    """Attach a command that has the options of :func:`_shared` and its own, and returns what makes the request."""

    def attach(command: Callable[..., MakeRequest]) -> None:
        shared, own = (inspect.signature(f, eval_str=True).parameters for f in (_shared, command))

        @functools.wraps(command)
        def run(**given: Any) -> None:
            make = command(**{k: v for k, v in given.items() if k in own})
            _run(*_shared(**{k: v for k, v in given.items() if k in shared}), make)

        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*shared.values(), *own.values())]
        run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue] - typer reads it
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        app.command(name)(run)

    return attach


@_shot_command("guides")
def guides() -> MakeRequest:
    """Have the backend draw what a moved camera sees: colour_NNNN.png and mask_NNNN.png."""
    return lambda clip, trajectory, mesh: RenderGuides(clip=clip, trajectory=trajectory, mesh=mesh)


@_shot_command("generate")
def generate(
    engine: Annotated[str, typer.Option("--engine", help="preview, wan, ...: 'ex4d remote status' lists them.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One of the engine's settings; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same frames.", min=0)] = 0,
) -> MakeRequest:
    """Have the backend generate a take: frame_NNNN.png, take.json, coverage.npy."""
    settings = dict(_setting(text) for text in setting or ())
    return lambda clip, trajectory, mesh: Generate(
        clip=clip, trajectory=trajectory, mesh=mesh, engine=engine, settings=settings, seed=seed
    )


@app.command("fetch")
def fetch(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, or enough of its beginning.")],
    output_dir: opt.OutputDir,
    backend: Backend = DEFAULT_BACKEND,
    keys: Keys = None,
    client_id: ClientId = None,
) -> None:
    """Wait for a job that was submitted earlier and write its results; the backend deletes them then."""
    check_writable(output_dir)
    with connected(backend, keys, client_id) as client, cancel_on_signals() as cancel, progress_bars() as show:
        job_id = find_job(client, job)
        client.follow(job_id)
        collect(client, job_id, output_dir, on_progress=show, cancel=cancel, cancel_job=False)


def _run(shot: ShotOptions, target: Target, request: MakeRequest) -> None:
    shot.check()
    check_writable(target.output_dir)
    video, depth = video_files(shot.input_video), depth_files(shot.depth_file)
    with (
        cancel_on_signals() as cancel,
        progress_bars() as show,
        connected(target.backend, target.keys, target.client_id) as client,
    ):
        # The camera is made here, from the clip's own size, length and nearest depth; the bytes go to the backend.
        clip = shot.load(on_progress=show, cancel=cancel)
        move = shot.trajectory(clip)
        trajectory = TrajectorySpec.from_arrays(
            move.world_from_camera, move.intrinsics, move.source_time, width=move.width, height=move.height,
            name=move.name[:128],
        )  # fmt: skip
        k = clip.intrinsics
        spec = ClipSpec(
            video=upload_all(client, video, show, cancel),
            depth=upload_all(client, depth, show, cancel),
            depth_scale=shot.depth_scale,
            num_frames=shot.num_frames,
            intrinsics=(k.fx, k.fy, k.cx, k.cy),
            fill_invalid=shot.fill_invalid,
            fps=shot.fps,
            name=clip.name[:128],
        )
        mesh = MeshSpec(options=msgspec.convert(shot.mesh_options(), MeshOptionsSpec, from_attributes=True))
        job_id = client.submit(request(spec, trajectory, mesh), title=target.output_dir.name, fetch=not target.detach)
        if target.detach:
            client.wait_for(lambda e: client.jobs[job_id].submitted or bool(client.jobs[job_id].rejected), 30)
            say(job_id)
            return
        note(f"Job {job_id}")
        collect(client, job_id, target.output_dir, on_progress=show, cancel=cancel, cancel_job=True)


def collect(
    client: Client, job_id: str, folder: Path, *, on_progress: OnProgress, cancel: CancelToken, cancel_job: bool
) -> None:
    """Write every item of a job into ``folder``, all or nothing, then let the backend delete them.

    Raises the protocol's errors; Cancelled if ``cancel`` is set, after stopping the job if ``cancel_job``.
    """
    written = 0
    with staged_folder(folder) as staging:

        def take(event: Event) -> None:
            nonlocal written
            if isinstance(event, ItemReceived):
                write_item(staging, event)
                written += 1
            elif isinstance(event, JobChanged) and event.state.total:
                on_progress(Progress(event.state.stage, event.state.done, event.state.total))
            elif isinstance(event, UploadProgress):
                on_progress(Progress(f"upload {event.name}", event.done, event.total))
            if cancel.cancelled:
                if cancel_job:
                    client.cancel(job_id)
                raise Cancelled("Cancelled.")

        client.wait_job(job_id, None, on_event=take)
    client.ask(m.AckResults(job_id=job_id))
    say(f"{written} files in {folder}")


def write_item(folder: Path, event: ItemReceived) -> None:
    """One item as a file: PNG as it came, JSON as it came, arrays as .npy. Raises OSError."""
    stem = event.name if event.frame < 0 else f"{event.name}_{event.frame + 1:04d}"
    if event.item.encoding == "raw":
        np.save(folder / f"{stem}.npy", event.array(), allow_pickle=False)
    else:
        (folder / f"{stem}.{event.item.encoding}").write_bytes(event.data)


def _setting(text: str) -> tuple[str, Scalar]:
    """``steps=4`` as ("steps", 4): true, false and numbers by their look, all else as text. Raises SettingError."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingError(f"--set takes NAME=VALUE, such as --set steps=4; got {text!r}.")
    try:
        found = json.loads(value)
    except json.JSONDecodeError:
        found = value
    return name, found if isinstance(found, bool | int | float | str) else value
