"""What covers the footage as a clip comes into a scene that holds something already.

The source camera of a clip stands at the world's origin, where Blender's own first scene has its cube, and where every
other clip stands that nobody has moved.
"""

from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from ..work import session
from ..work.hooks import Hook
from ..work.languages import say
from ..work.operators import QuickOperator
from . import linked, viewing
from . import shot as shots

switched_off = Hook()
"""Called with the scene and a shot whose mesh was switched off for another's."""

RAYS = 5
"""To either side of the camera's frame."""
MOST = 0.5
"""Share of the rays that a thing may stop before it is in the way."""
CUBE = "Cube"
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)


def make_way(context: bpy.types.Context, shot: bpy.types.Object) -> str:
    """Hide what covers the footage of ``shot`` and is nobody's work; returns what to say of it and of the rest.

    Hidden are the cube of Blender's first scene, as long as nobody has touched it, and the meshes of other shots in the
    same place. What else an artist has put before the camera stays and is named.
    """
    said: list[str] = []
    for other in _in_same_place(context.scene, shot):
        _switch_off(context.scene, other)
        said.append(
            say(f"'{other.name}' stands in the same place and is switched off; choose it above to have it back.")
        )
    for thing in _before_camera(context, shot):
        if is_first_cube(thing):
            thing.hide_set(True)
            said.append(say(f"Blender's '{thing.name}' stood before the camera and is hidden; Alt-H shows it."))
        else:
            said.append(say(f"'{thing.name}' covers the footage; move or hide it."))
    return " ".join(said)


def is_first_cube(thing: bpy.types.Object) -> bool:
    """Whether it is the cube that Blender begins with, as it was."""
    data: Any = thing.data
    if thing.type != "MESH" or thing.name != CUBE or len(data.vertices) != len(CORNERS):
        return False
    if thing.modifiers or thing.constraints or thing.parent or thing.children or thing.animation_data:
        return False
    found = np.empty(CORNERS.size, np.float32)
    data.vertices.foreach_get("co", found)
    return thing.matrix_world.is_identity and sorted(found.reshape(-1, 3).tolist()) == CORNERS.tolist()


def _in_same_place(scene: bpy.types.Scene, shot: bpy.types.Object) -> list[bpy.types.Object]:
    """Other shots of the scene that are seen, and stand no further away than the nearest thing of this one."""
    place, near = shot.matrix_world.translation, shot.ex4d.near_depth * shot.matrix_world.median_scale
    found = []
    for other in scene.objects:
        body = other.ex4d.mesh if other.ex4d.is_shot and other != shot else None
        if body is None or not body.visible_get() or linked.library_of(body) is not None:
            continue
        if (other.matrix_world.translation - place).length <= near:
            found.append(other)
    return found


def _switch_off(scene: bpy.types.Scene, shot: bpy.types.Object) -> None:
    shot.ex4d.mesh.hide_viewport = shot.ex4d.mesh.hide_render = True
    switched_off(scene, shot)


def _before_camera(context: bpy.types.Context, shot: bpy.types.Object) -> list[bpy.types.Object]:
    """Objects with faces, of no shot, that cover most of the frame nearer than anything of the clip."""
    camera, depsgraph = shot.ex4d.source_camera, context.evaluated_depsgraph_get()
    pose = camera.evaluated_get(depsgraph).matrix_world.normalized()
    far = shot.ex4d.near_depth * shot.matrix_world.median_scale
    top_right, _, bottom_left, _ = camera.data.view_frame(scene=context.scene)
    shares = (np.arange(RAYS) + 0.5) / RAYS
    # To the plane at depth ``far``: a hit before a ray's end is nearer than the clip.
    corners = [corner * (far / -corner.z) for corner in (bottom_left, top_right)]
    ends = [
        pose @ Vector((*(a + (b - a) * t for a, b, t in zip(*(c.xy for c in corners), (u, v), strict=True)), -far))
        for u in shares
        for v in shares
    ]
    found = []
    for thing in context.view_layer.objects:
        if thing.type != "MESH" or not thing.visible_get() or thing.display_type in ("WIRE", "BOUNDS"):
            continue
        if _is_of_shot(thing) or not thing.evaluated_get(depsgraph).data.polygons:
            continue
        if sum(_stops(thing.evaluated_get(depsgraph), pose.translation, end) for end in ends) >= MOST * len(ends):
            found.append(thing)
    return found


def _stops(thing: bpy.types.Object, start: Vector, end: Vector) -> bool:
    """Whether a face of ``thing`` is met on the way."""
    inverse = thing.matrix_world.inverted_safe()
    begin, way = inverse @ start, inverse @ end - inverse @ start
    return way.length > 0 and thing.ray_cast(begin, way, distance=way.length)[0]


def _is_of_shot(thing: bpy.types.Object) -> bool:
    above: bpy.types.Object | None = thing
    while above is not None:
        if above.ex4d.is_shot:
            return True
        above = above.parent
    return False


def is_shown(scene: bpy.types.Scene, shot: bpy.types.Object) -> bool:
    """Whether the shot's mesh is on and the scene looks through no other shot's camera."""
    body = shot.ex4d.mesh
    if body is not None and (body.hide_viewport or body.hide_get()):
        return False
    camera = scene.camera
    of = camera.parent if camera is not None else None
    while of is not None and not of.ex4d.is_shot:
        of = of.parent
    return of is None or of == shot


class EX4D_OT_show_shot(QuickOperator, bpy.types.Operator):
    """Show this shot's mesh, and give the scene this shot's camera, size, frame rate and range"""

    bl_label = "Show This Shot"
    bl_options = {"REGISTER", "UNDO"}
    requires = (shots.active_shot,)

    def run(self, context: bpy.types.Context) -> str:
        scene, target = context.scene, shots.active_shot(context)
        body = target.ex4d.mesh
        body.hide_viewport = body.hide_render = False
        body.hide_set(False)
        for other in _in_same_place(scene, target):
            _switch_off(scene, other)
        shots.fit_scene(scene, target)
        scene.camera = target.ex4d.camera or scene.camera
        if context.area is not None and context.area.type == "VIEW_3D" and scene.camera is not None:
            viewing.frame_camera(context.area, scene, scene.camera)
        session.get().tell("")  # what an import said of another shot's mesh
        return f"The scene has the camera, size, frame rate and range of '{target.name}'."
