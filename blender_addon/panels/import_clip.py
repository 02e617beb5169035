"""Importing a clip: from the panel's choices to a shot in the scene."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy

from ..jobs import clip, depth, engine_settings, estimators
from ..scene import shot
from ..scene.clip import ClipFacts, clip_numbers
from ..work import files, session
from ..work.errors import AddonError
from ..work.operators import LongOperator
from ..work.properties import Choice, Flag, Folder, Number, Text
from ..work.tasks import Delivery, Task
from .properties import ESTIMATED, FROM_FILE, ClipReading


class EX4D_OT_import_clip(ClipReading, LongOperator, bpy.types.Operator):
    """Build the DW-mesh of a clip and bring it into the scene, textured with the footage"""

    bl_label = "Import Clip"
    bl_options = {"UNDO"}  # no REGISTER: the redo panel would run the job again and block

    depth_source: Choice(
        "Depth From",
        "Where the depth comes from",
        ("SCENE", "As Chosen", "The scene's choice; a depth path given here is a file's"),
        FROM_FILE,
        ESTIMATED,
    )
    estimator: Text("Estimator", "The backend's depth estimator; empty uses the scene's choice, or its default")
    estimator_settings: Text("Estimator Settings", "As JSON; empty uses the scene's, what is missing takes its default")
    fps: Number("Frame Rate", "0 keeps the video's own, and gives a sequence of pictures the scene's", min=0.0, max=1e3)
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
        shot.require_object_mode(context)
        source = self._source(context.scene)
        root = files.shot_folder(bpy.data.filepath, source.name, bpy.path.abspath(self.folder))
        current = session.get()
        link = current.require_link()
        folder = root if not root.exists() else files.free_folder(root.parent, root.name)
        plan = _Plan(bpy.data.filepath, SimpleNamespace(**self.as_keywords()))  # Blender frees the operator
        return current.start("Import clip", clip.import_clip(link, source, folder), panel="Clip", deliver=plan.deliver)

    def _source(self, scene: bpy.types.Scene) -> clip.ClipSource:
        chosen = scene.ex4d
        self.video_path = self.video_path or chosen.video_path
        source = self.depth_source
        if source == "SCENE":
            source = "FILE" if self.depth_path else chosen.depth_source
        estimates = source == "ESTIMATE"
        self.depth_path = "" if estimates else self.depth_path or chosen.depth_path
        if self.fov_deg > 0 and self.focal_px > 0:
            raise AddonError(
                f"Give a field of view ({self.fov_deg:g} degrees) or a focal length ({self.focal_px:g} px), not both."
            )
        for what, value in (("video", self.video_path), ("depth", self.depth_path or estimates)):
            if not value:
                raise AddonError(f"No {what} is chosen; choose a file or folder for it.")
        video = Path(bpy.path.abspath(self.video_path))
        pictures = video.is_dir() or video.suffix.lower() == ".png"
        return clip.ClipSource(
            video=video,
            depth=None if estimates else Path(bpy.path.abspath(self.depth_path)),
            **(self._estimator(scene) if estimates else {}),
            fps=self.fps or (scene.render.fps / scene.render.fps_base if pictures else None),
            num_frames=self.num_frames or None,
            fov_deg=self.fov_deg or None,
            focal_px=self.focal_px or None,
            depth_scale=self.depth_scale,
            fill_invalid=self.fill_invalid,
            name=files.safe_name(video.stem.rstrip("0123456789") or video.parent.name),
        )

    def _estimator(self, scene: bpy.types.Scene) -> dict[str, Any]:
        """The estimator and its settings. Raises AddonError if the backend cannot run it."""
        current = session.get()
        current.require_link()
        name = depth.require_estimator(current.capabilities, self.estimator or scene.ex4d.estimator).name
        settings = engine_settings.chosen(scene, estimators.key(name), given=self.estimator_settings)
        return {"estimator": name, "estimator_settings": settings}


@dataclass(frozen=True)
class _Plan:
    """How the imported clip goes into the scene, decided when the import began."""

    blend_path: str
    chosen: Any
    """The operator's properties."""

    def deliver(self, context: bpy.types.Context, result: clip.ImportedClip) -> Delivery:
        """Build the shot. Raises AddonError in another mode than Object Mode, or if another file is open by now."""
        if bpy.data.filepath != self.blend_path:
            raise AddonError(
                f"Another .blend was opened during the import; its files are in {result.folder}. "
                "Import the clip again where it belongs: the backend still has it."
            )
        shot.require_object_mode(context)
        depth_path, depth_info = self.chosen.depth_path, result.depth_info or {}
        if result.depth_info is not None:
            depth_path = files.blender_path(result.folder / files.DEPTH_FILE, self.blend_path)
        facts = ClipFacts(
            name=result.folder.name,
            clip_json=result.clip_json,
            video_path=self.chosen.video_path,
            depth_path=depth_path,
            depth_estimator=str(depth_info.get("title", "")),
            depth_licence=str(result.info.get("depth_licence", "")),
            **clip_numbers(result.info),
        )
        scene = context.scene
        made = shot.build(
            context,
            facts,
            result.faces,
            result.folder,
            shot_id=uuid.uuid4().hex,
            frame_start=1 if self.chosen.fit_scene else scene.frame_start,
        )
        if self.chosen.fit_scene:
            shot.fit_scene(scene, made)
        if self.chosen.standard_view:
            scene.view_settings.view_transform = "Standard"
        message = f"Imported {facts.num_frames} frames of {facts.width}x{facts.height} as '{made.name}'."
        return Delivery(message, tuple(map(str, depth_info.get("warnings", ()))))
