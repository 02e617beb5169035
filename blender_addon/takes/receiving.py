"""Receiving a take: from a job just submitted, or from one that outlived a connection or Blender itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec import structs

from ex4d_ground.errors import ClipError
from ex4d_ground.files import frame_name
from ex4d_ground.remedies import connect
from ex4d_ground.takes import (
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
from ..work.errors import AddonError, JobFailed, LinkLost, StoppedKeeping, StorageError
from ..work.identity import Identity, OpenTake
from ..work.link import BackendLink
from ..work.tasks import Steps
from ..work.writer import FolderWriter


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

    job = partial(run_with_clip, link, clip, make, title="Generate", on_submit=on_submit)
    with _journalled(identity, submitted):
        return (yield from _receive(link, job, FolderWriter(target, in_place=True), about))


def resume(link: BackendLink, identity: Identity, entry: OpenTake) -> Steps[Path]:
    """Receive a take that was under way when Blender or the connection went."""
    target = Path(entry.folder)
    # Frames of the earlier try make way: all come again.
    about, writer = _about(target, entry), FolderWriter(target, replaces=True, in_place=True)
    with _journalled(identity, [entry.job_id]):
        return (yield from _receive(link, partial(link.follow_job, entry.job_id), writer, about))


def _receive(link: BackendLink, job: Callable[..., Steps[str]], folder: FolderWriter, about: TakeInfo) -> Steps[Path]:
    """Have the take written as it comes; returns its folder."""
    with folder as writer, _keeping(writer):
        items = _TakeItems(writer, about)
        job_id = yield from job(on_item=items.take, into=writer)
        items.finish()
        yield from writer.finish()
    link.client.ack(job_id)
    return writer.folder


class _TakeItems:
    """Has a Generate job's items written as they come."""

    def __init__(self, writer: FolderWriter, about: TakeInfo):
        self._writer = writer
        self._about = about
        self._coverage: list[float] = []
        self._info = about
        self._frames: set[int] = set()

    def take(self, item: ev.ItemReceived) -> None:
        """Store one item. Raises StorageError if an earlier one could not be written."""
        if item.name == "frame":
            if not self._frames:
                self._writer.write(PARTIAL_FILE, self._about.encoded().encode())
            self._writer.write(frame_name(item.frame), item.data)
            self._frames.add(item.frame)
        elif item.name == "coverage":
            self._coverage = item.array().tolist()
        elif item.name == "take":
            self._info = decode_take(bytes(item.data), "The backend's description of the take")

    def finish(self) -> None:
        """Have ``take.json`` written. Raises AddonError if a frame is missing."""
        count = len(self._frames)
        if not count or self._frames != set(range(count)):
            raise AddonError(f"The take has gaps: only {count} frames came back; generate it again.")
        info = structs.replace(self._info, num_frames=count, coverage=self._coverage)
        self._writer.write(TAKE_FILE, info.encoded().encode())
        self._writer.hand((self._writer.folder / PARTIAL_FILE).unlink)


@contextmanager
def _keeping(writer: FolderWriter) -> Iterator[None]:
    """Leave the frames that have arrived where the user wants it, and where nobody said that they may go."""
    try:
        yield
    except (StoppedKeeping, JobFailed, LinkLost, GeneratorExit):
        if (writer.folder / PARTIAL_FILE).exists():
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
