"""What the Clip panel has chosen, and what an import asks for: which clip, and how to read it."""

import math

from ex4d_ground.grids import PROXY_SIDE

from ..work.properties import Choice, File, Flag, Number, Text, Whole

FIELD_CHOICES = (
    ("deinterlace", "Deinterlace", "Make the two fields of each frame one picture, and say so"),
    ("refuse", "Refuse", "Import progressive video alone"),
)


class ClipReading:
    """A clip and how to read it; the scene's choice, and an import's."""

    video_path: File("Video", "A video file or a folder of PNG frames")
    depth_path: File("Depth", "Depth along the view axis: .npz, .npy, or a folder of 16-bit PNG or EXR frames")
    fov_deg: Number(
        "Field of View",
        "Horizontal angle of the camera that filmed the clip, in degrees; 0 if unknown",
        min=0.0,
        max=179.0,
    )
    num_frames: Whole("Frames", "Import the first so many frames; 0 imports all", min=0)
    depth_scale: Number(
        "Depth Scale",
        "Stored depth times this is depth; 0.001 for 16-bit millimetres. Whole numbers need another than 1",
        default=1.0,
        min=1e-9,
        precision=4,
    )
    depth_channel: Text(
        "Depth Channel", "Channel, pass or part of the depth's EXR files; empty takes the one whose name says depth"
    )
    grid_side: Whole(
        "Mesh Side",
        "Vertices along the long side of the mesh that is shown and edited here; the backend keeps full size in any "
        "case. 0 is one vertex for each pixel",
        default=PROXY_SIDE,
        min=0,
        max=16384,
    )
    colour_name: Text(
        "Colour Space",
        "What the video's numbers mean, where it does not say so or is wrong: srgb, rec709, linear, acescg, pq, hlg, "
        "or a name of OpenColorIO's such as a camera's log curve; empty believes the video",
    )
    ocio_path: File(
        "Colour Configuration",
        "The OpenColorIO configuration (.ocio, or .ocioz with its tables) that the colour space is a name of; empty "
        "takes that of $OCIO, else the backend's",
    )
    fields: Choice("Interlaced", "What becomes of video whose frames hold two moments each", *FIELD_CHOICES)
    fill_invalid: Flag("Fill Invalid Depth", "Fill depth that is missing, zero or negative from what surrounds it")


FROM_FILE = ("FILE", "File", "A file or folder with the depth of every frame")
ESTIMATED = ("ESTIMATE", "Estimate", "The backend estimates it from the video")


class SceneProperties(ClipReading):
    """What the next import will use."""

    depth_source: Choice("Depth From", "Where the clip's depth comes from", FROM_FILE, ESTIMATED, default="ESTIMATE")
    estimator: Text("Estimator", "The backend's depth estimator; empty is its default")
    field_of_view: Number(
        "Field of View",
        "Horizontal angle of the camera that filmed the clip; 0 if unknown",
        subtype="ANGLE",
        get=lambda self: math.radians(self.fov_deg),
        set=lambda self, value: setattr(self, "fov_deg", math.degrees(value)),
        min=0.0,
        max=math.radians(179),
    )
