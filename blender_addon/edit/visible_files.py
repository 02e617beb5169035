"""The pictures of what the source shows of the mesh, kept in step with its edits.

They lie in the shot's ``visible`` folder, where the footage's material reads them. An edit or occlusion paint changes
them on its frames: those are asked of the backend, and the imported ones go to ``visible_import``, from where they come
back when the edit is gone. ``shown.json`` beside them says which edit each replaced frame shows.
"""

from pathlib import Path

import msgspec

from ex4d_ground.files import frame_name
from ex4d_protocol import events as ev
from ex4d_protocol.requests import BuildMesh

from ..jobs.clip import EditedClip, run_with_clip
from ..jobs.edit_uploads import FrameEdit
from ..scene.clip import StoredClip
from ..work import files
from ..work.errors import AddonError, StorageError
from ..work.link import BackendLink
from ..work.tasks import Steps, TaskProgress

IMPORTED_FOLDER = "visible_import"
STATE_FILE = "shown.json"
UNKNOWN = ""
"""What a frame shows while it is being replaced."""


def refresh(link: BackendLink, clip: StoredClip, folder: Path, edits: tuple[FrameEdit, ...]) -> Steps[int]:
    """Bring the pictures below ``folder`` in step with ``edits``, as steps; returns how many frames changed.

    Raises AddonError with the earlier pictures still in place, or StorageError.
    """
    shown = _read_state(folder)
    wanted = {edit.frame: key for edit in edits if edit.frame is not None and (key := _key(edit))}
    back = [t for t in shown if t not in wanted]
    ask = tuple(t for t, key in wanted.items() if shown.get(t) != key)
    pictures: dict[int, bytes] = {}
    if ask:

        def on_item(item: ev.ItemReceived) -> None:
            if item.name == "visible" and item.frame in ask:
                pictures[item.frame] = bytes(item.data)

        job_id = yield from run_with_clip(
            link,
            EditedClip(clip, edits),
            lambda spec: BuildMesh(clip=spec, visible_only=ask),
            title="Update visible faces",
            on_item=on_item,
        )
        link.client.ack(job_id)
        missing = [t for t in ask if t not in pictures]
        if missing:
            raise AddonError(f"The backend sent no visible faces for frame {missing[0] + 1}; look at its log.")
    if not back and not pictures:
        return 0
    _write_state(folder, {**shown, **dict.fromkeys((*back, *ask), UNKNOWN)})
    for count, t in enumerate((*back, *ask), 1):
        _replace(folder, t, pictures.get(t))
        yield TaskProgress("visible faces", count, len(back) + len(ask))
    _write_state(folder, wanted)
    return len(back) + len(ask)


def _replace(folder: Path, frame: int, picture: bytes | None) -> None:
    """Show ``picture``, or the imported one if None."""
    name = frame_name(frame)
    shown, imported = folder / files.VISIBLE_FOLDER / name, folder / IMPORTED_FOLDER / name
    try:
        if not imported.exists():
            if picture is None:
                return  # it was never replaced
            files.write_whole(imported, shown.read_bytes())
        files.write_whole(shown, imported.read_bytes() if picture is None else picture)
    except OSError as error:
        raise StorageError(f"Cannot read {error.filename}: {error.strerror}; import the clip again.") from error


def _key(edit: FrameEdit) -> str:
    """What an edit's files hold: they are named by their content. Thickness changes nothing here."""
    return " ".join(path.name for path in (edit.positions, edit.flags) if path is not None)


def _read_state(folder: Path) -> dict[int, str]:
    """Which edit every replaced frame shows; a damaged file means that this is not known of any."""
    path = folder / IMPORTED_FOLDER / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[int, str])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError):
        names = (p.stem.rpartition("_")[2] for p in path.parent.glob("frame_*.png"))
        return {int(number) - 1: UNKNOWN for number in names if number.isdigit()}


def _write_state(folder: Path, shown: dict[int, str]) -> None:
    files.write_whole(folder / IMPORTED_FOLDER / STATE_FILE, msgspec.json.encode(shown))
