"""Writing a take in other formats: its pictures as they are, or what the backend makes of it in the plate's depth."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import structs

from ex4d_ground.exports import KINDS as FORMATS
from ex4d_ground.exports import LAYOUTS as EYES
from ex4d_ground.exports import ExportKind, export_paths, get_kind, layout_of, name_template
from ex4d_ground.files import frame_name, made_folder, told_as
from ex4d_ground.stereo import RIGHT
from ex4d_ground.takes import LAYERS, TakeInfo, missing_frames, shot_name, sound_of_take, take_number
from ex4d_protocol import events as ev
from ex4d_protocol.client import Upload
from ex4d_protocol.requests import ExportTake

from ..scene import shot
from ..work import files
from ..work.chosen import chosen_folder
from ..work.errors import AddonError
from ..work.link import BackendLink
from ..work.tasks import Steps
from ..work.writer import FolderWriter
from . import listing

KINDS = (("PNG", "PNG Sequence", "The frames as they are, 8 bits"),)
WEB = "WEB"
CHOICES = (
    *KINDS,
    *((kind.name, kind.title, "Made by the backend") for kind in FORMATS.values()),
    (WEB, "Web Page", "The shot in depth, with this take to switch to, as one file for a browser; made by the backend"),
)
"""What an artist can choose from."""
EYES_CHOICES = tuple((each.name, each.title, "Of a stereo take; others have one eye alone") for each in EYES.values())


@dataclass(frozen=True)
class TakeExport:
    """A take on its way out. Holds no Blender data."""

    source: Path
    info: TakeInfo
    kind: ExportKind
    folder: Path
    paths: tuple[Path, ...]
    """The files, below ``folder``, in order."""
    sound: Path | None = None
    ocio: Path | None = None
    eyes: str = ""
    """How both eyes of a stereo take are shown; "" of any other."""
    note: str = ""
    """What the artist should know."""

    @property
    def shown(self) -> str:
        """The first file, for people."""
        return str(self.folder / self.paths[0])


def copy(take: Any, folder: Path) -> Path:
    """Copy the pictures of ``take`` to a folder of a free name below ``folder``; returns it. Raises AddonError."""
    source = listing.require_frames(take)
    target = files.free_path(folder / f"{take.name}_PNG")
    with files.writing(target), made_folder(folder):
        try:
            files.copy_folder(source, target, leave=LAYERS)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
    return target


def planned(take: Any, kind: str, name: str, folder: Path, eyes: str = "") -> TakeExport:
    """What an export comes to, checked; ``eyes`` counts where the take has two.

    Raises AddonError, SettingError for a name that is no template.
    """
    source, chosen = listing.require_whole(take), get_kind(kind)
    info = structs.replace(listing.read_info(source), num_frames=take.num_frames)
    layout = layout_of(eyes or None, stereo=True) if info.eyes is not None else None
    lost = missing_frames(source, info)
    if lost:
        raise listing.lost_frames(take, source)
    template = name_template(chosen, name.strip() or None, layout)
    paths = export_paths(info, chosen, template, shot=shot_name(info, source), take=take_number(source))
    there = next((path for path in paths if (folder / path).exists()), None)
    if there is not None:
        raise AddonError(f"{folder / there} is there already; choose another name or folder.")
    target = shot.by_id(take.shot_id)
    clip = None if target is None else shot.unfilmed_clip(target)
    sound, note = None, ""
    if not chosen.numbered and sound_of_take(info) is not None:
        sound = None if clip is None or not clip.video.is_file() else clip.video
        note = "" if sound is not None else "The clip's sound is left out: its video is not where it was."
    ocio = None if clip is None else clip.ocio
    shown = "" if layout is None else layout.name
    return TakeExport(source, info, chosen, folder, tuple(paths), sound, ocio, shown, note)


def written(link: BackendLink, plan: TakeExport) -> Steps[TakeExport]:
    """Have the backend make the export, and write its files; all of them or none. Raises AddonError."""
    sent = _Sent.of(link.client.upload, plan)
    staging = files.free_folder(plan.folder, files.UNFINISHED)
    with (
        files.writing(plan.folder),
        made_folder(plan.folder),
        told_as(staging, plan.folder),
        FolderWriter(staging, in_place=True) as writer,
    ):

        def on_item(item: ev.ItemReceived) -> None:
            writer.write(frame_name(max(item.frame, 0), plan.kind.suffix), item.data)

        job_id = yield from link.run_job(
            lambda: sent.request(plan), after=sent.all, title=f"Export {plan.source.name}", on_item=on_item, into=writer
        )
        writer.hand(partial(_take_places, staging, plan))
        yield from writer.finish()
    link.client.ack(job_id)
    return plan


def _take_places(staging: Path, plan: TakeExport) -> None:
    """Give the files their names, all or none. Raises StorageError, AddonError for a name that is taken meanwhile."""
    given: list[Path] = []
    try:
        for i, path in enumerate(plan.paths):
            target = plan.folder / path
            with files.writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    raise AddonError(f"{target} is there already; choose another name or folder.")
                (staging / frame_name(i, plan.kind.suffix)).rename(target)
            given.append(target)
    except BaseException:
        for target in given:
            target.unlink(missing_ok=True)
        raise
    with files.writing(staging):
        staging.rmdir()


@dataclass(frozen=True)
class _Sent:
    """The take's files on their way to the backend."""

    take: Upload
    frames: tuple[Upload, ...]
    layers: tuple[Upload, ...]
    right: tuple[Upload, ...]
    right_layers: tuple[Upload, ...]
    sound: Upload | None
    ocio: Upload | None

    @classmethod
    def of(cls, upload: Callable[[Path | bytes], Upload], plan: TakeExport) -> "_Sent":
        indices = range(plan.info.num_frames)
        eyes = [plan.source] if plan.info.eyes is None else [plan.source, plan.source / RIGHT]
        kept = [[folder / LAYERS / frame_name(i, ".exr") for i in indices if plan.info.layers] for folder in eyes]
        layers, right_layers = kept if len(kept) > 1 else (kept[0], [])
        lost = next((path for path in (*layers, *right_layers) if not path.is_file()), None)
        if lost is not None:
            raise AddonError(f"{lost} is not there any more; generate the take again.")
        return cls(
            take=upload(plan.info.encoded().encode()),
            frames=tuple(upload(plan.source / frame_name(i)) for i in indices),
            layers=tuple(map(upload, layers)),
            right=tuple(upload(eyes[1] / frame_name(i)) for i in indices if len(eyes) > 1),
            right_layers=tuple(map(upload, right_layers)),
            sound=None if plan.sound is None else upload(plan.sound),
            ocio=None if plan.ocio is None else upload(plan.ocio),
        )

    @property
    def all(self) -> tuple[Upload, ...]:
        more = (self.sound, self.ocio)
        return (
            self.take,
            *self.frames,
            *self.layers,
            *self.right,
            *self.right_layers,
            *(each for each in more if each is not None),
        )

    def request(self, plan: TakeExport) -> ExportTake:
        return ExportTake(
            take=self.take.ref,
            frames=tuple(each.ref for each in self.frames),
            layers=tuple(each.ref for each in self.layers),
            right=tuple(each.ref for each in self.right),
            right_layers=tuple(each.ref for each in self.right_layers),
            eyes=plan.eyes,
            kind=plan.kind.name,
            sound=None if self.sound is None else self.sound.ref,
            sound_start=sound_of_take(plan.info) or 0.0,
            ocio=None if self.ocio is None else self.ocio.ref,
        )


def folder_of(directory: str) -> Path:
    """The chosen folder. Raises AddonError if there is none, or it cannot be."""
    if not directory:
        raise AddonError("No folder is chosen; choose where the take's files go.")
    return chosen_folder(directory)
