"""What an import does once its files are there: build the shot in the scene."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import bpy

from . import files, jobs, shot
from .errors import AddonError
from .tasks import Delivery


@dataclass(frozen=True)
class Plan:
    """How the imported clip goes into the scene, decided when the import began."""

    blend_path: str
    video_path: str
    depth_path: str
    fit_scene: bool
    standard_view: bool

    def deliver(self, context: bpy.types.Context, result: jobs.ImportedClip) -> Delivery:
        """Build the shot. Raises AddonError in another mode than Object Mode, or if another file is open by now."""
        if bpy.data.filepath != self.blend_path:
            raise AddonError(
                f"Another .blend was opened during the import; its files are in {result.folder}. "
                "Import the clip again where it belongs: the backend still has it."
            )
        shot.require_object_mode(context)
        facts = shot.ClipFacts(
            name=result.folder.name,
            clip_json=result.clip_json,
            video_path=self.video_path,
            depth_path=self._depth_path(result),
            depth_estimator=str(result.depth_info.get("title", "")) if result.depth_info is not None else "",
            depth_licence=str(result.info.get("depth_licence", "")),
            **jobs.clip_numbers(result.info),
        )
        scene = context.scene
        made = shot.build(
            context,
            facts,
            result.faces,
            result.folder,
            shot_id=uuid.uuid4().hex,
            frame_start=1 if self.fit_scene else scene.frame_start,
        )
        if self.fit_scene:
            shot.fit_scene(scene, made)
        if self.standard_view:
            scene.view_settings.view_transform = "Standard"
        warnings = result.depth_info.get("warnings", ()) if result.depth_info is not None else ()
        message = f"Imported {facts.num_frames} frames of {facts.width}x{facts.height} as '{made.name}'."
        return Delivery(message, tuple(str(warning) for warning in warnings))

    def _depth_path(self, result: jobs.ImportedClip) -> str:
        if result.depth_info is None:
            return self.depth_path
        return files.blender_path(result.folder / files.DEPTH_FILE, self.blend_path)
