"""Importing a clip: from the panel's choices to a shot in the scene."""

import os
import uuid
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy

from ex4d_ground.colour import KNOWN
from ex4d_ground.files import COLOUR_SUFFIXES

from ..jobs import clip, depth, engine_settings, estimators, importing, media
from ..scene import colours, in_the_way, materials, orbit, seen_motion, shot, viewing
from ..scene.clip import ClipFacts, carried, clip_numbers
from ..work import files, preferences, session, unsaved
from ..work.errors import AddonError
from ..work.operators import LongOperator
from ..work.properties import Choice, Flag, Folder, Number, Text
from ..work.tasks import Delivery, Task
from .first_frame import FirstFrameArrival, found
from .properties import ESTIMATED, FROM_FILE, ClipReading


class EX4D_OT_import_clip(ClipReading, LongOperator, bpy.types.Operator):
    """Build the DW-mesh of a clip and bring it into the scene, textured with the footage"""

    bl_label = "Import Clip"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block
    needs_backend, panel = True, "Clip"

    depth_source: Choice(
        "Depth From",
        "Where the depth comes from",
        ("SCENE", "As Chosen", "The scene's choice; a depth path given here is a file's"),
        FROM_FILE,
        ESTIMATED,
    )
    estimator: Text("Estimator", "The backend's depth estimator; empty uses the scene's choice, or its default")
    estimator_settings: Text("Estimator Settings", "As JSON; empty uses the scene's, what is missing takes its default")
    fps: Number("Frame Rate", "0 keeps the video's own, and gives pictures that say none the scene's", min=0.0, max=1e3)
    focal_px: Number("Focal Length (px)", "In pixels; 0 if unknown", min=0.0)
    folder: Folder("Folder", "Where the shot's files go; empty puts them beside the .blend")
    fit_scene: Flag(
        "Fit Scene",
        "Give the scene the clip's size, frame rate and range, and look through the source camera",
        default=True,
    )
    standard_view: Flag(
        "Standard View Transform", "Show footage with its own colours; other view transforms change them"
    )

    def begin(self, context: bpy.types.Context) -> Task:
        return ImportPlan(SimpleNamespace(**self.as_keywords())).begin(context)  # Blender frees the operator


