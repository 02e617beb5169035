"""The coverage that is kept with a shot, and how the scene shows it."""

import bpy

from ..scene.properties import draw_again
from ..work.properties import OWN, Choice, Collection, Flag, Number, Share, Text, Whole


class EX4D_PG_plane(bpy.types.PropertyGroup):
    """A plane of the place; ``name`` is Blender's own. Vectors are in the clip's world, which is the Empty's space."""

    use: Flag("Use", "Previews show this plane, and coverage counts what goes on it", default=True, update=draw_again)
    texture: Choice(
        "Colours",
        "Where this plane's colours come from where the clip does not show it",
        ("CLIP", "Picture", "What the clip shows of it goes on, with its texture"),
        ("SMOOTH", "Smooth", "Its smooth colours alone go on, without texture"),
        update=draw_again,
    )
    added: Flag("Added", "It was added, not found", options={"HIDDEN"})
    normal: bpy.props.FloatVectorProperty(name="Normal", description="Of length one, away from the camera", size=3)
    distance: Number("Distance", "Of the plane from the world's origin, along its normal")
    share: Share("Share", "Of the clip's picture that lies on it")
    centre: bpy.props.FloatVectorProperty(name="Centre", description="Middle of what is shown of it", size=3)
    reach: Number("Reach", "Half the side of the square that is shown of it", min=0.0)


class ShotProperties:
    """What the source shows of a shot's move, and the planes of its place."""

    planes: Collection("Planes", "Floor and walls that previews show; empty: as they are found", type=EX4D_PG_plane)
    active_plane: Whole("Chosen Plane", "Of the list", min=0)
    show_planes: Flag("Show Planes", "Show the planes as grids in the 3D view", default=True)

    coverage_json: Text(
        "Coverage", "Share of each frame that the source shows, as last rendered", default="[]", override=OWN
    )
    on_plane_json: Text(
        "Goes On", "Share of each frame where a floor or a wall goes on, as last rendered", default="[]", override=OWN
    )


class SceneProperties:
    """How coverage is shown."""

    min_coverage: Share(
        "Mark Below", "Frames of which the source shows less than this are listed as problems", default=0.5
    )
    rasterizer: Choice(
        "Rasterizer",
        "What draws guides and live views on the backend",
        ("AUTO", "Automatic", "The backend's own choice: the GPU where it can draw there, else the CPU"),
        ("CPU", "CPU", "The same picture without a GPU"),
        ("TRITON", "GPU", "Our own program on an NVIDIA GPU"),
        ("NVDIFFRAST", "nvdiffrast", "NVIDIA's program; its licence forbids commercial use"),
    )
    show_coverage_strip: Flag("Timeline Strip", "Draw coverage as a coloured strip along the timeline", default=True)
