"""The note beside exported geometry: what whoever opens it elsewhere has to know. In English, for anybody."""

from ..scene.topology import NUM_CAPS
from .plan import ALEMBIC, GeometryPlan, fps_words


def text_of(plan: GeometryPlan, suffix: str) -> str:
    """Rate, frames, axes, units and pictures."""
    fps, first, last, picture = fps_words(plan.fps), plan.frames[0], plan.frames[-1], plan.picture
    opened = f"{plan.title}.abc" if plan.kind == ALEMBIC else f"{plan.title}.usda"
    points, triangles = plan.grid.num_vertices, plan.grid.num_faces - NUM_CAPS
    return f"""{opened}

Frame rate   {fps} frames a second. Set the scene to it BEFORE the file is opened: both formats keep
             seconds or this rate's time codes, and a scene of another rate shows the geometry of other frames.
Frames       {first} to {last}
Axes, units  Y up, right-handed; one unit is one unit of the Blender scene, a metre as Blender counts.
             The clip's depth alone says how large that is in the picture.
Mesh         {points} vertices, {triangles} triangles, the same in all frames; in world space.
             Its outermost line lies far behind the scene and closes it; hide it by the pictures 'visible'.
Cameras      {", ".join(plan.moves) or "none"}; filmback 36 wide, for a picture of {picture.width} x {picture.height}.
Pictures     frames/colour.####{suffix}   the clip: emission, not lit; its colours as Blender shows them
             frames/visible.####.png  white where the mesh shows: opacity, cut at 125 of 255; data, not colour
             UV set: st in USD, the only one in Alembic; clamp at the picture's edge.
{_material(plan)}"""


def _material(plan: GeometryPlan) -> str:
    if plan.kind == ALEMBIC:
        return "Material     Alembic has none: assign the pictures by hand.\n"
    return (
        "Material     /root/Materials/Footage, bound to the mesh; its pictures change with time. A program that shows\n"
        "             the first one on all frames does not read time samples of textures: load the sequence there.\n"
    )
