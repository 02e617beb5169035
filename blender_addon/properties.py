"""User data on Scene and Object, saved in the .blend. Runtime state lives in ``session``, never here."""

# pyright: reportInvalidTypeForm=false

import bpy

from . import retime

PATH_OPTIONS: set[str] = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
"""Lets a path property hold ``//`` paths without a warning, where Blender has that option."""

OWN = {"LIBRARY_OVERRIDABLE"}
"""What a library override of a shot may have differently."""


CENTRES = (
    ("NEAREST", "Nearest Point", "At the nearest point of the first frame, as EX-4D does"),
    ("MEDIAN", "Median Depth", "At the median depth of the first frame"),
    ("CURSOR", "3D Cursor", "At the depth of the 3D cursor"),
)
"""What a move turns around."""


def _is_camera(_self, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


def _set_playback(self, _context: bpy.types.Context) -> None:
    retime.follow(self.id_data)


def _set_scale(self, _context: bpy.types.Context) -> None:
    self.id_data.scale = (self.scene_scale,) * 3


def _look_again(_self, _context: bpy.types.Context) -> None:
    from . import live  # the live view draws with these properties and is loaded after them

    live.current.options_changed()


def _redraw(_self, context: bpy.types.Context) -> None:
    for area in context.screen.areas if context.screen is not None else ():
        area.tag_redraw()


def _set_role(self, context: bpy.types.Context) -> None:
    self.id_data.is_holdout = self.role == "HOLDOUT"  # Blender's own renders then show the same hole
    _look_again(self, context)


class EX4D_PG_shot(bpy.types.PropertyGroup):
    """A shot, on its Empty: the clip it stands for and the objects that show it. ``role`` is for any object."""

    is_shot: bpy.props.BoolProperty(name="Is a Shot", description="This Empty stands for a shot", options={"HIDDEN"})
    role: bpy.props.EnumProperty(
        name="In Guides",
        description="How this object takes part in what is sent to the backend",
        items=(
            ("NONE", "Nothing", "It is not sent"),
            ("GUIDE", "Geometry", "Its faces are drawn with their colour, as something the source shows"),
            ("HOLDOUT", "Holdout", "It blocks what is behind it and leaves a hole, which the engine fills"),
        ),
        update=_set_role,
        override=OWN,
    )
    shot_id: bpy.props.StringProperty(name="Shot", description="Stays the same when the Empty is renamed")
    clip_json: bpy.props.StringProperty(
        name="Clip", description="The clip as the backend knows it: contents by digest, intrinsics, length"
    )
    video_path: bpy.props.StringProperty(
        name="Video", description="The clip's video as it was imported", subtype="FILE_PATH", options=PATH_OPTIONS
    )
    depth_path: bpy.props.StringProperty(
        name="Depth", description="The clip's depth as it was imported", subtype="FILE_PATH", options=PATH_OPTIONS
    )
    folder: bpy.props.StringProperty(
        name="Folder", description="Where this shot's mesh cache, footage, guides and takes lie"
    )
    num_frames: bpy.props.IntProperty(name="Frames", description="Length of the clip", min=0)
    frame_start: bpy.props.IntProperty(
        name="Start", description="Scene frame that shows the clip's first frame", default=1
    )
    width: bpy.props.IntProperty(name="Width", description="Of the clip, in pixels", min=0)
    height: bpy.props.IntProperty(name="Height", description="Of the clip, in pixels", min=0)
    fps: bpy.props.FloatProperty(name="Frame Rate", description="Of the clip", min=0.0)
    intrinsics: bpy.props.FloatVectorProperty(
        name="Intrinsics", description="fx, fy, cx, cy of the source in pixels", size=4
    )
    pixel_aspect: bpy.props.FloatProperty(
        name="Pixel Aspect", description="Height of the clip's pixels in widths", min=0.01, default=1.0
    )
    intrinsics_source: bpy.props.StringProperty(
        name="Focal Length From", description="Where the clip's focal length came from, in the backend's words"
    )
    depth_estimator: bpy.props.StringProperty(
        name="Depth Estimator", description="What estimated the depth; empty if it came as a file"
    )
    depth_licence: bpy.props.StringProperty(name="Depth Licence", description="Terms the estimated depth comes under")
    near_depth: bpy.props.FloatProperty(
        name="Nearest Depth", description="Nearest point of the first frame, in the clip's own unit", min=0.0
    )
    mesh: bpy.props.PointerProperty(name="Mesh", description="The shot's DW-mesh", type=bpy.types.Object)
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
        override=OWN,
    )
    use_source_time: bpy.props.BoolProperty(
        name="Retime",
        description="Show the source at the keyframed Source Frame instead of following the timeline",
        update=_set_playback,
        override=OWN,
    )
    source_time: bpy.props.FloatProperty(
        name="Source Frame",
        description="Frame of the source to show, counted from 0; keyframe it to freeze, slow down or reverse",
        min=0.0,
        options={"ANIMATABLE"},
        override=OWN,
    )
    scene_scale: bpy.props.FloatProperty(
        name="Scene Scale",
        description="Blender units per unit of the clip's depth; the same on all axes, so that cameras stay rigid",
        default=1.0,
        min=1e-4,
        update=_set_scale,
        override=OWN,
    )
    occluders: bpy.props.EnumProperty(
        name="Occluders",
        description="What blocks the view behind what the source shows, in guides, coverage and takes",
        items=(
            ("ENDLESS", "Endless", "Edges reach to the background, as the mesh here shows: what EX-4D was trained on"),
            ("SOLID", "Solid", "Things have a thickness: far more of the source is kept when the camera moves a lot"),
        ),
        update=_look_again,
        override=OWN,
    )
    thickness_by: bpy.props.EnumProperty(
        name="Thickness",
        description="How deep solid things are taken to be, behind their outline",
        items=(
            ("AUTO", "Automatic", "Estimated from what is seen of each"),
            ("SHARE", "Share of Depth", "The same share of the distance for all"),
            ("LENGTH", "Length", "The same length for all, in the clip's own unit"),
        ),
        update=_look_again,
        override=OWN,
    )
    thickness_share: bpy.props.FloatProperty(
        name="Share of Depth",
        description="Thickness of solid things as a share of their distance from the source camera",
        subtype="FACTOR",
        default=0.1,
        min=0.0,
        max=1.0,
        update=_look_again,
        override=OWN,
    )
    thickness_length: bpy.props.FloatProperty(
        name="Length",
        description="Thickness of solid things in the unit of the clip's depth",
        default=0.1,
        min=0.0,
        update=_look_again,
        override=OWN,
    )
    paint_by: bpy.props.EnumProperty(
        name="Painted As",
        description="What the thickness given to a selection means",
        items=(
            ("LENGTH", "Length", "A length in the unit of the clip's depth"),
            ("SHARE", "Share of Depth", "A share of each point's distance on the frame shown"),
        ),
        override=OWN,
    )
    paint_length: bpy.props.FloatProperty(
        name="Length",
        description="Thickness to give, in the unit of the clip's depth; a weight of 1 in Weight Paint mode",
        default=0.1,
        min=1e-4,
        soft_max=10.0,
        override=OWN,
    )
    paint_share: bpy.props.FloatProperty(
        name="Share of Depth",
        description="Thickness to give, as a share of each point's distance on the frame shown",
        subtype="FACTOR",
        default=0.1,
        min=1e-4,
        max=1.0,
        override=OWN,
    )
    show_thickness: bpy.props.BoolProperty(
        name="Show Painted Thickness",
        description="Tint what has a painted thickness in the 3D view: yellow is thin, violet is thick",
        default=True,
        update=_redraw,
        override=OWN,
    )
    other_frames: bpy.props.BoolProperty(
        name="Other Frames",
        description="Show, behind what is nearer, the background that other frames of a still camera saw",
        update=_look_again,
        override=OWN,
    )
    coverage_json: bpy.props.StringProperty(
        name="Coverage",
        description="Share of each frame that the source shows, as last rendered",
        default="[]",
        override=OWN,
    )


