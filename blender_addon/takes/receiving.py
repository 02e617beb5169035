"""Receiving a take: from a job just submitted, or from one that outlived a connection or Blender itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import structs

from ex4d_ground.errors import ClipError
from ex4d_ground.files import frame_name
from ex4d_ground.remedies import connect
from ex4d_ground.stereo import RIGHT
from ex4d_ground.takes import (
    LAYERS,
    PARTIAL_FILE,
    TAKE_FILE,
    TakeInfo,
    claim_take_folder,
    decode_take,
    describe,
    read_unfinished_take_info,
)
from ex4d_protocol import events as ev
from ex4d_protocol.requests import Generate

from ..jobs.clip import EditedClip, run_with_clip
from ..work import files
from ..work.errors import AddonError, LinkLost, StoppedKeeping, StorageError, TaskCancelled
from ..work.identity import Identity, OpenTake
from ..work.link import BackendLink, JobRefused
from ..work.tasks import Steps
from ..work.writer import FolderWriter

JOB = "job"
"""Where a take's metadata name the backend's job that made it."""
UNKNOWN = "unknown_job"
"""The protocol's code for a job that a server does not have."""


def generate(
    link: BackendLink,
    make: Callable[..., Generate],
    clip: EditedClip,
    folder: Path,
    *,
    identity: Identity,
    note: Callable[[str, Path], OpenTake],
    about: TakeInfo,
) -> Steps[Path]:
    """Generate a take into the next free ``take_NNN`` of ``folder``. Its ``take.json`` is written last.

    ``note`` makes the journal's entry from the job's id and the take's folder. ``about`` says what the take will be,
    in the words of ``take.json``, as long as it is not whole.
    """
    with files.writing(folder):
        target = claim_take_folder(folder)
    submitted: list[str] = []

    def on_submit(job_id: str) -> None:
        _forget(identity, submitted)
        identity.remember(note(job_id, target))
        submitted[:] = [job_id]

    job = partial(run_with_clip, link, clip, make, title=f"Generate {target.name}", on_submit=on_submit)
    with _journalled(identity, submitted):
        return (yield from _receive(link, job, FolderWriter(target, in_place=True), about, submitted))


def resume(link: BackendLink, identity: Identity, entry: OpenTake, *, backend: str) -> Steps[Path]:
    """Receive a take that was under way when Blender or the connection went; ``backend`` is who is asked for it.

    Nothing that is on disk goes before its successor has come. Raises AddonError, with all kept, if that backend does
    not know the take.
    """
    target = Path(entry.folder)
    state = _state_of(target, entry.job_id)
    if state == "whole":
        identity.forget(entry.job_id)
        _acknowledge(link, entry.job_id)
        return target
    if state == "another":  # the folder was removed, and a later take has got its number
        with files.writing(target.parent):
            target = claim_take_folder(target.parent)
        identity.remember(structs.replace(entry, folder=str(target)))
    about, writer = _about(target, entry), FolderWriter(target, in_place=True, added_to=True)
    job = partial(link.follow_job, entry.job_id)
    try:
        with _journalled(identity, [entry.job_id]):
            return (yield from _receive(link, job, writer, about, [entry.job_id]))
    except JobRefused as refused:
        if refused.code != UNKNOWN:
            raise
        raise _not_there(identity, structs.replace(entry, folder=str(target)), backend) from refused


def receive_waiting(
    link: BackendLink, identity: Identity, entries: Sequence[OpenTake], *, backend: str
) -> Steps[list[Path]]:
    """Receive takes that a backend holds and no journal knows, each into the next free ``take_NNN`` of its entry's
    folder. Raises AddonError at the first that does not come; what came before it is there.
    """
    folders: list[Path] = []
    for entry in entries:
        with files.writing(Path(entry.folder)):
            target = claim_take_folder(Path(entry.folder))
        noted = structs.replace(entry, folder=str(target))
        identity.remember(noted)
        folders.append((yield from resume(link, identity, noted, backend=backend)))
    return folders


def _state_of(target: Path, job_id: str) -> Literal["whole", "open", "another"]:
    """What a journal entry's folder holds by now: its whole take, a part of it or nothing, or another take."""
    try:
        info = read_unfinished_take_info(target)
    except ClipError:
        return "open"  # nothing, or a description that a power cut has damaged: it comes again
    if info.metadata.get(JOB, job_id) != job_id:
        return "another"
    return "whole" if (target / TAKE_FILE).exists() else "open"


def _acknowledge(link: BackendLink, job_id: str) -> None:
    """Let the backend delete what is safe here."""
    link.client.follow(job_id, fetch=False)
    link.client.ack(job_id)


