"""What Blender does not evaluate by itself is evaluated all the same, and the artist's scene is as it was."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

FRAMES = range(1, 6)


def switched_off(blender, cam):
    cam.hide_viewport = True


def hidden_by_the_eye(blender, cam):
    cam.hide_set(True)


def into_collection(blender, obj):
    collection = blender.data.collections.new("Rigs")
    blender.context.scene.collection.children.link(collection)
    for other in obj.users_collection:
        other.objects.unlink(obj)
    collection.objects.link(obj)
    return collection


def in_an_excluded_collection(blender, cam):
    into_collection(blender, cam)
    blender.context.view_layer.layer_collection.children["Rigs"].exclude = True


def in_a_collection_switched_off(blender, cam):
    into_collection(blender, cam).hide_viewport = True


def in_a_collection_hidden_by_the_eye(blender, cam):
    into_collection(blender, cam)
    blender.context.view_layer.layer_collection.children["Rigs"].hide_viewport = True


def off_by_a_key(blender, cam):
    for frame, hidden in ((1, False), (2, True)):
        cam.hide_viewport = hidden
        cam.keyframe_insert("hide_viewport", frame=frame)


def off_by_a_driver(blender, cam):
    cam.driver_add("hide_viewport").driver.expression = "frame > 1"


def off_twice(blender, cam):
    switched_off(blender, cam)
    in_an_excluded_collection(blender, cam)
    cam.hide_select = True


WAYS = [value for value in list(globals().values()) if callable(value) and hasattr(value, "__code__")
        and value.__code__.co_varnames[:2] == ("blender", "cam")]  # fmt: skip


def keyed(blender, name: str, data: Any = None) -> Any:
    """An object that moves by 1 a frame along x, and zooms if it is a camera."""
    obj = blender.data.objects.new(name, data)
    blender.context.scene.collection.objects.link(obj)
    for frame in FRAMES:
        obj.location = (frame - 1, 0, 0)
        obj.keyframe_insert("location", frame=frame)
        if data is not None:
            data.lens = 20 + frame
            data.keyframe_insert("lens", frame=frame)
    return obj


def state(blender) -> dict[str, Any]:
    """Everything of the scene that looking at objects could change."""
    scene, layer = blender.context.scene, blender.context.view_layer
    objects = {
        obj.name: (obj.hide_viewport, obj.hide_render, obj.visible_get(), tuple(obj.location), obj.select_get())
        for obj in blender.data.objects
    }
    collections = {c.name: (c.hide_viewport, [o.name for o in c.objects]) for c in blender.data.collections}
    layers = {c.name: (c.exclude, c.hide_viewport) for c in layer.layer_collection.children}
    mutes = [c.mute for a in blender.data.objects if a.animation_data for c in a.animation_data.drivers]
    camera = scene.camera.name if scene.camera else None
    return {"objects": objects, "collections": collections, "layers": layers, "frame": scene.frame_current,
            "camera": camera, "scenes": len(blender.data.scenes), "mutes": mutes}  # fmt: skip


def seen(blender, shot, cam) -> tuple[list[float], list[float]]:
    from blender_addon.scene import cameras

    sampled = cameras.sample(blender.context, shot, cam)
    return sampled.world_from_camera[:, 0, 3].round(4).tolist(), sampled.intrinsics[:, 0].tolist()


@pytest.fixture
def camera(blender, shot):
    cam = keyed(blender, "Move", blender.data.cameras.new("Move"))
    cam.rotation_euler = (math.pi / 2, 0, 0)
    shot.ex4d.camera = cam
    blender.context.scene.frame_set(3)
    return cam


@pytest.mark.parametrize("hide", WAYS)
def test_a_hidden_camera_moves_and_zooms_all_the_same(blender, shot, camera, hide):
    wanted = seen(blender, shot, camera)
    assert wanted[0] == [0, 1, 2, 3, 4] and len(set(wanted[1])) == 5
    hide(blender, camera)
    before = state(blender)
    assert seen(blender, shot, camera) == wanted
    assert state(blender) == before


HANGINGS = ["parent", "constraint", "driver", "bone", "vertex", "path", "grandparent"]


def hidden_hangings() -> list[Any]:
    """Every way to hang a camera with every way to hide what it hangs from; two of each are tried as a rule."""
    usual = {(HANGINGS[(w + shift) % len(HANGINGS)], hide) for w, hide in enumerate(WAYS) for shift in (0, 3)}
    return [
        pytest.param(*pair, marks=() if pair in usual else pytest.mark.slow, id=f"{pair[0]}-{pair[1].__name__}")
        for pair in product(HANGINGS, WAYS)
    ]


@pytest.mark.parametrize(("how", "hide"), hidden_hangings())
def test_what_a_camera_hangs_from_may_be_hidden(blender, shot, camera, hide, how):
    """A rig, a target, a driver's source: the camera takes its movement from it alone."""
    camera.animation_data_clear()
    camera.location = (0, 0, 0)
    rig = keyed(blender, "Rig")
    if how == "parent":
        camera.parent = rig
    elif how == "grandparent":
        between = blender.data.objects.new("Between", None)
        blender.context.scene.collection.objects.link(between)
        between.parent, camera.parent = rig, between
        between.hide_viewport = True
    elif how == "constraint":
        camera.constraints.new("COPY_LOCATION").target = rig
    elif how == "driver":
        driver = camera.driver_add("location", 0).driver
        variable = driver.variables.new()
        variable.targets[0].id, variable.targets[0].data_path = rig, "location.x"
        driver.expression = variable.name
    elif how == "vertex":
        mesh = blender.data.meshes.new("Mesh")
        mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
        body = blender.data.objects.new("Body", mesh)
        blender.context.scene.collection.objects.link(body)
        body.parent, camera.parent = rig, body
        camera.parent_type, camera.parent_vertices = "VERTEX", (0, 0, 0)
        rig = body
    elif how == "bone":
        armature = blender.data.objects.new("Armature", blender.data.armatures.new("Armature"))
        blender.context.scene.collection.objects.link(armature)
        blender.context.view_layer.objects.active = armature
        blender.ops.object.mode_set(mode="EDIT")
        bone = armature.data.edit_bones.new("Bone")
        bone.tail = (0, 0, 1)
        blender.ops.object.mode_set(mode="OBJECT")
        armature.pose.bones["Bone"].constraints.new("COPY_LOCATION").target = rig
        camera.constraints.new("COPY_LOCATION").target = armature
        camera.constraints[0].subtarget = "Bone"
        rig = armature
    elif how == "path":
        curve = blender.data.curves.new("Path", "CURVE")
        curve.dimensions, curve.use_path = "3D", True
        line = curve.splines.new("POLY")
        line.points.add(1)
        line.points[0].co, line.points[1].co = (0, 0, 0, 1), (8, 0, 0, 1)
        body = blender.data.objects.new("Path", curve)
        blender.context.scene.collection.objects.link(body)
        follow = camera.constraints.new("FOLLOW_PATH")
        follow.target, follow.use_fixed_location = body, True
        for frame in FRAMES:
            follow.offset_factor = (frame - 1) / 4
            follow.keyframe_insert("offset_factor", frame=frame)
        rig = body
    wanted = seen(blender, shot, camera)[0]
    if how == "path":
        assert len(set(wanted)) == 5
    else:
        assert wanted == pytest.approx([0, 1, 2, 3, 4], abs=1e-4)
    hide(blender, rig)
    layers = state(blender)["layers"]
    assert seen(blender, shot, camera)[0] == wanted
    assert state(blender)["layers"] == layers and state(blender)["frame"] == 3