class EX4D_PG_take(bpy.types.PropertyGroup):
    """One generated result. Its folder holds the frames and ``take.json``, which makes it repeatable."""

    # PropertyGroup's own ``name`` is the take's name (take_001).
    shot_id: bpy.props.StringProperty(name="Shot", description="The shot it was made of")
    folder: bpy.props.StringProperty(name="Folder", description="Where its frames and take.json lie")
    engine: bpy.props.StringProperty(name="Engine", description="What made it")
    seed: bpy.props.IntProperty(name="Seed", description="What it was made with")
    settings_json: bpy.props.StringProperty(name="Settings", description="The engine's, as JSON", default="{}")
    coverage: bpy.props.FloatProperty(
        name="Mean Coverage", description="Share of it that the source shows", subtype="FACTOR", min=0.0, max=1.0
    )
    num_frames: bpy.props.IntProperty(name="Frames", description="Its whole length", min=0)
    frame_start: bpy.props.IntProperty(name="Start", description="Scene frame of its first frame")
    plane: bpy.props.PointerProperty(name="Plane", description="Shows the take", type=bpy.types.Object)
    partial: bpy.props.BoolProperty(
        name="Partial", description="Frames are missing: it is still being made, or ended early"
    )
    arrived: bpy.props.IntProperty(name="Frames There", description="Frames on disk", min=0)


