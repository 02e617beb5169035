"""What a shot keeps of its clip in the .blend, on its Empty; and every object's role in the guides."""

from functools import partial

import bpy

from ..work.hooks import Hook
from ..work.properties import OWN, Choice, File, Flag, Number, Pointer, Text, Whole
from . import retime, roles

options_changed = Hook()
"""Called when guides would be others than before: the shot's options changed, or an object's role."""


def draw_again(_self, _context: bpy.types.Context) -> None:
    """For properties that guides depend on."""
    options_changed()


def _set_playback(self, _context: bpy.types.Context) -> None:
    retime.follow(self.id_data)


def _set_scale(self, _context: bpy.types.Context) -> None:
    self.id_data.scale = (self.scene_scale,) * 3


def _set_role(self, _context: bpy.types.Context) -> None:
    self.id_data.is_holdout = self.role == roles.HOLDOUT  # Blender's own renders then show the same hole
    options_changed()


CameraPointer = partial(Pointer, type=bpy.types.Object, poll=lambda _self, obj: obj.type == "CAMERA")


class ShotProperties:
    """The clip that a shot stands for, and the objects that show it."""

    is_shot: Flag("Is a Shot", "This Empty stands for a shot", options={"HIDDEN"})
    role: Choice(
        "In Guides",
        "How this object takes part in what is sent to the backend",
        *roles.ROLES,
        update=_set_role,
        override=OWN,
    )
    shot_id: Text("Shot", "Stays the same when the Empty is renamed")
    clip_json: Text("Clip", "The clip as the backend knows it: contents by digest, intrinsics, length")
    video_path: File("Video", "The clip's video as it was imported")
    depth_path: File("Depth", "The clip's depth as it was imported")
    folder: Text("Folder", "Where this shot's mesh cache, footage, guides and takes lie")
    arriving: Flag("Arriving", "Only the first frame is here yet", options={"HIDDEN"})
    num_frames: Whole("Frames", "Length of the clip", min=0)
    frame_start: Whole("Start", "Scene frame that shows the clip's first frame", default=1)
    width: Whole("Width", "Of the clip, in pixels", min=0)
    height: Whole("Height", "Of the clip, in pixels", min=0)
    grid_side: Whole("Mesh Side", "Vertices along the mesh's long side; 0 is one for each of the clip's pixels", min=0)
    fps: Number("Frame Rate", "Of the clip", min=0.0)
    start_frame: Whole("First Frame", "Number of the source's first frame, as its files count", default=1)
    rate: Text("Exact Rate", "Frames a second as a fraction, as the source says it")
    timecode: Text("Time Code", "Of the source's first frame")
    reel: Text("Reel", "Of the source")
    has_sound: Flag("Has Sound", "The clip's video has sound that belongs to its frames")
    colour_space: Text("Source Colours", "What the numbers of the source mean")
    ocio_path: File("Colour Configuration", "The OpenColorIO configuration that the clip was imported with")
    intrinsics: bpy.props.FloatVectorProperty(
        name="Intrinsics", description="fx, fy, cx, cy of the source in pixels", size=4
    )
    pixel_aspect: Number("Pixel Aspect", "Height of the clip's pixels in widths", min=0.01, default=1.0)
    intrinsics_source: Text("Focal Length From", "Where the clip's focal length came from, in the backend's words")
    depth_estimator: Text("Depth Estimator", "What estimated the depth; empty if it came as a file")
    depth_licence: Text("Depth Licence", "Terms the estimated depth comes under")
    near_depth: Number("Nearest Depth", "Nearest point of the first frame, in the clip's own unit", min=0.0)
    mesh: Pointer("Mesh", "The shot's DW-mesh", type=bpy.types.Object)
    source_camera: CameraPointer("Source Camera", "Matches the camera that filmed the clip")
    rig: Pointer("Source Rig", "Goes where the camera went that filmed the clip", type=bpy.types.Object)
    filmed_by: Text("Filmed By", "Pose and lens of the camera that filmed the clip, to the last bit, and who says so")
    filmed_note: Text("Filming Camera", "Where it comes from and how far it can be relied on, in a sentence")
    seems_to_move: Flag("Seems to Move", "The clip's picture moves as one does whose camera moved", options={"HIDDEN"})
    knows_camera: Flag(
        "Estimator's Camera", "What estimated the depth also says how the camera moved", options={"HIDDEN"}
    )
    lens_cache: Text("Lens Cache", "The mesh as the filming camera's own lens makes it; empty is the import's")
    camera: CameraPointer(
        "Shot Camera", "The camera whose move is sent to the backend; any Blender camera will do", override=OWN
    )
    use_source_time: Flag(
        "Retime",
        "Show the source at the keyframed Source Frame instead of following the timeline",
        update=_set_playback,
        override=OWN,
    )
    source_time: Number(
        "Source Frame",
        "Frame of the source to show, counted from 0; keyframe it to freeze, slow down or reverse",
        min=0.0,
        options={"ANIMATABLE"},
        override=OWN,
    )
    scene_scale: Number(
        "Scene Scale",
        "Blender units per unit of the clip's depth; the same on all axes, so that cameras stay rigid",
        default=1.0,
        min=1e-4,
        update=_set_scale,
        override=OWN,
    )
