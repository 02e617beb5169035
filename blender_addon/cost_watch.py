"""What the take that is set up now would cost, as the backend reckons it: asked on a change, never waited for."""

from __future__ import annotations

import logging
from typing import Any

import bpy

from ex4d_protocol.messages import CostQuery, CostReply

from . import camera, engine_settings, session
from .errors import AddonError
from .tasks import Steps

log = logging.getLogger(__package__)


class _Watch:
    def __init__(self) -> None:
        self.wanted: CostQuery | None = None
        self.asked: CostQuery | None = None
        self.answer: CostReply | None = None
        self.refused = ""
        self.steps: Steps[Any] | None = None
        self.address = ""


_watch = _Watch()


def of(scene: bpy.types.Scene, target: bpy.types.Object) -> CostReply | None:
    """The cost of a take of ``target`` with the scene's choices; None until it is known."""
    engine = scene.ex4d.engine
    width, height = camera.render_size(scene)
    _watch.wanted = CostQuery(
        engine=engine,
        num_frames=max(target.ex4d.num_frames, 1),
        width=max(width, 2),
        height=max(height, 2),
        settings={**engine_settings.values(scene, engine)},
    )
    return _watch.answer if _watch.asked == _watch.wanted else None


def refusal() -> str:
    """What the backend said against the settings asked about last; "" if nothing."""
    return _watch.refused if _watch.asked == _watch.wanted else ""


def can_ask() -> bool:
    """Whether the backend answers such questions: from protocol 1.1 on."""
    link = session.get().link
    welcome = link.client.welcome if link is not None else None
    return welcome is None or (welcome.major, welcome.minor) >= (1, 1)


def tick() -> bool:
    """Called by the timer: ask if something has changed, and take the answer. Returns whether one came."""
    current = session.get()
    if not current.connected or current.link is None or not can_ask():
        return False
    if _watch.address != current.address:
        _watch.address, _watch.asked, _watch.steps = current.address, None, None
    if _watch.steps is None:
        if _watch.wanted is None or _watch.wanted == _watch.asked:
            return False
        query, link = _watch.wanted, current.link
        _watch.asked, _watch.answer, _watch.refused = query, None, ""
        _watch.steps = link.ask(lambda: link.client.query_cost(query))
    try:
        next(_watch.steps)
        return False
    except StopIteration as end:
        _watch.answer = end.value
    except AddonError as error:
        log.info("no cost: %s", error)
        _watch.refused = str(error)
    _watch.steps = None
    return True


def lines(found: CostReply) -> list[str]:
    """The cost in short lines for a panel."""
    made = [f"{found.num_frames} frame{'' if found.num_frames == 1 else 's'}"]
    if found.forwards:
        windows = f"{found.windows} window{'' if found.windows == 1 else 's'}"
        tiles = f", refined in {found.tiles} tiles" if found.passes > 1 else ""
        made = [f"{made[0]} in {windows}, {found.forwards} runs of the model{tiles}"]
    if found.peak_bytes:
        of_all = f" of {found.device_bytes / 2**30:.0f}" if found.device_bytes else ""
        made.append(f"Memory plan {found.plan}: about {found.peak_bytes / 2**30:.1f}{of_all} GiB")
    if found.seconds:
        made.append(f"Roughly {rough_time(found.seconds)}{' once it is loaded' if found.forwards else ''}")
    elif not found.problem:
        made.append("How long it takes on this device is not known")
    return made


def rough_time(seconds: float) -> str:
    """A time as roughly as it is known: "10 s", "4 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds)) if seconds < 10 else round(seconds / 10) * 10} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
