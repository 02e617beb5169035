"""A video alone is enough: opening, dropping, the import menu, a strip of the sequencer, and the example."""

from pathlib import Path
from typing import Any

import bpy

from ex4d_ground.files import COLOUR_SUFFIXES

from ..jobs import footage, media
from ..work import files, hooks
from ..work.errors import AddonError
from ..work.operators import QuickOperator, call, reported
from ..work.properties import Choice, File, Flag, Text

DEPTH_CHOICES = (
    ("ESTIMATE", "Estimate", "The backend estimates it from the video"),
    ("SCENE", "As Chosen", "The scene's choice: a file, or estimated"),
)
SHOWN = ";".join(f"*{suffix}" for suffix in (*media.VIDEOS, *COLOUR_SUFFIXES, *media.OTHER_PICTURES))
EXAMPLE_FILES = ("clip.mp4", "depth.npz")


def start_import(context: bpy.types.Context, *, waits: bool, **how: Any) -> set[str]:
    """Import a clip: to its end if ``waits`` or without a window, else by an operator of its own that never blocks."""
    blocks = waits or bpy.app.background or context.window is None
    return call(bpy.ops.ex4d.import_clip, "EXEC_DEFAULT" if blocks else "INVOKE_DEFAULT", **how)


class EX4D_OT_open_video(bpy.types.Operator):
    """Bring a video into the scene as a shot: its depth is estimated, and its mesh stands before the camera"""

    bl_idname = "ex4d.open_video"
    bl_label = "Open Video..."
    bl_options = {"INTERNAL"}  # the import makes the undo step

    filepath: File("File", "A video, the first picture of a sequence, or a folder of pictures", options={"SKIP_SAVE"})
    filter_glob: Text("Filter", "What the file browser shows", default=SHOWN, options={"HIDDEN", "SKIP_SAVE"})
    depth_source: Choice("Depth", "Where the depth comes from", *DEPTH_CHOICES, options={"SKIP_SAVE"})
    standard_view: Flag("Standard View", "Show footage with its own colours in renders, too", options={"SKIP_SAVE"})
    _asked = False
    """Whether a person is waiting: the file browser ends in ``execute``, which must not block then."""

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._asked = True
        if self.filepath:  # dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @reported
    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self.filepath:
            raise AddonError("No video is chosen; choose a file or a folder.")
        chosen = footage.of_path(Path(bpy.path.abspath(self.filepath)))
        return _import(context, chosen, waits=not self._asked, depth_source=self.depth_source, view=self.standard_view)


def _import(context: bpy.types.Context, chosen: footage.Chosen, *, waits: bool, depth_source: str, view: bool) -> set:
    """Import the footage with the scene's choices of how to read it."""
    props = context.scene.ex4d
    path = files.blender_path(Path(bpy.path.abspath(chosen.path)), bpy.data.filepath)
    how = {"fov_deg": props.fov_deg, "fill_invalid": props.fill_invalid, "depth_scale": props.depth_scale}
    how |= {"depth_channel": props.depth_channel, "grid_side": props.grid_side}
    how |= {"colour_name": props.colour_name, "ocio_path": props.ocio_path, "fields": props.fields}
    return start_import(
        context,
        waits=waits,
        video_path=path,
        depth_source=depth_source,
        num_frames=chosen.num_frames or props.num_frames,
        standard_view=view,
        **how,
    )


class EX4D_OT_open_strip(QuickOperator, bpy.types.Operator):
    """Bring the active strip's footage into the scene as a shot, as the strip plays it; its depth is estimated"""

    bl_label = "Use as EX-4D Clip"
    bl_options = {"INTERNAL"}  # the import makes the undo step

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        cls.poll_message_set("Choose a movie or image strip")
        return _active_strip(context) is not None

    def run(self, context: bpy.types.Context) -> str:
        scene, strip = _sequencer(context), _active_strip(context)
        if scene is None or strip is None:
            raise AddonError("No movie or image strip is chosen; click one in the sequencer.")
        chosen = footage.choose(footage.Footage("STRIP", strip.name, scene.name))
        _import(context, chosen, waits=False, depth_source="ESTIMATE", view=False)
        return f"'{strip.name}' becomes a clip{chosen.note}."


def _sequencer(context: bpy.types.Context) -> bpy.types.Scene | None:
    """The scene whose strips the editor shows; from 5.0 that may be another than the window's."""
    return getattr(context, "sequencer_scene", None) or context.scene


def _active_strip(context: bpy.types.Context) -> Any:
    scene = _sequencer(context)
    editor = scene.sequence_editor if scene is not None else None
    strip = editor.active_strip if editor is not None else None
    return strip if strip is not None and strip.type in ("MOVIE", "IMAGE") else None


class EX4D_OT_try_example(QuickOperator, bpy.types.Operator):
    """Bring the example clip with its true depth into the scene: needs no network and no model"""

    bl_label = "Try the Example"
    bl_options = {"INTERNAL"}  # the import makes the undo step
    _asked = False

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        self._asked = True
        return self.execute(context)

    def run(self, context: bpy.types.Context) -> str:
        video, depth = (str(path) for path in example_files())
        how = {"video_path": video, "depth_path": depth, "depth_source": "FILE"}
        ended = start_import(context, waits=not self._asked, **how)
        self.idle = ended == {"CANCELLED"}
        return ""


def example_files() -> tuple[Path, ...]:
    """The example's video and depth: in the extension's zip, or in the checkout. Raises AddonError if they are gone."""
    addon = Path(__file__).resolve().parents[1]
    for folder in (addon / "example", addon.parent / "examples"):
        found = tuple(folder / name for name in EXAMPLE_FILES)
        if all(path.is_file() for path in found):
            return found
    raise AddonError(f"The example's files are not in {addon / 'example'}; install the extension again.")


_FileHandler: Any = getattr(bpy.types, "FileHandler", object)  # from 4.1


class EX4D_FH_video(_FileHandler):
    """A video dropped into a 3D viewport; in the sequencer a drop stays Blender's own."""

    bl_idname = "EX4D_FH_video"
    bl_label = "EX-4D Video"
    bl_import_operator = "ex4d.open_video"
    bl_file_extensions = ";".join(media.VIDEOS)

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


def _draw_import(self: Any, _context: bpy.types.Context) -> None:
    self.layout.operator("ex4d.open_video", text="EX-4D Video", icon="FILE_MOVIE")


def _draw_strip(self: Any, _context: bpy.types.Context) -> None:
    self.layout.separator()
    self.layout.operator("ex4d.open_strip", icon="FILE_MOVIE")


entries = hooks.MenuEntries(
    ("TOPBAR_MT_file_import", _draw_import),
    ("SEQUENCER_MT_strip", _draw_strip),
    ("SEQUENCER_MT_context_menu", _draw_strip),
)
