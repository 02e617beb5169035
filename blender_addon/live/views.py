"""Live mode: shows at once what the backend would be given of the shot, while its camera is being moved.

Blender's handlers notice changes and, if nothing is under way, ask at once; the timer asks the rest: the newest camera
when an answer has come, the sharp picture when the camera rests, the move's coverage when nothing moves any more. At
most one picture and one coverage are under way; whatever answers an older request is dropped by its number.
"""

import time
from typing import Any

import bpy

from ex4d_ground import stages
from ex4d_ground.arrays import UInt8
from ex4d_ground.errors import in_words
from ex4d_protocol import events as ev
from ex4d_protocol.client import Client
from ex4d_protocol.live import LiveCoverage, LivePicture, LiveProgress

from ..guides import coverage
from ..scene.roles import NONE
from ..work import hooks
from ..work.addon import log
from ..work.errors import AddonError
from . import camera, overlay
from .camera import Now
from .connection import SILENT, Connection
from .echoes import Echoes
from .filling import Wish
from .lane import Lane, Meter, sequence, too_slow
from .objects import standing
from .places import KnownPlace
from .sources import Sources
from .whole_move import WholeMove

REST_S = 0.2
"""A camera that has not moved for so long rests: then the picture is drawn at full size."""
GIVE_UP_S = 10.0
"""Without any news of a request for so long, the link is too slow whatever its round trips were."""


