"""A shot as a web page, with a take of it: the backend makes it of the edited mesh and the take's pictures."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from msgspec import structs

from ex4d_ground.files import frame_name
from ex4d_ground.remedies import update_backend
from ex4d_ground.takes import TakeInfo, take_number
from ex4d_protocol import events as ev
from ex4d_protocol import minors
from ex4d_protocol.client import Upload
from ex4d_protocol.requests import ClipSpec, MeshSpec, WebPage

from ..edit import collect, occluders
from ..jobs.clip import EditedClip, run_with_clip
from ..scene import shot
from ..work import files
from ..work.errors import AddonError
from ..work.link import BackendLink
from ..work.tasks import Steps
from . import listing

PAGE = "index.html"


@dataclass(frozen=True)
class PagePlan:
    """A page on its way. Holds no Blender data."""

    clip: EditedClip
    mesh: MeshSpec
    source: Path
    """The take's folder."""
    info: TakeInfo
    page: Path
    notes: tuple[str, ...] = ()
    """What the artist may not expect of it, each a sentence."""


def planned(context: bpy.types.Context, take: Any, folder: Path) -> PagePlan:
    """What a page with ``take`` comes to, checked; it gets a folder of its own in ``folder``. Raises AddonError."""
    source = listing.require_whole(take)
    target = shot.by_id(take.shot_id)
    if target is None:
        raise AddonError(f"The shot of {take.name} is not in this scene any more; a page needs its depth.")
    told = listing.read_info(source)
    info = structs.replace(told, num_frames=take.num_frames, eyes=None)
    clip = EditedClip(shot.stored_clip(target), collect.collect(target, shot.output_folder(target)))
    page = files.free_path(folder / f"{take.name}_web") / PAGE
    names = ", ".join(sorted({str(each.get("name", "object")) for each in info.objects}))
    notes = [f"Guide objects are left out of the page: {names}."] if names else []
    if told.eyes is not None:
        notes.append("The page has the take's left eye alone.")
    mesh = occluders.mesh_spec(target)
    if mesh.options.mode != "solid":
        notes.append("The page has solid occluders, not the endless ones of the shot.")
    if mesh.options.other_frames:
        notes.append("A page shows of each moment its own pixels alone; what other frames saw is left out.")
    return PagePlan(clip, mesh, source, info, page, tuple(notes))


def written(link: BackendLink, plan: PagePlan) -> Steps[Path]:
    """Have the backend make the page, and write it; returns the file. Raises AddonError."""
    if minors.lacks(link.client.welcome, "WebPage"):
        raise AddonError("The backend is too old for web pages.", remedy=update_backend())
    take = link.client.upload(plan.info.encoded().encode())
    frames = tuple(link.client.upload(plan.source / frame_name(i)) for i in range(plan.info.num_frames))
    pages: list[bytes] = []

    def on_item(item: ev.ItemReceived) -> None:
        if item.name == "page":
            pages.append(bytes(item.data))

    make = partial(_request, plan, take, frames)
    job_id = yield from run_with_clip(
        link, plan.clip, make, more=(take, *frames), title=f"Web page with {plan.source.name}", on_item=on_item
    )
    if not pages:
        raise AddonError("The backend sent no page; look at the backend's log.")
    files.write_whole(plan.page, pages[0])
    link.client.ack(job_id)
    return plan.page


def _request(plan: PagePlan, take: Upload, frames: tuple[Upload, ...], clip: ClipSpec) -> WebPage:
    refs = tuple(each.ref for each in frames)
    return WebPage(clip=clip, mesh=plan.mesh, take=take.ref, take_number=take_number(plan.source), frames=refs)
