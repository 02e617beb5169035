"""What comes back from a backend: a job's items followed as they come, written as files, or as a take."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ex4d.clip.images import image_files, read_rgb
from ex4d.progress import Watch, check, report
from ex4d.takes import save_take, take_of
from ex4d_ground.errors import Cancelled
from ex4d_ground.files import staged_folder
from ex4d_ground.takes import TAKE_FILE, decode_take
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client
from ex4d_protocol.events import Event, ItemReceived, JobChanged, UploadProgress


def follow(
    client: Client, job_id: str, on_item: Callable[[ItemReceived], object], watch: Watch, *, cancel_job: bool = True
) -> None:
    """Wait for a job's end; every item goes to ``on_item`` as it comes.

    Raises the protocol's errors; Cancelled if ``cancel`` is set, after stopping the job if ``cancel_job``.
    """
    on_progress = watch.get("on_progress")

    def on_event(event: Event) -> None:
        if isinstance(event, ItemReceived) and event.job_id == job_id:
            on_item(event)
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


def collect(client: Client, job_id: str, folder: Path, watch: Watch, *, cancel_job: bool) -> str:
    """Write a job's items into ``folder``, a take as the next free one, all or nothing; then the backend deletes them.

    Returns what was written, for people. Raises what :func:`follow` raises, OutputError, ClipError.
    """
    with staged_folder(folder) as staging:
        files: list[Path] = []
        follow(client, job_id, lambda item: files.append(write_item(staging, item)), watch, cancel_job=cancel_job)
        written = f"{len(files)} files in {folder}"
        if (staging / TAKE_FILE).exists():
            take = write_received_take(folder, staging, watch)
            written = f"{take}\n{take.with_suffix('.mp4')}"
            for file in files:
                file.unlink()
    client.ask(m.AckResults(job_id=job_id))
    return written


def write_item(folder: Path, item: ItemReceived) -> Path:
    """One item as a file: PNG as it came, JSON as it came, arrays as .npy. Raises OSError."""
    stem = item.name if item.frame < 0 else f"{item.name}_{item.frame + 1:04d}"
    path = folder / f"{stem}.{'npy' if item.item.encoding == 'raw' else item.item.encoding}"
    if item.item.encoding == "raw":
        np.save(path, item.array(), allow_pickle=False)
    else:
        path.write_bytes(item.data)
    return path


def write_received_take(folder: Path, items: Path, watch: Watch) -> Path:
    """Write the take whose frames, description lie in ``items`` as the next free one of ``folder``.

    Raises OutputError, ClipError, Cancelled.
    """
    info = decode_take((items / TAKE_FILE).read_bytes(), "The backend's description of the take")
    frames = np.stack([read_rgb(path) for path in image_files(items, [".png"])])
    return save_take(folder, take_of(frames, info), **watch)
