"""What the take that is set up now would cost, as the backend reckons it: asked on a change, never waited for."""

from dataclasses import dataclass, field

import bpy
import msgspec

from ex4d_ground.costs import Cost, rough_time
from ex4d_protocol.messages import CostQuery, CostReply

from ..scene import cameras
from ..work import session, timer
from ..work.addon import log
from ..work.errors import AddonError
from ..work.hooks import Listeners
from ..work.tasks import Stepper
from . import engine_settings


@dataclass
class _Watch:
    wanted: CostQuery | None = None
    asked: CostQuery | None = None
    answer: Cost | None = None
    refused: str = ""
    address: str = ""
    steps: Stepper[CostReply] = field(default_factory=Stepper)


_watch = _Watch()


def of(scene: bpy.types.Scene, target: bpy.types.Object) -> Cost | None:
    """The cost of a take of ``target`` with the scene's choices; None until it is known."""
    engine = scene.ex4d.engine
    width, height = cameras.render_size(scene)
    _watch.wanted = CostQuery(
        engine=engine,
        num_frames=max(target.ex4d.num_frames, 1),
        width=max(width, 2),
        height=max(height, 2),
        settings={**engine_settings.values(scene, engine)},
    )
    cost = _watch.answer if _watch.asked == _watch.wanted else None
    if cost is None or cost.seconds is None or not scene.ex4d.stereo:
        return cost
    return msgspec.structs.replace(cost, seconds=2 * cost.seconds)  # both eyes, one after the other


def refusal() -> str:
    """What the backend said against the settings asked about last; "" if nothing."""
    return _watch.refused if _watch.asked == _watch.wanted else ""


def can_ask() -> bool:
    """Whether the backend answers such questions: from protocol 1.1 on."""
    link = session.get().link
    welcome = link.client.welcome if link is not None else None
    return welcome is None or (welcome.major, welcome.minor) >= (1, 1)


def tick(_context: object = None) -> bool:
    """Called by the timer: ask if something has changed, and take the answer. Returns whether one came."""
    current = session.get()
    link = current.link
    if not current.connected or link is None or not can_ask():
        return False
    if _watch.address != current.address:
        _watch.address, _watch.asked = current.address, None
        _watch.steps.drop()
    query = _watch.asked if _watch.steps.under_way else _watch.wanted
    if query is None or (query == _watch.asked and not _watch.steps.under_way):
        return False
    if query != _watch.asked:
        _watch.asked, _watch.answer, _watch.refused = query, None, ""
    try:
        reply = _watch.steps.step(lambda: link.ask(query))
        _watch.answer = reply.cost if reply is not None else None
    except AddonError as error:
        log.info("no cost: %s", error)
        _watch.refused = error.text("panel")
    return not _watch.steps.under_way


listeners = Listeners((timer.ticked, tick))


def lines(cost: Cost) -> list[str]:
    """The cost in short lines for a panel."""
    made = [f"{cost.frames} frame{'' if cost.frames == 1 else 's'}"]
    if cost.forwards:
        windows = f"{cost.windows} window{'' if cost.windows == 1 else 's'}"
        tiles = f", refined in {cost.tiles} tiles" if cost.passes > 1 else ""
        made = [f"{made[0]} in {windows}, {cost.forwards} runs of the model{tiles}"]
    if cost.peak_bytes:
        of_all = f" of {cost.gpu_bytes / 2**30:.0f}" if cost.gpu_bytes else ""
        made.append(f"Memory plan {cost.plan}: about {cost.peak_bytes / 2**30:.1f}{of_all} GiB")
        if cost.gpus > 1:
            made.append(f"{cost.gpus} GPUs make it together; the memory is of each")
    if cost.memory_bytes:
        disk = f", {cost.disk_bytes / 2**30:.1f} GiB of its scratch disk" if cost.disk_bytes else ""
        made.append(f"About {cost.memory_bytes / 2**30:.1f} GiB of the backend's main memory{disk}")
    if cost.seconds:
        made.append(f"Roughly {rough_time(cost.seconds)}{' once it is loaded' if cost.forwards else ''}")
    elif not cost.problem:
        made.append("How long it takes on this device is not known")
    return made