class ImportPlan:
    """What an import was asked for: it can begin, and it knows how the clip goes into the scene. Holds no operator."""

    def __init__(self, chosen: Any):
        """``chosen`` has the operator's properties."""
        self.chosen = chosen
        self._blend_path = ""
        self._folder = Path()
        self._arrival: FirstFrameArrival | None = None
        self._view: viewing.Place | None = None

    def begin(self, context: bpy.types.Context) -> Task:
        """Start the import. Raises AddonError."""
        shot.require_object_mode(context)
        session.get().waiting_for_weights = None
        self._blend_path, self._view = bpy.data.filepath, viewing.begun_from(context)
        source = self._source(context.scene)
        root = unsaved.shot_folder(self._blend_path, source.name, bpy.path.abspath(self.chosen.folder))
        folder = root if not root.exists() else files.free_folder(root.parent, root.name)
        current = session.get()
        arrival = FirstFrameArrival(self._blend_path, self._show_first, self._look)
        self._folder, self._arrival = folder, arrival
        steps = importing.import_clip(current.require_link(), source, folder, partial(setattr, arrival, "first"))
        task = current.start("Import clip", steps, panel="Clip", deliver=self.deliver)
        task.arrival = arrival
        return task

    def begin_again(self, context: bpy.types.Context) -> Task | None:
        """Start what was asked for, now that the weights are there; None if another file is open by now."""
        return self.begin(context) if unsaved.is_open(self._blend_path) else None

    def _source(self, scene: bpy.types.Scene) -> clip.ClipSource:
        asked, chosen = self.chosen, scene.ex4d
        asked.video_path = asked.video_path or chosen.video_path
        source = asked.depth_source
        if source == "SCENE":
            # A file of a version whose usual choice was a depth file has a path and no choice.
            has_path = asked.depth_path or (chosen.depth_path and not chosen.is_property_set("depth_source"))
            source = "FILE" if has_path else chosen.depth_source
        estimates = source == "ESTIMATE"
        asked.depth_path = "" if estimates else asked.depth_path or chosen.depth_path
        if asked.fov_deg > 0 and asked.focal_px > 0:
            raise AddonError(
                f"Give a field of view ({asked.fov_deg:g} degrees) or a focal length ({asked.focal_px:g} px), not both."
            )
        for what, value in (("video", asked.video_path), ("depth", asked.depth_path or estimates)):
            if not value:
                raise AddonError(f"No {what} is chosen; choose a file or folder for it.")
        video = Path(bpy.path.abspath(asked.video_path))
        pictures = video.is_dir() or video.suffix.lower() in COLOUR_SUFFIXES
        return clip.ClipSource(
            video=video,
            depth=None if estimates else Path(bpy.path.abspath(asked.depth_path)),
            **(self._estimator(scene) if estimates else {}),
            fps=asked.fps or None,
            usual_fps=scene.render.fps / scene.render.fps_base if pictures else None,
            colour_space=asked.colour_name,
            ocio=_configuration(asked.colour_name, asked.ocio_path),
            fields=asked.fields,
            num_frames=asked.num_frames or None,
            fov_deg=asked.fov_deg or None,
            focal_px=asked.focal_px or None,
            depth_scale=asked.depth_scale,
            depth_channel=asked.depth_channel,
            fill_invalid=asked.fill_invalid,
            grid_side=asked.grid_side,
            plays_frames=0 if pictures else materials.movie_frames(video),
            name=files.safe_name(media.clip_name(video)),
        )

    def _estimator(self, scene: bpy.types.Scene) -> dict[str, Any]:
        """The estimator and its settings. Raises AddonError if the backend cannot run it."""
        current = session.get()
        current.require_link()
        wanted = self.chosen.estimator or scene.ex4d.estimator
        try:
            name = depth.require_estimator(current.capabilities, wanted).name
        except AddonError as error:
            if error.remedy is not None and error.remedy.action == "fetch_weights":
                current.waiting_for_weights = self.begin_again
            raise
        settings = engine_settings.chosen(scene, estimators.key(name), given=self.chosen.estimator_settings)
        return {"estimator": name, "estimator_settings": settings}

    def deliver(self, context: bpy.types.Context, result: importing.ImportedClip) -> Delivery:
        """Build the shot. Raises AddonError in another mode than Object Mode, or if another file is open by now."""
        if not unsaved.is_open(self._blend_path):
            raise AddonError(
                f"Another .blend was opened during the import; its files are in {result.folder}. "
                "Import the clip again where it belongs: the backend still has it."
            )
        facts, depth_info, scene = self._facts(result), result.depth_info or {}, context.scene
        made, lay_in = found(self._arrival)
        looked = self._arrival is not None and self._arrival.looked
        fits = made is not None and looked and made.ex4d.num_frames == facts.num_frames
        if made is None:
            shot.require_object_mode(context)
            how = {"shot_id": uuid.uuid4().hex, "frame_start": self._frame_start(scene, facts)}
            made = shot.build(context, facts, result.faces, result.folder, **how)
        else:
            shot.complete(made, facts, result.folder, lay_in=lay_in)
        made.ex4d.seems_to_move = seen_motion.picture_moves(made)
        made.ex4d.knows_camera = depth_info.get("camera") is not None
        message = f"Imported {facts.num_frames} frames of {facts.width}x{facts.height} as '{made.name}'."
        notes = (f"{result.note}.",) if result.note else ()
        warnings = [*notes, *map(str, result.info.get("notes", ())), *map(str, depth_info.get("warnings", ()))]
        if self.chosen.standard_view and not colours.is_exact(scene):
            try:
                message += f" {colours.make_exact(scene)}"
            except AddonError as error:  # the clip is there all the same
                warnings.append(str(error))
        if not fits:
            message += f" {self._look(context, made)}"
        return Delivery(message.rstrip(), tuple(warnings))

    def _facts(self, clip: importing.ImportedClip | importing.FirstFrame) -> ClipFacts:
        depth_path, depth_info = self.chosen.depth_path, clip.depth_info or {}
        ocio = _configuration(self.chosen.colour_name, self.chosen.ocio_path)
        if clip.depth_info is not None:
            depth_path = files.blender_path(self._folder / files.DEPTH_FILE, bpy.data.filepath)
        return ClipFacts(
            name=self._folder.name,
            clip_json=clip.clip_json,
            video_path=self.chosen.video_path,
            depth_path=depth_path,
            depth_estimator=str(depth_info.get("title", "")),
            depth_licence=str(clip.info.get("depth_licence", "")),
            ocio_path=files.blender_path(ocio, bpy.data.filepath) if ocio is not None else "",
            **clip_numbers(clip.info),
            **carried(clip.info),
        )

    def _frame_start(self, scene: bpy.types.Scene, facts: ClipFacts) -> int:
        """Where the shot begins: at its own numbers in a scene that is fitted to it, else where the scene does."""
        return facts.start_frame if self.chosen.fit_scene else scene.frame_start

    def _show_first(self, context: bpy.types.Context, first: importing.FirstFrame, data: bpy.types.Mesh) -> str:
        """Build the shot of its first frame; returns its id."""
        scene, shot_id, facts = context.scene, uuid.uuid4().hex, self._facts(first)
        how = {"shot_id": shot_id, "frame_start": self._frame_start(scene, facts)}
        shot.build_first(context, facts, data, first.folder, self._folder, **how)
        return shot_id

    def _look(self, context: bpy.types.Context, made: bpy.types.Object) -> str:
        """Fit the scene, and have the view that the import began in show the clip; returns what to say of it."""
        scene = context.scene
        if not self.chosen.fit_scene:
            return ""
        shot.fit_scene(scene, made)
        said = viewing.look_at_footage(self._view, scene, made)
        if said and (moved := in_the_way.make_way(context, made)):
            session.get().tell(moved)
        if said and preferences.get(context).orbit_after_import:
            orbit.start(self._view, made)
        return said


def _configuration(colour_name: str, chosen: str) -> Path | None:
    """The OpenColorIO configuration that a colour space is a name of: the chosen one, else that of $OCIO.

    None for what the backend has to look up itself. Raises AddonError for a file that is not there.
    """
    if not colour_name or (colour_name.lower() in KNOWN and not chosen):
        return None
    named = bpy.path.abspath(chosen) or os.environ.get("OCIO", "")
    if not named or named.startswith("ocio://"):
        return None
    path = Path(named)
    if not path.is_file():
        raise AddonError(f"There is no colour configuration {path}; choose its .ocio or .ocioz file.")
    return path
