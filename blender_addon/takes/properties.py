"""The takes of a scene, what the next one is made with, and which ones are compared."""

from contextlib import suppress
from typing import Any

import bpy

from ..work.errors import AddonError
from ..work.properties import Collection, Flag, Pointer, Share, Text, Whole
from . import eyes


def _wiped(self: Any, _context: object) -> None:
    """Have the compared planes follow: what drives them is told of no change by itself."""
    self.id_data.update_tag()


def _stereo_chosen(self: Any, context: bpy.types.Context) -> None:
    """Eyes that nobody has set yet are fitted to the clip; where that cannot be, the panel says why."""
    target = self.shot
    cam = None if target is None else target.ex4d.camera
    if self.stereo and cam is not None and cam.type == "CAMERA" and eyes.is_untouched(cam):
        with suppress(AddonError):
            eyes.fit(context.scene, target, cam)


class EX4D_PG_take(bpy.types.PropertyGroup):
    """One generated result. Its folder holds the frames and ``take.json``, which makes it repeatable."""

    # PropertyGroup's own ``name`` is the take's name (take_001).
    shot_id: Text("Shot", "The shot it was made of")
    folder: Text("Folder", "Where its frames and take.json lie")
    engine: Text("Engine", "What made it")
    seed: Whole("Seed", "What it was made with")
    settings_json: Text("Settings", "The engine's, as JSON", default="{}")
    filled: Text("Filled", "How its holes were filled, where that is not what its settings ask for")
    coverage: Share("Mean Coverage", "Share of it that the source shows")
    num_frames: Whole("Frames", "Its whole length", min=0)
    frame_start: Whole("Start", "Scene frame of its first frame")
    plane: Pointer("Plane", "Shows the take", type=bpy.types.Object)
    stereo: Flag("Stereo", "It has a second eye")
    partial: Flag("Partial", "Frames are missing: it is still being made, or ended early")
    arrived: Whole("Frames There", "Frames on disk", min=0)


class SceneProperties:
    """A scene's takes, and what the next Generate will use."""

    takes: Collection("Takes", "Results of the scene's shots", type=EX4D_PG_take)
    active_take: Whole("Active Take", "The take that the buttons below the list act on", default=-1)
    engine: Text("Engine", "What turns the guides into frames", default="preview")
    seed: Whole("Seed", "The same seed, settings and machine give the same frames", min=0)
    keep_layers: Flag(
        "Keep Mask and Depth",
        "Keep mask, coverage and depth with each take, for OpenEXR exports; takes of more than 8 bits have them anyway",
    )
    stereo: Flag(
        "Stereo",
        "Make takes with two eyes; the shot camera is the left one, its stereo settings say the rest",
        update=_stereo_chosen,
    )
    show_eyes: Flag(
        "Show Screen and Range",
        "Show in the 3D view where the eyes converge, and between which depths they see with ease",
        default=True,
    )
    exact_json: Text("Exact Settings", "Seed and settings of the take restored last, unrounded", options={"HIDDEN"})
    wipe: Share(
        "Wipe",
        "Where the comparison changes from the left take to the right one; can be keyframed",
        default=0.5,
        options={"ANIMATABLE"},
        update=_wiped,
    )
    compare_left: Text("Left", "Shown to the left of the wipe")
    compare_right: Text("Right", "Shown to the right of the wipe")
    compare_shot: Text("Compared Shot", "Empty while nothing is compared")