class EX4D_PG_scene(bpy.types.PropertyGroup):
    """The scene's active shot, its takes, and what the next Generate will use."""

    shot: bpy.props.PointerProperty(
        name="Shot",
        description="The shot that the panels work on",
        type=bpy.types.Object,
        poll=lambda _self, obj: bool(obj.ex4d.is_shot),
    )
    video_path: bpy.props.StringProperty(
        name="Video", description="A video file or a folder of PNG frames", subtype="FILE_PATH", options=PATH_OPTIONS
    )
    depth_path: bpy.props.StringProperty(
        name="Depth",
        description="Depth along the view axis: .npz, .npy, or a folder of 16-bit PNG or EXR frames",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )
    takes: bpy.props.CollectionProperty(name="Takes", description="Results of the scene's shots", type=EX4D_PG_take)
    active_take: bpy.props.IntProperty(
        name="Active Take", description="The take that the buttons below the list act on", default=-1
    )
    depth_source: bpy.props.EnumProperty(
        name="Depth From",
        description="Where the clip's depth comes from",
        items=(
            ("FILE", "File", "A file or folder with the depth of every frame"),
            ("ESTIMATE", "Estimate", "The backend estimates it from the video"),
        ),
    )
    estimator: bpy.props.StringProperty(
        name="Estimator", description="The backend's depth estimator; empty is its default"
    )
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
        items=CENTRES,
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
    wipe: bpy.props.FloatProperty(
        name="Wipe",
        description="Where the comparison changes from the left take to the right one; can be keyframed",
        subtype="FACTOR",
        default=0.5,
        min=0.0,
        max=1.0,
        options={"ANIMATABLE"},
    )
    compare_left: bpy.props.StringProperty(name="Left", description="Shown to the left of the wipe")
    compare_right: bpy.props.StringProperty(name="Right", description="Shown to the right of the wipe")
    compare_shot: bpy.props.StringProperty(name="Compared Shot", description="Empty while nothing is compared")


CLASSES = (EX4D_PG_shot, EX4D_PG_take, EX4D_PG_scene)


def attach() -> None:
    """Hang the groups on Object and Scene (after their classes are registered)."""
    bpy.types.Object.ex4d = bpy.props.PointerProperty(type=EX4D_PG_shot, override=OWN)
    bpy.types.Scene.ex4d = bpy.props.PointerProperty(type=EX4D_PG_scene)


def detach() -> None:
    """Take the groups off again (before their classes are unregistered)."""
    del bpy.types.Scene.ex4d
    del bpy.types.Object.ex4d
