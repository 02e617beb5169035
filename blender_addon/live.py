"""Live mode: shows at once what the backend would be given of the shot, while its camera is being moved.

Blender's handlers notice changes and, if nothing is under way, ask at once; the timer asks the rest: the newest camera
when an answer has come, the sharp picture when the camera rests, the move's coverage when nothing moves any more. At
most one picture and one coverage are under way; whatever answers an older request is dropped by its number.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import ExitStack
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol import events as ev
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress

from . import coverage, guide_objects, live_camera, overlay, session
from .errors import AddonError
from .link import Link
from .live_camera import Now
from .live_follow import Follower
from .live_lane import Lane, next_sequence
from .live_meter import Meter, too_slow
from .live_sources import Sources, same

log = logging.getLogger(__package__)

REST_S = 0.2
"""A camera that has not moved for so long rests: then the picture is drawn at full size."""
REST_COVERAGE_S = 0.5
ECHO_S = 0.3
"""For so long after the mesh was evaluated to look for edits, its being reported as changed may come from that."""
COVERAGE_SIDE = 256
"""Coverage is counted on pictures of about this size."""
GIVE_UP_S = 10.0
"""Without any news of a request for so long, the link is too slow whatever its round trips were."""


SILENT = "The backend is silent; live views go on when it is back."


class Live:
    """The state of live mode; holds names and numbers, no Blender data. One for all scenes."""

    def __init__(self) -> None:
        self.enabled = self.auto_coverage = False
        self.moving_scale = 0.5
        """Size of the picture while the camera moves, as a share of the render's."""
        self.limit_ms = 400.0
        self.note, self.note_is_error = "", False
        """What people should know: what it waits for, or why it stands still."""
        self.paused = ""
        """Why it paused by itself; "" while it runs."""
        self.meter = Meter()
        self.pictures, self.coverages = Lane(), Lane()
        self._link: Link | None = None
        self._inbox: deque[ev.Event] = deque()
        self._attached = ExitStack()
        self._sources: Sources | None = None
        self._now: Now | None = None
        self._scene_name = ""
        self._changed_at = 0.0
        self._moving = False
        self._shown: tuple[Now, float] | None = None
        self._asked: tuple[Now, float] | None = None
        self._move_changed_at: float | None = None
        self._follower = Follower()
        self._partial: NDArray[np.float64] = np.empty(0)
        self._move_seen: tuple[Any, ...] | None = None
        self._look_again_at: float | None = None
        self._looked_again = False

    # --- what people switch -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything is to be done at all."""
        return (self.enabled or self.auto_coverage) and not self.paused

    @property
    def waiting(self) -> bool:
        """Whether the timer should come back soon."""
        return self.active and (self.pictures.is_open or self.pictures.wanted or self.coverages.is_open)

    @property
    def is_sharp(self) -> bool:
        """Whether the picture shown is that of the present camera at full size."""
        return self._now is not None and self._shown == (self._now, self._full_scale(self._now))

    @property
    def computes_coverage(self) -> bool:
        """Whether the coverage of the move is still to come."""
        return self._move_changed_at is not None or self.coverages.is_open

    @property
    def camera_bytes(self) -> bytes:
        """The present camera's pose, to tell it from others."""
        return self._now.trajectory.world_from_camera if self._now is not None else b""

    @property
    def shown_camera_bytes(self) -> bytes:
        """The pose of the camera whose picture is shown."""
        return self._shown[0].trajectory.world_from_camera if self._shown is not None else b""

    def restart(self) -> None:
        """Begin afresh: switched on, resumed, or everything may be different (undo, another file)."""
        self.paused, self.note, self.note_is_error = "", "", False
        self.meter.clear()
        for lane in (self.pictures, self.coverages):
            lane.reset()
        self._follower.drop()
        self._sources = self._now = self._shown = self._asked = None
        coverage.forget_partial()
        overlay.current.clear()
        if self.active:
            self.pictures.wanted = self.enabled
            self._changed_at = self._move_changed_at = time.monotonic()

    def stop(self) -> None:
        """Switched off."""
        self.enabled = self.auto_coverage = False
        self.restart()
        self._attached.close()
        self._link = None
        self._inbox.clear()

    # --- what Blender's handlers say ----------------------------------------------------------------------

    def scene_changed(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, *, new_frame: bool) -> bool:
        """Compare the camera with the last one; ask at once if nothing is under way. Returns whether it asked."""
        if not self.active or depsgraph.mode != "VIEWPORT":
            return False
        target = live_camera.shot_of(scene)
        if target is None:
            return False
        if not new_frame:
            self._look_at_updates(target, depsgraph)
        return self._look(scene, target, depsgraph)

    def _look_at_updates(self, target: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> None:
        body, cam = target.ex4d.mesh, target.ex4d.camera
        found = [update.id.original for update in depsgraph.updates]
        ours = (cam, cam.data, target) if cam is not None else ()
        if cam is not None and any(isinstance(each, bpy.types.Action) or each in ours for each in found):
            move = live_camera.move_of(target, cam)
            if move != self._move_seen:
                self._move_seen, self._move_changed_at = move, time.monotonic()
        if body is None:
            return
        mesh = any(u.is_updated_geometry and u.id.original in (body, body.data) for u in depsgraph.updates)
        if mesh or any(isinstance(each, bpy.types.Object) and each.ex4d.role != guide_objects.NONE for each in found):
            self._mesh_changed()

    def options_changed(self) -> None:
        """The shot's mesh options are others now: ask again."""
        if self.active:
            self._edits_changed()

    def _mesh_changed(self) -> None:
        """Look for edits again; what may be the echo of having looked is looked at once more, later."""
        moment, sources = time.monotonic(), self._sources
        if sources is not None and moment - sources.collected_at < ECHO_S:
            if not self._looked_again:
                self._look_again_at = moment + ECHO_S
            return
        self._looked_again = False
        self._edits_changed()

    def _edits_changed(self) -> None:
        self._look_again_at = None
        self._move_changed_at = self._changed_at = time.monotonic()
        self.pictures.wanted = self.enabled
        if self._sources is not None:
            self._sources.mesh_changed()

    def _look(self, scene: bpy.types.Scene, target: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bool:
        cam = live_camera.camera_of(scene, target)
        try:
            seen = live_camera.now(depsgraph, scene, target, cam) if cam is not None else None
        except AddonError as error:
            self._tell(str(error), is_error=True)
            return False
        if seen is not None and seen == self._now:
            return False
        moment = time.monotonic()
        # One step alone is no drag: a frame change, or a number typed in.
        self._moving = moment - self._changed_at < REST_S
        same_frame = seen is not None and self._now is not None and seen.index == self._now.index
        self._now, self._scene_name, self._changed_at = seen, scene.name, moment
        if same_frame:
            self._move_changed_at = moment
        self.pictures.wanted = self.enabled and seen is not None
        return self._ask_picture()

    # --- the timer's share --------------------------------------------------------------------------------

    def tick(self, context: bpy.types.Context) -> bool:
        """Take answers and ask what is due. Returns whether anything was done."""
        if not self.active:
            return False
        try:
            return self._advance(context)
        except AddonError as error:
            self.pictures.wanted = False
            self._follower.drop()
            self._tell(str(error), is_error=True)
            return True
        except Exception as error:  # the timer that carries everything else must go on
            log.exception("live views failed")
            self._pause(f"Paused after a fault in the add-on ({type(error).__name__}: {error}); the log says more.")
            return True

    def _advance(self, context: bpy.types.Context) -> bool:
        if not self._attach():
            return False
        worked = bool(self._inbox)
        while self._inbox:
            self._take(self._inbox.popleft())
        self._check_speed()
        if self.paused:
            return True
        scene = context.scene
        target = live_camera.shot_of(scene)
        if target is None or live_camera.camera_of(scene, target) is None:
            self._tell("Import a clip first." if target is None else "Add a camera move, or choose a shot camera.")
            overlay.current.clear()
            return worked
        if self._sources is None or self._sources.shot_id != target.ex4d.shot_id:
            self._begin(target.ex4d.shot_id)
        if self._now is None or self._scene_name != scene.name:
            self._look(scene, target, context.evaluated_depsgraph_get())
        if self._look_again_at is not None and time.monotonic() >= self._look_again_at:
            self._looked_again = True
            self._edits_changed()
        self._want_sharp()
        return self._ask_picture() or self._ask_coverage(context) or worked

    def _attach(self) -> bool:
        """Listen to the present connection; whether there is one that can serve live views."""
        link = session.get().link
        if link is not self._link:
            self._attached.close()
            self._inbox.clear()
            self._link = link
            if link is not None:
                self._inbox = self._attached.enter_context(link.inbox())
            self.restart()
        if link is None or link.client.state != "connected":
            self._tell("Connect to a backend first." if link is None else SILENT)
            return bool(self._inbox)
        if not link.client.capabilities.limits.live_pixels:
            self._tell("This backend has no live views; update it, or allow them in its settings (live).")
            return False
        return True

    def _begin(self, shot_id: str) -> None:
        assert self._link is not None
        self._sources = Sources(self._link.client, shot_id)
        self._now = self._shown = None
        self.pictures.wanted, self._move_changed_at = self.enabled, time.monotonic()
        overlay.current.clear()

    # --- asking -------------------------------------------------------------------------------------------

    def _want_sharp(self) -> None:
        """Ask again at full size once the camera rests."""
        rests = time.monotonic() - self._changed_at >= REST_S
        if rests and self._shown is not None and self._shown[1] < self._full_scale(self._shown[0]):
            self._moving = False
            if not self.pictures.is_open and self._shown[0] == self._now:
                self.pictures.wanted = self.enabled

    def _full_scale(self, seen: Now) -> float:
        """1, or less where the backend draws nothing so large."""
        limit = self._link.client.capabilities.limits.live_pixels if self._link is not None else 0
        return min(1.0, 0.999 * (limit / (seen.width * seen.height)) ** 0.5)

    def _ask_picture(self) -> bool:
        lane, seen, sources = self.pictures, self._now, self._sources
        if not lane.wanted or lane.is_open or seen is None or sources is None or self._link is None:
            return False
        if self._link.client.state != "connected" or not sources.ready(_may_collect):
            self._tell(sources.note)
            return False
        scale = self._full_scale(seen)
        if self._moving:
            scale = max(0.02, min(scale, self.moving_scale))
        view = sources.request(seen.trajectory, sequence=next_sequence(), scale=scale, picture=True, start=seen.index)
        self._asked = seen, scale
        lane.send(self._link.client.live(view), view)
        return True

    def _ask_coverage(self, context: bpy.types.Context) -> bool:
        """Follow the move once nothing has changed for a while, and ask for its coverage if it is another."""
        changed, lane, sources = self._move_changed_at, self.coverages, self._sources
        if changed is None or sources is None or self._link is None or self.pictures.is_open or _is_playing():
            return False
        if time.monotonic() - max(changed, self._changed_at) < REST_COVERAGE_S:
            self._follower.drop()
            return False
        if not sources.ready(_may_collect):
            return False
        trajectory = self._follower.step(context.scene.name)
        if trajectory is None:
            return True
        self._move_changed_at = None
        scale = min(1.0, max(0.02, COVERAGE_SIDE / max(trajectory.width, trajectory.height)))
        view = sources.request(trajectory, sequence=next_sequence(), scale=scale, picture=False)
        if same(lane.sent, view):
            return True
        self._partial = np.full(trajectory.num_frames, np.nan)
        lane.send(self._link.client.live(view), view)
        return True

    # --- answers ------------------------------------------------------------------------------------------

    def _take(self, event: ev.Event) -> None:
        if isinstance(event, ev.Connected):
            self.restart()
        elif isinstance(event, ev.LiveAnswer | ev.RequestFailed):
            for lane in (self.pictures, self.coverages):
                if event.request_id == lane.request_id:
                    lane.heard_at = time.monotonic()
                    if isinstance(event, ev.RequestFailed):
                        self._take_failure(lane, event)
                    else:
                        self._take_answer(lane, event)

    def _take_answer(self, lane: Lane, event: ev.LiveAnswer) -> None:
        message = event.message
        if event.ended:
            lane.close()
        if isinstance(message, LiveProgress):
            lane.loading = True
            share = f" ({message.done} of {message.total})" if message.total else ""
            starts = message.stage == "starting"
            self._tell("The backend prepares for live views." if starts else f"The backend reads the clip{share}.")
        elif isinstance(message, LivePicture) and event.picture is not None:
            self._take_picture(lane, event.picture)
        elif isinstance(message, LiveCoverage):
            self._take_coverage(message)

    def _take_picture(self, lane: Lane, picture: NDArray[np.uint8]) -> None:
        if self._asked is None or not self.enabled:
            return
        seen, scale = self._asked
        if not lane.loading:
            self.meter.add(time.monotonic() - lane.sent_at)
        scene = bpy.data.scenes.get(self._scene_name)
        target = live_camera.shot_of(scene) if scene is not None else None
        if target is None or target.ex4d.shot_id != seen.shot_id:
            return
        self._shown = seen, scale
        overlay.current.put(seen.shot_id, target.ex4d.frame_start + seen.index, picture)
        overlay.redraw()
        self._tell("")

    def _take_coverage(self, message: LiveCoverage) -> None:
        self._partial[list(message.frames)] = message.coverage
        scene = bpy.data.scenes.get(self._scene_name)
        target = live_camera.shot_of(scene) if scene is not None else None
        if target is None or self._sources is None or target.ex4d.shot_id != self._sources.shot_id:
            return
        if message.done:
            coverage.forget_partial()
            coverage.store(target, self._partial)
        else:
            coverage.put_partial(target.ex4d.shot_id, self._partial)
        coverage.redraw()

    def _take_failure(self, lane: Lane, event: ev.RequestFailed) -> None:
        lane.close()
        lane.sent = None
        error = event.error
        if error.code == "blob_missing" and self._sources is not None:
            self._sources.send_again()
            if lane is self.pictures:
                lane.wanted = self.enabled
            else:
                self._move_changed_at = time.monotonic()
        elif error.code == "no_session":
            self._tell(SILENT)
        else:
            self._tell(error.message, is_error=True)

    def _check_speed(self) -> None:
        lane = self.pictures
        reason = too_slow(self.meter.p95_ms, self.limit_ms)
        if not reason and lane.is_open and time.monotonic() - lane.heard_at > GIVE_UP_S:
            reason = f"Paused: nothing was heard of a picture for {GIVE_UP_S:.0f} s; look at the connection."
        if reason:
            self._pause(reason)

    def _pause(self, reason: str) -> None:
        log.warning("%s", reason)
        for each in (self.pictures, self.coverages):
            each.reset()
        self._follower.drop()
        self.paused = reason
        overlay.current.clear()
        overlay.redraw()
        coverage.forget_partial()
        coverage.redraw()

    def _tell(self, note: str, *, is_error: bool = False) -> None:
        if note != self.note:
            self.note, self.note_is_error = note, is_error
            coverage.redraw()


current = Live()


def _is_playing() -> bool:
    return any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows)


def _may_collect() -> bool:
    return not _is_playing()
