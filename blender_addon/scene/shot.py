"""A shot in the scene: the Empty, the mesh with its cache and footage, and the camera that matches the source."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ex4d_ground import grids
from ex4d_ground.arrays import Int32
from ex4d_ground.footage import exact_rate, rate_of
from ex4d_ground.remedies import object_mode

from ..work import files, pc2, unsaved
from ..work.errors import AddonError
from . import axes, cameras, linked, materials, mesh, retime, rig
from .clip import ClipFacts, StoredClip


def require_object_mode(context: bpy.types.Context) -> None:
    """Raise AddonError unless Blender is in Object Mode: data of an object being edited cannot be replaced."""
    mode = context.mode
    if mode != "OBJECT":
        raise AddonError(f"Blender is in {mode.replace('_', ' ').title()} Mode.", remedy=object_mode())


def active_shot(context: bpy.types.Context) -> bpy.types.Object:
    """The scene's shot. Raises AddonError if there is none."""
    shot = context.scene.ex4d.shot
    if shot is None or shot.name not in context.scene.objects:
        raise AddonError("There is no shot in this scene yet; import a clip first.")
    return shot


def scene_of(shot: bpy.types.Object, preferred: bpy.types.Scene) -> bpy.types.Scene:
    """A scene that shows the shot: ``preferred`` if it does. Raises AddonError if none does any more."""
    if shot.name in preferred.objects:
        return preferred
    scenes = shot.users_scene
    if not scenes:
        raise AddonError(f"Shot '{shot.name}' is in no scene any more; link it to one and look into its folder.")
    return scenes[0]


def still_there(shot_id: str) -> bpy.types.Object:
    """The shot's Empty after a job. Raises AddonError if it was deleted meanwhile."""
    shot = by_id(shot_id)
    if shot is None:
        raise AddonError("The shot was deleted while this was running; its files are still on disk.")
    return shot


def by_id(shot_id: str) -> bpy.types.Object | None:
    """The shot's Empty, whatever it is called now, before one linked from its own file; None if it was deleted."""
    shots = [o for o in bpy.data.objects if o.ex4d.is_shot and o.ex4d.shot_id == shot_id]
    return min(shots, key=lambda o: o.library is not None, default=None)