def _not_there(identity: Identity, entry: OpenTake, backend: str) -> AddonError:
    """The backend does not know this take: why, and what becomes of it."""
    target = Path(entry.folder)
    with suppress(OSError):
        target.rmdir()  # made for frames that did not come
    there = len(list(target.glob("frame_*.png")))
    kept = f"; its {there} frame{'' if there == 1 else 's'} here {'is' if there == 1 else 'are'} kept" if there else ""
    if entry.backend in ("", backend):
        identity.forget(entry.job_id)
        return AddonError(f"The backend does not know {target.name} any more{kept}.")
    return AddonError(
        f"{target.name} is made by another backend ({entry.backend}){kept}.",
        remedy=connect("to that one to receive it"),
    )


def _receive(
    link: BackendLink, job: Callable[..., Steps[str]], folder: FolderWriter, about: TakeInfo, submitted: list[str]
) -> Steps[Path]:
    """Have the take written as it comes; returns its folder. ``submitted`` holds the job's id by then."""
    with folder as writer, _keeping(writer):
        items = _TakeItems(writer, about, submitted)
        job_id = yield from job(on_item=items.take, into=writer)
        items.finish()
        yield from writer.finish()
    link.client.ack(job_id)
    return writer.folder


class _TakeItems:
    """Has a Generate job's items written as they come."""

    def __init__(self, writer: FolderWriter, about: TakeInfo, submitted: list[str]):
        self._writer = writer
        self._submitted = submitted
        self._about = about
        self._coverage: list[float] = []
        self._info = about
        self._frames: set[int] = set()
        self._layers: set[int] = set()
        self._right: set[int] = set()
        self._right_layers: set[int] = set()

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises StorageError if an earlier one could not be written."""
        if item.name == "frame":
            if not self._frames:
                self._writer.write(PARTIAL_FILE, self._encoded(self._about))
            self._writer.write(frame_name(item.frame), item.data)
            self._frames.add(item.frame)
        elif item.name == "layers":
            self._writer.write(Path(LAYERS, frame_name(item.frame, ".exr")), item.data)
            self._layers.add(item.frame)
        elif item.name == "right":
            self._writer.write(Path(RIGHT, frame_name(item.frame)), item.data)
            self._right.add(item.frame)
        elif item.name == "right_layers":
            self._writer.write(Path(RIGHT, LAYERS, frame_name(item.frame, ".exr")), item.data)
            self._right_layers.add(item.frame)
        elif item.name == "coverage":
            self._coverage = item.array().tolist()
        elif item.name == "take":
            self._info = decode_take(bytes(item.data), "The backend's description of the take")

    def finish(self) -> None:
        """Have ``take.json`` written. Raises AddonError if a frame is missing."""
        count = len(self._frames)
        if not count or self._frames != set(range(count)):
            raise AddonError(f"The take has gaps: only {count} frames came back; generate it again.")
        both = self._info.eyes is not None
        if both and self._right != self._frames:
            raise AddonError(f"The take has gaps: only {len(self._right)} frames of its right eye came; make it again.")
        for layers in (self._layers, self._right_layers) if both else (self._layers,):
            if self._info.layers and layers != self._frames:
                raise AddonError(f"The take has gaps: layers of only {len(layers)} frames came; generate it again.")
        info = structs.replace(self._info, num_frames=count, coverage=self._coverage)
        path = self._writer.folder / TAKE_FILE
        self._writer.hand(partial(files.write_whole, path, self._encoded(info), durable=True))
        self._writer.hand((self._writer.folder / PARTIAL_FILE).unlink)

    def _encoded(self, info: TakeInfo) -> bytes:
        """The description with the job that it is of: so a folder is known again, and no other is taken for it."""
        return structs.replace(info, metadata={**info.metadata, JOB: self._submitted[0]}).encoded().encode()


@contextmanager
def _keeping(writer: FolderWriter) -> Iterator[None]:
    """Leave the frames that have arrived, unless the user said that they may go."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, TaskCancelled) and not isinstance(error, StoppedKeeping):
            writer.discard()
        elif (writer.folder / PARTIAL_FILE).exists():
            writer.keep()
        raise


def _about(folder: Path, entry: OpenTake) -> TakeInfo:
    """What an earlier try wrote about the take, or the journal's entry if it came to nothing."""
    with suppress(ClipError):
        return read_unfinished_take_info(folder)
    return describe(entry.engine, seed=entry.seed, settings=dict(entry.settings), num_frames=entry.num_frames)


@contextmanager
def _journalled(identity: Identity, submitted: list[str]) -> Iterator[None]:
    """Strike the entry off once there is nothing left to find again: not while the job may still be running."""
    try:
        yield
    except (LinkLost, GeneratorExit):
        raise
    except JobRefused as refused:
        if refused.code not in (UNKNOWN, "item_damaged"):
            _forget(identity, submitted)
        raise
    except StorageError as error:
        if not submitted:
            raise
        why = str(error).split(";")[0]
        text = f"{why}; the backend keeps the take: free some space."
        raise StorageError(text, error.detail, remedy=connect("to receive it")) from error
    except BaseException:
        _forget(identity, submitted)
        raise
    _forget(identity, submitted)


def _forget(identity: Identity, submitted: list[str]) -> None:
    for job_id in submitted:
        identity.forget(job_id)