@pytest.mark.parametrize("hide", WAYS)
def test_a_hidden_shot_that_moves_is_followed(blender, shot, camera, hide):
    shot.ex4d.use_source_time = True
    for frame in FRAMES:
        shot.location.x = (frame - 1) / 2
        shot.keyframe_insert("location", frame=frame)
        shot.ex4d.source_time = 5 - frame
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    hide(blender, shot)
    from blender_addon.scene import cameras

    sampled = cameras.sample(blender.context, shot, camera)
    assert sampled.world_from_camera[:, 0, 3] == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)
    assert sampled.source_time == pytest.approx([4, 3, 2, 1, 0], abs=1e-5)


def test_a_pose_that_is_not_keyed_yet_is_not_lost(blender, shot, camera):
    camera.location, camera.data.lens = (7, 8, 9), 77
    seen(blender, shot, camera)
    assert (tuple(camera.location), camera.data.lens) == ((7, 8, 9), 77)


def test_cameras_bound_to_markers_leave_the_scenes_camera(blender, shot, camera):
    scene = blender.context.scene
    scene.timeline_markers.new("cut", frame=4).camera = camera
    scene.camera = shot.ex4d.source_camera
    seen(blender, shot, shot.ex4d.source_camera)
    assert scene.camera == shot.ex4d.source_camera


def cube(blender) -> Any:
    mesh = blender.data.meshes.new("Box")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    box = keyed(blender, "Box")
    blender.data.objects.remove(box)
    box = blender.data.objects.new("Box", mesh)
    blender.context.scene.collection.objects.link(box)
    box.ex4d.role = "HOLDOUT"
    box.modifiers.new("Split", "SUBSURF").subdivision_type = "SIMPLE"
    return box


@pytest.mark.parametrize("path", ["hide_render", "hide_viewport"])
def test_a_guide_object_that_comes_and_goes_is_drawn_on_its_own_frames(blender, shot, camera, path, tmp_path):
    from blender_addon.guides import objects

    box = cube(blender)
    for frame, hidden in ((1, True), (2, False), (4, True)):
        setattr(box, path, hidden)
        box.keyframe_insert(path, frame=frame)
    blender.context.scene.frame_set(5)  # hidden there
    (sent,) = objects.collect(blender.context, shot, tmp_path)
    faces = np.fromfile(sent.faces, "<i4").reshape(-1, 3)
    positions = np.fromfile(sent.vertices, "<f4").reshape(5, -1, 3)
    corners = positions[:, faces]
    areas = np.linalg.norm(np.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]), axis=-1)
    assert (areas.sum(axis=1) > 0).tolist() == [False, True, True, False, False]


def test_a_guide_object_on_a_hidden_rig_moves_and_a_hidden_one_is_named(blender, shot, camera, tmp_path):
    from blender_addon.guides import objects
    from blender_addon.scene import roles

    box, rig = cube(blender), keyed(blender, "Rig")
    box.parent, rig.hide_viewport = rig, True
    (sent,) = objects.collect(blender.context, shot, tmp_path)
    x = np.fromfile(sent.vertices, "<f4").reshape(5, -1, 3)[:, 0, 0]
    assert x - x[0] == pytest.approx([0, 1, 2, 3, 4], abs=1e-6)
    box.hide_viewport = True
    assert objects.collect(blender.context, shot, tmp_path) == ()
    assert [obj.name for obj in roles.left_out(blender.context.scene)] == ["Box"]