class Live:
    """The state of live mode; holds names and numbers, no Blender data. One for all scenes."""

    def __init__(self) -> None:
        self.enabled = self.auto_coverage = False
        self.holes = Wish()
        self.moving_scale = 0.5
        """Size of the picture while the camera moves, as a share of the render's."""
        self.limit_ms = 400.0
        self.note, self.note_is_error = "", False
        """What people should know: what it waits for, or why it stands still."""
        self.paused = ""
        """Why it paused by itself; "" while it runs."""
        self.meter = Meter()
        self.pictures, self.coverages = Lane(), WholeMove()
        self._connection = Connection()
        self._sources: Sources | None = None
        self.now: Now | None = None
        """The present camera."""
        self._scene_name = ""
        self._changed_at = 0.0
        self._moving = False
        self.shown: tuple[Now, float] | None = None
        """The camera whose picture is shown, and the picture's size as a share of the render's."""
        self._asked: tuple[Now, float] | None = None
        self.place = KnownPlace()
        self._echoes = Echoes()
        self._held: tuple[Any, ...] | None = None
        """What decided where a hidden camera stood when it was last seen to."""
        self._look_due = False
        """Whether the timer has to look at a hidden camera: Blender's handlers must not."""

    # --- what people switch -------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything is to be done at all."""
        return (self.enabled or self.auto_coverage) and not self.paused

    @property
    def waiting(self) -> bool:
        """Whether the timer should come back soon."""
        asked = self.pictures.is_open or self.pictures.wanted or self.coverages.is_open
        return self.active and (asked or self._look_due)

    @property
    def is_sharp(self) -> bool:
        """Whether the picture shown is that of the present camera at full size."""
        return self.now is not None and not self._look_due and self.shown == (self.now, self._full_scale(self.now))

    @property
    def computes_coverage(self) -> bool:
        """Whether the coverage of the move is still to come."""
        return self.coverages.is_to_come

    @property
    def _client(self) -> Client | None:
        return self._connection.client

    def restart(self) -> None:
        """Begin afresh: switched on, resumed, or everything may be different (undo, another file)."""
        self.paused, self.note, self.note_is_error = "", "", False
        self.meter.clear()
        for lane in (self.pictures, self.coverages):
            lane.reset()
        self._sources = self.now = self.shown = self._asked = None
        self.place = KnownPlace()
        overlay.current.clear()
        if self.active:
            self.pictures.wanted = self.enabled
            self._changed_at = time.monotonic()
            self.coverages.changed()

    def stop(self) -> None:
        """Switched off."""
        self.enabled = self.auto_coverage = False
        self.restart()
        self._connection.close()

    def show_preview(self, wanted: bool) -> None:
        """Show holes as the preview fills them, or striped."""
        self.holes.preview = wanted
        self.pictures.wanted = self.enabled and self.now is not None

    # --- what Blender's handlers say ----------------------------------------------------------------------

    def scene_changed(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, *, new_frame: bool) -> bool:
        """Compare the camera with the last one; ask at once if nothing is under way. Returns whether it asked."""
        if not self.active or depsgraph.mode != "VIEWPORT":
            return False
        target = camera.shot_of(scene)
        if target is None:
            return False
        if not new_frame:
            self._look_at_updates(scene, target, depsgraph)
        cam = camera.camera_of(scene, target)
        if cam is None or not camera.is_hidden(depsgraph, target, cam):
            return self._look(scene, target, depsgraph)
        held = camera.held_by(scene, target, cam)
        self._look_due, self._held = self._look_due or held != self._held, held
        return False

    def _look_at_updates(
        self, scene: bpy.types.Scene, target: bpy.types.Object, depsgraph: bpy.types.Depsgraph
    ) -> None:
        body, cam = target.ex4d.mesh, target.ex4d.camera
        changed = [update.id.original for update in depsgraph.updates]
        ours = (cam, cam.data, target) if cam is not None else ()
        if cam is not None and any(isinstance(each, bpy.types.Action) or each in ours for each in changed):
            self.coverages.compare(target, cam)
        if body is None:
            return
        mesh = any(u.is_updated_geometry and u.id.original in (body, body.data) for u in depsgraph.updates)
        if mesh or any(isinstance(each, bpy.types.Object) and each.ex4d.role != NONE for each in changed):
            looked_at = None if self._sources is None else self._sources.collected_at
            if self._echoes.is_edit(standing(scene), looked_at):
                self._edits_changed()

    def options_changed(self) -> None:
        """The shot's mesh options are others now: ask again."""
        if self.active:
            self._edits_changed()

    def _edits_changed(self) -> None:
        self._echoes.forget()
        self._changed_at = time.monotonic()
        self.coverages.changed()
        self.pictures.wanted = self.enabled
        if self._sources is not None:
            self._sources.mesh_changed()

    def _look(self, scene: bpy.types.Scene, target: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> bool:
        cam, self._look_due = camera.camera_of(scene, target), False
        try:
            seen = camera.now(depsgraph, scene, target, cam) if cam is not None else None
        except AddonError as error:
            self._tell(error.text("panel"), is_error=True)
            return False
        if seen is not None and seen == self.now:
            return False
        moment = time.monotonic()
        # One step alone is no drag: a frame change, or a number typed in.
        self._moving = moment - self._changed_at < REST_S
        same_frame = seen is not None and self.now is not None and seen.index == self.now.index
        self.now, self._scene_name, self._changed_at = seen, scene.name, moment
        if same_frame:
            self.coverages.changed()
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
            self.coverages.stop_following()
            self._tell(error.text("panel"), is_error=True)
            return True
        except Exception as error:  # the timer that carries everything else must go on
            log.exception("live views failed")
            self._pause(f"Paused after a fault in the add-on ({type(error).__name__}: {error}); the log says more.")
            return True

    def _advance(self, context: bpy.types.Context) -> bool:
        if self._connection.follow():
            self.restart()
        inbox = self._connection.inbox
        worked = bool(inbox)
        while inbox:
            self._take(inbox.popleft())
        if trouble := self._connection.trouble:
            self._tell(trouble)
            return worked
        self._check_speed()
        if self.paused:
            return True
        scene = context.scene
        target = camera.shot_of(scene)
        if target is None or camera.camera_of(scene, target) is None:
            self._tell("Import a clip first." if target is None else "Add a camera move, or choose a shot camera.")
            overlay.current.clear()
            self.now = self.shown = None  # the same camera is asked for again once it is back
            return worked
        if self._sources is None or self._sources.shot_id != target.ex4d.shot_id:
            self._begin(target.ex4d.shot_id)
        if self._look_due or self.now is None or self._scene_name != scene.name:
            self._look(scene, target, context.evaluated_depsgraph_get())
        if self._echoes.is_due():
            self._edits_changed()
        if self.now is not None and self.holes.is_another(scene.name) and not self.pictures.is_open:
            self.pictures.wanted = self.enabled
        # Once the camera rests, its picture is asked for at full size.
        rests = time.monotonic() - self._changed_at >= REST_S
        if rests and self.shown is not None and self.shown[1] < self._full_scale(self.shown[0]):
            self._moving = False
            if not self.pictures.is_open and self.shown[0] == self.now:
                self.pictures.wanted = self.enabled
        if rests and self.is_sharp and self.place.is_due and not self.pictures.is_open:
            self.pictures.wanted = self.enabled
        return self._ask_picture() or self._ask_coverage(context) or worked

    def _begin(self, shot_id: str) -> None:
        assert self._client is not None
        self._sources = Sources(self._client, shot_id)
        self.now = self.shown = None
        self.pictures.wanted = self.enabled
        self.coverages.changed()
        overlay.current.clear()

    # --- asking -------------------------------------------------------------------------------------------

    def _full_scale(self, seen: Now) -> float:
        """1, or less where the backend draws nothing so large."""
        limit = self._client.capabilities.limits.live_pixels if self._client is not None else 0
        return min(1.0, 0.999 * (limit / (seen.width * seen.height)) ** 0.5)

    def _ask_picture(self) -> bool:
        lane, seen, sources = self.pictures, self.now, self._sources
        if not lane.wanted or lane.is_open or seen is None or sources is None or self._client is None:
            return False
        if self._client.state != "connected" or not sources.ready():
            self._tell(sources.note)
            return False
        scale = self._full_scale(seen)
        if self._moving:
            scale = max(0.02, min(scale, self.moving_scale))
        self.holes.asked, fixed = self.holes.settings(self._scene_name), {"picture": True, "start": seen.index}
        view = sources.request(seen.trajectory, sequence=next(sequence), scale=scale, preview=self.holes.asked, **fixed)
        self._asked, self.place.asked_at = (seen, scale), time.monotonic()
        lane.send(self._client.live(view), view)
        return True

    def _ask_coverage(self, context: bpy.types.Context) -> bool:
        if self._sources is None or self._client is None or self.pictures.is_open:
            return False
        return self.coverages.ask(context, self._client, self._sources, camera_changed_at=self._changed_at)

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
            lane.request_id = None
        if isinstance(message, LiveProgress):
            lane.loading = True
            share = f" ({message.done} of {message.total})" if message.total else ""
            starts = message.stage == stages.STARTING
            self._tell("The backend prepares for live views." if starts else f"The backend reads the clip{share}.")
        elif isinstance(message, LivePicture) and event.picture is not None:
            self._take_picture(lane, event.picture, is_filled=message.preview == "shown")
            if self.place.picture_says(message, self.holes) and self.auto_coverage:
                self.coverages.sent = None
                self.coverages.changed()
        elif isinstance(message, LiveCoverage):
            self._take_coverage(message)

    def _take_picture(self, lane: Lane, picture: UInt8, *, is_filled: bool) -> None:
        if self._asked is None or not self.enabled:
            return
        seen, scale = self._asked
        if not lane.loading and not (is_filled and scale == self._full_scale(seen)):
            # What comes while the camera moves tells of the link: at full size much of the time is the filling's.
            self.meter.append(time.monotonic() - lane.sent_at)
        target = camera.shot_of(bpy.data.scenes.get(self._scene_name))
        if target is None or target.ex4d.shot_id != seen.shot_id:
            return
        self.shown = seen, scale
        frame = target.ex4d.frame_start + seen.index
        overlay.current.put(seen.shot_id, frame, picture, is_filled=is_filled)
        hooks.redraw(hooks.VIEWS)
        self._tell("")

    def _take_coverage(self, message: LiveCoverage) -> None:
        self.place.coverage_lacks_it = message.place == "finding"
        target = camera.shot_of(bpy.data.scenes.get(self._scene_name))
        is_ours = target is not None and self._sources is not None and target.ex4d.shot_id == self._sources.shot_id
        self.coverages.take(message, target if is_ours else None)

    def _take_failure(self, lane: Lane, event: ev.RequestFailed) -> None:
        lane.request_id = None
        lane.sent = None
        if lane is self.pictures:
            self.place.give_up()
        error = event.error
        if error.code == "blob_missing" and self._sources is not None:
            self._sources.send_again()
            if lane is self.pictures:
                lane.wanted = self.enabled
            else:
                self.coverages.changed()
        elif error.code == "no_session":
            self._tell(SILENT)
        else:
            if error.code == "backend_too_old":  # what is shown is of another request, and no better will come
                overlay.current.clear()
                hooks.redraw(hooks.VIEWS)
            self._tell(in_words(error.message, error.remedy, "panel"), is_error=True)

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
        self.paused = reason
        overlay.current.clear()
        hooks.redraw(hooks.VIEWS)
        coverage.redraw()

    def _tell(self, note: str, *, is_error: bool = False) -> None:
        if note != self.note:
            self.note, self.note_is_error = note, is_error
            coverage.redraw()


current = Live()
