"""User data on Scene and Object, saved in the .blend. Runtime state lives in ``session``, never here."""

# pyright: reportInvalidTypeForm=false

import bpy

from . import retime

PATH_OPTIONS: set[str] = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Lets a path property hold ``//`` paths without a warning, where Blender has that option."""


def _is_camera(_self, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


def _set_playback(self, _context: bpy.types.Context) -> None:
    retime.follow(self.id_data)


def _set_scale(self, _context: bpy.types.Context) -> None:
    self.id_data.scale = (self.scene_scale,) * 3


class EX4D_PG_shot(bpy.types.PropertyGroup):
    """A shot, on its Empty: the clip it stands for and the objects that show it."""

    is_shot: bpy.props.BoolProperty(name="Is a Shot", options={"HIDDEN"})
    shot_id: bpy.props.StringProperty(name="Shot", description="Stays the same when the Empty is renamed")
    clip_json: bpy.props.StringProperty(
        name="Clip", description="The clip as the backend knows it: contents by digest, intrinsics, length"
    )
    video_path: bpy.props.StringProperty(name="Video", subtype="FILE_PATH", options=PATH_OPTIONS)
    depth_path: bpy.props.StringProperty(name="Depth", subtype="FILE_PATH", options=PATH_OPTIONS)
    folder: bpy.props.StringProperty(
        name="Folder", description="Where this shot's mesh cache, footage, guides and takes lie"
    )
    num_frames: bpy.props.IntProperty(name="Frames", min=0)
    frame_start: bpy.props.IntProperty(
        name="Start", description="Scene frame that shows the clip's first frame", default=1
    )
    width: bpy.props.IntProperty(name="Width", min=0)
    height: bpy.props.IntProperty(name="Height", min=0)
    fps: bpy.props.FloatProperty(name="Frame Rate", min=0.0)
    intrinsics: bpy.props.FloatVectorProperty(
        name="Intrinsics", description="fx, fy, cx, cy of the source in pixels", size=4
    )
    pixel_aspect: bpy.props.FloatProperty(
        name="Pixel Aspect", description="Height of the clip's pixels in widths", min=0.01, default=1.0
    )
    intrinsics_source: bpy.props.StringProperty(name="Focal Length From")
    near_depth: bpy.props.FloatProperty(
        name="Nearest Depth", description="Nearest point of the first frame, in the clip's own unit", min=0.0
    )
    mesh: bpy.props.PointerProperty(name="Mesh", type=bpy.types.Object)
    source_camera: bpy.props.PointerProperty(
        name="Source Camera",
        description="Matches the camera that filmed the clip",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    camera: bpy.props.PointerProperty(
        name="Shot Camera",
        description="The camera whose move is sent to the backend; any Blender camera will do",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    use_source_time: bpy.props.BoolProperty(
        name="Retime",
        description="Show the source at the keyframed Source Frame instead of following the timeline",
        update=_set_playback,
    )
    source_time: bpy.props.FloatProperty(
        name="Source Frame",
        description="Frame of the source to show, counted from 0; keyframe it to freeze, slow down or reverse",
        min=0.0,
        options={"ANIMATABLE"},
    )
    scene_scale: bpy.props.FloatProperty(
        name="Scene Scale",
        description="Blender units per unit of the clip's depth; the same on all axes, so that cameras stay rigid",
        default=1.0,
        min=1e-4,
        update=_set_scale,
    )
    coverage_json: bpy.props.StringProperty(
        name="Coverage", description="Share of each frame that the source shows, as last rendered", default="[]"
    )


class EX4D_PG_take(bpy.types.PropertyGroup):
    """One generated result. Its folder holds the frames and ``take.json``, which makes it repeatable."""

    # PropertyGroup's own ``name`` is the take's name (take_001).
    shot_id: bpy.props.StringProperty(name="Shot")
    folder: bpy.props.StringProperty(name="Folder")
    engine: bpy.props.StringProperty(name="Engine")
    seed: bpy.props.IntProperty(name="Seed")
    settings_json: bpy.props.StringProperty(name="Settings", default="{}")
    coverage: bpy.props.FloatProperty(name="Mean Coverage", subtype="FACTOR", min=0.0, max=1.0)
    num_frames: bpy.props.IntProperty(name="Frames", min=0)
    frame_start: bpy.props.IntProperty(name="Start")
    plane: bpy.props.PointerProperty(name="Plane", type=bpy.types.Object)


class EX4D_PG_scene(bpy.types.PropertyGroup):
    """The scene's active shot, its takes, and what the next Generate will use."""

    shot: bpy.props.PointerProperty(name="Shot", type=bpy.types.Object, poll=lambda _self, obj: bool(obj.ex4d.is_shot))
    video_path: bpy.props.StringProperty(
        name="Video", description="A video file or a folder of PNG frames", subtype="FILE_PATH", options=PATH_OPTIONS
    )
    depth_path: bpy.props.StringProperty(
        name="Depth",
        description="Depth along the view axis: .npz, .npy, or a folder of 16-bit PNG or EXR frames",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )
    takes: bpy.props.CollectionProperty(name="Takes", type=EX4D_PG_take)
    active_take: bpy.props.IntProperty(name="Active Take", default=-1)
    fov_deg: bpy.props.FloatProperty(
        name="Field of View",
        description="Horizontal angle of the camera that filmed the clip, in degrees; 0 if unknown",
        default=0.0,
        min=0.0,
        max=179.0,
    )
    num_frames: bpy.props.IntProperty(
        name="Frames", description="Import the first so many frames; 0 imports all", default=0, min=0
    )
    depth_scale: bpy.props.FloatProperty(
        name="Depth Scale",
        description="Stored depth times this is depth; 0.001 for 16-bit millimetres",
        default=1.0,
        min=1e-9,
        precision=4,
    )
    fill_invalid: bpy.props.BoolProperty(
        name="Fill Invalid Depth", description="Replace NaN, infinite and non-positive depth by its neighbours"
    )
    preset: bpy.props.StringProperty(name="Move", description="A camera move the backend offers", default="30")
    amount: bpy.props.FloatProperty(
        name="Amount", description="Strength of the move in its own unit", default=0.0, precision=2
    )
    easing: bpy.props.EnumProperty(
        name="Easing",
        description="How the move spreads over its frames",
        items=(
            ("AUTO", "As the Move", "The move's own easing"),
            ("linear", "Linear", "The same speed throughout"),
            ("ease_in", "Ease In", "Starts slowly"),
            ("ease_out", "Ease Out", "Ends slowly"),
            ("ease_in_out", "Ease In and Out", "Starts and ends slowly"),
        ),
    )
    centre: bpy.props.EnumProperty(
        name="Centre",
        description="What the move turns around, on the source camera's axis",
        items=(
            ("NEAREST", "Nearest Point", "At the nearest point of the first frame, as EX-4D does"),
            ("MEDIAN", "Median Depth", "At the median depth of the first frame"),
            ("CURSOR", "3D Cursor", "At the depth of the 3D cursor"),
        ),
    )
    min_coverage: bpy.props.FloatProperty(
        name="Mark Below",
        description="Frames of which the source shows less than this are listed as problems",
        subtype="FACTOR",
        default=0.5,
        min=0.0,
        max=1.0,
    )
    show_coverage_strip: bpy.props.BoolProperty(
        name="Timeline Strip", description="Draw coverage as a coloured strip along the timeline", default=True
    )
    engine: bpy.props.StringProperty(name="Engine", description="What turns the guides into frames", default="preview")
    seed: bpy.props.IntProperty(
        name="Seed", description="The same seed, settings and machine give the same frames", min=0
    )


CLASSES = (EX4D_PG_shot, EX4D_PG_take, EX4D_PG_scene)


def attach() -> None:
    """Hang the groups on Object and Scene (after their classes are registered)."""
    bpy.types.Object.ex4d = bpy.props.PointerProperty(type=EX4D_PG_shot)
    bpy.types.Scene.ex4d = bpy.props.PointerProperty(type=EX4D_PG_scene)


def detach() -> None:
    """Take the groups off again (before their classes are unregistered)."""
    del bpy.types.Scene.ex4d
    del bpy.types.Object.ex4d