def shot_camera(shot: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Object:
    """The camera whose move counts: the shot's own. Raises AddonError if there is none."""
    cam = shot.ex4d.camera
    if cam is None:
        raise AddonError(
            f"Shot '{shot.name}' has no camera; add a camera move or choose a shot camera in the EX-4D panel."
        )
    if cam.name not in scene.objects:
        raise AddonError(
            f"The camera '{cam.name}' of shot '{shot.name}' is not in this scene any more; choose another shot camera."
        )
    return cam


def active_camera(context: bpy.types.Context) -> bpy.types.Object:
    """The camera whose move counts. Raises AddonError without a shot in the scene, or without a camera."""
    return shot_camera(active_shot(context), context.scene)


def folder_of(shot: bpy.types.Object) -> Path:
    """Where the shot's imported files lie."""
    return linked.absolute(shot.ex4d.folder, shot)


def cache_of(shot: bpy.types.Object) -> Path:
    """The mesh cache that the shot plays without edits: the import's, or what another lens makes of it."""
    return folder_of(shot) / (shot.ex4d.lens_cache or files.CACHE_FILE)


def output_folder(shot: bpy.types.Object) -> Path:
    """Where guides and takes of the shot go: its own folder, or one beside this .blend if it comes from another.

    Raises AddonError for a shot from another file in a .blend that was never saved.
    """
    if linked.library_of(shot) is None:
        return folder_of(shot)
    return unsaved.shot_folder(bpy.data.filepath, shot.name)


def stored_clip(shot: bpy.types.Object) -> StoredClip:
    """The shot's clip, how it was filmed and where its files were. Raises AddonError if its rig shows another path."""
    return replace(unfilmed_clip(shot), filmed_by=rig.as_filmed(shot), has_own_lens=bool(shot.ex4d.lens_cache))


def unfilmed_clip(shot: bpy.types.Object) -> StoredClip:
    """The shot's clip without a word of how it was filmed, and where its files were."""
    props = shot.ex4d
    video, depth = (linked.absolute(path, shot) for path in (props.video_path, props.depth_path))
    lens = tuple(props.intrinsics) if props.depth_estimator else None
    ocio = linked.absolute(props.ocio_path, shot) if props.ocio_path else None
    return StoredClip(props.clip_json, video, depth, lens, props.grid_side, ocio)


def grid_of(shot: bpy.types.Object) -> grids.Grid:
    """Which of the clip's pixels are vertices of the shot's mesh."""
    return grids.grid_of(shot.ex4d.width, shot.ex4d.height, shot.ex4d.grid_side)


def build(
    context: bpy.types.Context,
    facts: ClipFacts,
    faces: Int32,  # [F, 3]
    folder: Path,
    *,
    shot_id: str,
    frame_start: int,
) -> bpy.types.Object:
    """Make the shot of the files in ``folder`` (mesh.pc2, visible/, colour/ unless the video is played); link it."""
    vertices = pc2.read_pc2(folder / files.CACHE_FILE)[0]
    size = {"width": facts.width, "height": facts.height, "side": facts.grid_side}
    data = mesh.build_mesh(f"{facts.name} Mesh", vertices, faces, **size)
    made = _build(context, facts, data, folder, shot_id=shot_id, frame_start=frame_start, num_shown=facts.num_frames)
    _play_cache(made, folder)
    return made


def build_first(
    context: bpy.types.Context,
    facts: ClipFacts,
    data: bpy.types.Mesh,
    lies_in: Path,
    folder: Path,
    *,
    shot_id: str,
    frame_start: int,
) -> bpy.types.Object:
    """Make the shot of its first frame's mesh, whose pictures lie in ``lies_in`` until all are in ``folder``."""
    data.name = f"{facts.name} Mesh"
    made = _build(context, facts, data, lies_in, shot_id=shot_id, frame_start=frame_start, num_shown=1)
    made.ex4d.arriving, made.ex4d.folder = True, files.blender_path(folder, bpy.data.filepath)
    return made


def lost_mesh(shot: bpy.types.Object) -> AddonError:
    """For a shot whose mesh somebody deleted."""
    return AddonError(f"Shot '{shot.name}' has lost its mesh; undo its deletion or import the clip again.")


def complete(shot: bpy.types.Object, facts: ClipFacts, folder: Path, *, lay_in: str) -> None:
    """All frames of a shot that was built by its first one have come to ``folder``: play them.

    ``facts`` are the whole clip's, of which the first frame may have told less. Until then its pictures lay in the
    folder ``lay_in`` beside it. Raises AddonError if its mesh is gone.
    """
    props = shot.ex4d
    if props.mesh is None:
        raise lost_mesh(shot)
    _tell(props, facts)
    props.arriving, props.folder = False, files.blender_path(folder, bpy.data.filepath)
    first = pc2.read_pc2(folder / files.CACHE_FILE)[0]
    if not props.mesh.data.is_editmode and not np.array_equal(mesh.positions(props.mesh.data), first):
        mesh.set_positions(props.mesh.data, first)  # what is sky, say, only the whole clip tells
    for material in props.mesh.data.materials:
        for image, user in materials.images_of(material) if material is not None else ():
            path = Path(bpy.path.abspath(image.filepath))
            if path.parent.parent.name == lay_in:
                moved = folder / path.parent.name / path.name
                image.filepath = files.blender_path(moved, bpy.data.filepath)
            materials.use_frames(user, frame_start=props.frame_start, num_frames=props.num_frames)
    _play_cache(shot, folder)
    retime.follow(shot)


def take_away(shot: bpy.types.Object) -> None:
    """Remove a shot with what was made for it; what artists hung on it, or use elsewhere, stays."""
    props, collections = shot.ex4d, list(shot.users_collection)
    body, source, rigged = props.mesh, props.source_camera, props.rig
    used = [] if body is None else [material for material in body.data.materials if material is not None]
    images = [image for material in used for image, _ in materials.images_of(material)]
    data = [obj.data for obj in (body, source) if obj is not None]
    for scene in bpy.data.scenes:
        if scene.ex4d.shot == shot:
            scene.ex4d.shot = None
    for obj in (body, source, rigged, shot):
        if obj is not None:
            bpy.data.objects.remove(obj)
    for things in (data, used, images):
        bpy.data.batch_remove([each for each in things if not each.users])
    bpy.data.batch_remove([each for each in collections if not each.all_objects and not each.children])


def _play_cache(shot: bpy.types.Object, folder: Path) -> None:
    path = files.blender_path(folder / files.CACHE_FILE, bpy.data.filepath)
    cache = mesh.add_cache(shot.ex4d.mesh, path, frame_start=shot.ex4d.frame_start)
    shot.ex4d.mesh.modifiers.move(list(shot.ex4d.mesh.modifiers).index(cache), 0)


def _build(
    context: bpy.types.Context,
    facts: ClipFacts,
    data: bpy.types.Mesh,
    folder: Path,
    *,
    shot_id: str,
    frame_start: int,
    num_shown: int,
) -> bpy.types.Object:
    blend = bpy.data.filepath
    empty = bpy.data.objects.new(facts.name, None)
    # It stands where the source camera does, so its axes would be drawn over the footage. Hidden it would not be
    # evaluated; so it is tiny.
    empty.empty_display_type, empty.empty_display_size = "PLAIN_AXES", rig.HANDLE_SIZE
    empty.rotation_euler = axes.SHOT_EULER
    collection = bpy.data.collections.new(facts.name)
    context.scene.collection.children.link(collection)
    collection.objects.link(empty)

    video = Path(bpy.path.abspath(facts.video_path))
    colour = materials.load_footage(folder / files.COLOUR_FOLDER, video, name=f"{facts.name} Footage")
    visible = materials.load_sequence(folder / files.VISIBLE_FOLDER, name=f"{facts.name} Visible", colour=False)
    lasts = {"frame_start": frame_start, "num_frames": num_shown}
    data.materials.append(materials.footage_material(f"{facts.name} Footage", colour, visible, **lasts))
    data.materials.append(materials.holdout_material(f"{facts.name} Caps"))
    body = bpy.data.objects.new(f"{facts.name} Mesh", data)
    _parent(body, empty, collection)

    source = new_camera(f"{facts.name} Source Camera", empty, scene=context.scene)
    cameras.match_lens(source.data, facts.intrinsics, width=facts.width, height=facts.height)
    cameras.start_lens(source.data, near_depth=facts.near_depth)
    props = empty.ex4d
    _tell(props, facts)
    props.is_shot, props.shot_id, props.frame_start = True, shot_id, frame_start
    props.folder, props.pixel_aspect = files.blender_path(folder, blend), facts.intrinsics[0] / facts.intrinsics[1]
    props.mesh, props.source_camera = body, source
    context.scene.ex4d.shot = empty
    return empty


def _tell(props: Any, facts: ClipFacts) -> None:
    """Keep with a shot what is known of its clip."""
    for name, value in asdict(facts).items():
        if name != "name":  # the Empty has it
            setattr(props, name, value)


def collection_of(shot: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Collection:
    """Where new objects of the shot go: its collection, or the scene's if that is another file's. Raises AddonError."""
    own = [collection for collection in shot.users_collection if linked.library_of(collection) is None]
    return own[0] if own else scene_of(shot, scene).collection


def new_camera(name: str, shot: bpy.types.Object, *, scene: bpy.types.Scene | None = None) -> bpy.types.Object:
    """A camera below ``shot``, at the source camera's place, in ``scene`` (or the context's)."""
    obj = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    _parent(obj, shot, collection_of(shot, scene or bpy.context.scene))
    obj.matrix_local = Matrix(axes.BLENDER_CAMERA_FLIP.tolist())
    return obj


def fit_scene(scene: bpy.types.Scene, shot: bpy.types.Object) -> None:
    """Give the scene the clip's size, frame rate and range, and look through the source camera."""
    props = shot.ex4d
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = props.width, props.height, 100
    aspect = props.pixel_aspect  # Blender accepts no pixel aspect below 1, so the other side grows
    render.pixel_aspect_x, render.pixel_aspect_y = max(1 / aspect, 1.0), max(aspect, 1.0)
    exact = rate_of(props.rate) or exact_rate(props.fps)
    render.fps = max(round(exact), 1)
    render.fps_base = float(render.fps / exact)
    scene.frame_start = props.frame_start
    scene.frame_end = props.frame_start + props.num_frames - 1
    scene.frame_set(props.frame_start)
    scene.camera = props.source_camera


def _parent(obj: bpy.types.Object, shot: bpy.types.Object, collection: bpy.types.Collection) -> None:
    obj.parent = shot
    collection.objects.link(obj)
