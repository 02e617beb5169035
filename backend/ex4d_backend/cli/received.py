"""What comes back from a backend: a job's items followed as they come, written as files, or as a take."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec import structs

from ex4d.cli.console import note
from ex4d.clip.images import read_rgb
from ex4d.progress import Watch, check, report
from ex4d.takes import save_take, take_of
from ex4d.types import Sound
from ex4d_ground.errors import Cancelled
from ex4d_ground.files import frame_name, free_path, plain_name, staged_folder
from ex4d_ground.stereo import RIGHT
from ex4d_ground.takes import TAKE_FILE, decode_take, sound_of_take
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import Event, ItemReceived, JobChanged, UploadProgress

_ENDINGS = {"raw": "npy", "file": "exr"}
"""Of items by their encoding, where it is not the ending itself; the only files that are asked for here are layers."""


def follow(
    client: Client, job_id: str, on_item: Callable[[ItemReceived], object], watch: Watch, *, cancel_job: bool = True
) -> None:
    """Wait for a job's end; every item goes to ``on_item`` as it comes.

    Raises the protocol's errors; Cancelled if ``cancel`` is set, after stopping the job if ``cancel_job``.
    """
    on_progress = watch.get("on_progress")
    told = ""

    def on_event(event: Event) -> None:
        nonlocal told
        if isinstance(event, ItemReceived) and event.job_id == job_id:
            on_item(event)
        elif isinstance(event, JobChanged) and event.state.phase == "queued" and event.state.message not in ("", told):
            told = event.state.message  # why it has to wait: such as a worker that cannot start
            note(told)
        elif isinstance(event, JobChanged) and event.state.total:
            report(on_progress, event.state.stage, event.state.done, event.state.total)
        elif isinstance(event, UploadProgress):
            report(on_progress, f"upload {event.name}", event.done, event.total)
        check(watch.get("cancel"))

    try:
        client.wait_job(job_id, None, on_event=on_event)
    except Cancelled:
        if cancel_job:
            client.cancel(job_id)
        raise


def collect(
    client: Client, job_id: str, folder: Path, watch: Watch, *, cancel_job: bool, sound: Path | None = None
) -> str:
    """Write a job's items into ``folder``, all or nothing; then the backend deletes them.

    A take becomes the next free one. Other results lie in the folder itself, or, if it holds some already, in the next
    free folder in it: two results never mix. ``sound`` is the clip's video, if it is here: what is heard with a
    take. Returns what was written, for people. Raises what :func:`follow` raises,
    OutputError, ClipError.
    """
    with staged_folder(folder) as staging:
        items = staging / "items"
        items.mkdir()
        files: list[Path] = []
        follow(client, job_id, lambda item: files.append(write_item(items, item)), watch, cancel_job=cancel_job)
        if (items / TAKE_FILE).exists():
            take = write_received_take(folder, items, watch, sound=sound)
            written = f"{take}\n{take.with_suffix('.mp4')}"
            shutil.rmtree(items)
        else:
            target = _free_place(folder, files)
            written = f"{len(files)} files in {target}"
            if target == folder:
                for file in items.iterdir():
                    file.rename(staging / file.name)
                items.rmdir()
            else:
                items.rename(staging / target.name)
    client.ask(m.AckResults(job_id=job_id))
    return written


def _free_place(folder: Path, files: list[Path]) -> Path:
    """``folder``, or a new one in it where it holds results of the same kinds, with which these would mix."""
    kinds = {re.sub(r"_\d+$", "", file.stem) for file in files}
    mixes = folder.is_dir() and any(re.sub(r"_\d+$", "", file.stem) in kinds for file in folder.iterdir())
    return free_path(folder / "results") if mixes else folder


def write_item(folder: Path, item: ItemReceived) -> Path:
    """One item as a file in ``folder``: PNG as it came, JSON as it came, arrays as .npy. Raises OSError.

    Its name comes from the backend, so it is made a plain file name: it never leads out of the folder.
    """
    name = plain_name(item.name)
    stem = name if item.frame < 0 else f"{name}_{item.frame + 1:04d}"
    path = folder / f"{stem}.{_ENDINGS.get(item.item.encoding, item.item.encoding)}"
    if item.item.encoding == "raw":
        np.save(path, item.array(), allow_pickle=False)
    else:
        path.write_bytes(item.data)
    return path


def write_received_take(folder: Path, items: Path, watch: Watch, *, sound: Path | None = None) -> Path:
    """Write the take whose frames, layers, description lie in ``items`` as the next free one of ``folder``.

    ``sound`` is the file that holds its sound; without it the take has none, and that is said.
    Raises OutputError, ClipError, Cancelled.
    """
    info = decode_take((items / TAKE_FILE).read_bytes(), "The backend's description of the take")
    frames = np.stack([read_rgb(items / frame_name(i)) for i in range(info.num_frames)])
    names = [f"{RIGHT}_{i + 1:04d}.png" for i in range(info.num_frames if info.eyes is not None else 0)]
    right = np.stack([read_rgb(items / name) for name in names]) if names else None
    heard = sound_of_take(info)
    if heard is not None and sound is None:
        note("The clip's sound is left out: the clip itself is not at hand.")
        info = structs.replace(info, footage=structs.replace(info.footage, sound=False))
    take = take_of(frames, info, right)
    if heard is not None and sound is not None:
        take = replace(take, sound=Sound(sound, heard))
    kinds = ("layers", "right_layers") if names else ("layers",)
    layers = [items / f"{kind}_{i + 1:04d}.exr" for kind in kinds for i in range(info.num_frames) if info.layers]
    return save_take(folder, take, layer_files=layers, **watch)
