"""A shot's geometry for other programs: what Blender reads of the files is what the shot shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filmed_room import handheld
from geometry_parts import ENDINGS, at, exported, lens_of, lenses_of, pose_of, read_back, world_vertices
from small_clip import ROOT, make_clip, png_bytes
from small_shot import build_shot

from ex4d_ground.files import frame_name

FIRST, FRAMES = 1001, 4
CHECKED = (FIRST, FIRST + FRAMES // 2, FIRST + FRAMES - 1)
CAMERAS = ("SourceCamera", "ShotCamera")


@pytest.fixture
def small_clip():
    """Fewer pixels than the other tests': another Blender starts for every export."""
    return make_clip(FRAMES, 48, 64)


@pytest.fixture
def shot(blender, small_clip):
    """At frame 1001, of 15 frames a second, turned, moved and scaled."""
    made = build_shot(blender, small_clip, frame_start=FIRST)
    blender.context.scene.render.fps = 15
    made.location, made.scale = (1, 2, 3), (1.5, 1.5, 1.5)
    made.rotation_euler[2] = 0.3
    return made


@pytest.fixture
def camera(blender, shot):
    """Roll, shift, and a focal length that is animated; another sensor than the file's."""
    from blender_addon.scene import shot as shots

    scene, made = blender.context.scene, shots.new_camera("Mover", shot)
    scene.render.resolution_x, scene.render.resolution_y = 120, 90
    lens = made.data
    lens.sensor_fit, lens.sensor_width, lens.sensor_height = "VERTICAL", 30, 20
    lens.clip_start, lens.clip_end = 0.02, 900
    keys = ((FIRST, 45.0, (0, 0, 0), (math.pi, 0, 0)), (CHECKED[-1], 32.0, (0.4, -0.2, 0.5), (3.2, -0.1, 0.2)))
    for frame, focal, location, rotation in keys:
        lens.lens, lens.shift_x, lens.shift_y = focal, 0.0001 * frame - 0.08, 0.05
        made.location, made.rotation_euler = location, rotation
        for owner, path in ((lens, "lens"), (lens, "shift_x"), (made, "location"), (made, "rotation_euler")):
            owner.keyframe_insert(path, frame=frame)
    shot.ex4d.camera = scene.camera = made
    return made


def edit_a_frame(body: Any) -> None:
    """A layer of the artist's on the second frame alone."""
    from blender_addon.scene import layers

    pushed = np.tile(np.float32([0.3, 0.1, 0]), (len(body.data.vertices), 1))
    layers.add(body, "Pushed", pushed, mode="OFFSET", frames=layers.FrameRange(FIRST + 2, FIRST + 2))


@pytest.mark.parametrize("kind", list(ENDINGS))
@pytest.mark.feature("exports")
def test_blender_reads_back_what_the_shot_shows(blender, shot, camera, tmp_path, kind):
    """Of a shot whose filming camera moves, with an edit on one frame."""
    from blender_addon.scene import rig

    body, expected = shot.ex4d.mesh, {}
    rig.put(shot, handheld(FRAMES, width=64, height=48, focal_px=120.0), shot.users_collection[0])
    edit_a_frame(body)
    used = dict(zip(CAMERAS, (shot.ex4d.source_camera, camera), strict=True))
    for frame in CHECKED:
        depsgraph = at(blender, frame)
        expected[frame] = world_vertices(body, depsgraph), lenses_of(blender, used, depsgraph)
    assert not np.allclose(expected[CHECKED[0]][0], expected[CHECKED[1]][0])
    at(blender, FIRST + 1)
    made = exported(blender, tmp_path / "out", kind)
    found = read_back(blender, made, kind)
    for frame, (vertices, lenses) in expected.items():
        depsgraph = at(blender, frame)
        np.testing.assert_allclose(world_vertices(found["Geometry"], depsgraph), vertices, rtol=0, atol=1e-4)
        for name, (pose, lens) in lenses.items():
            np.testing.assert_allclose(pose_of(found[name], depsgraph), pose, rtol=0, atol=1e-6)
            if frame > FIRST and (kind == "ALEMBIC" or blender.app.version < (4, 5)):
                continue  # Blender's importer reads one lens only, see below
            np.testing.assert_allclose(lens_of(blender, found[name], depsgraph), lens, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", list(ENDINGS))
@pytest.mark.feature("exports")
def test_the_lens_is_animated_in_the_file(blender, small_clip, tmp_path, kind):
    """Blender may read the lens of time 0 and no other, so a shot that begins before it shows a later frame's."""
    from blender_addon.scene import shot as shots

    shot = build_shot(blender, small_clip, frame_start=-2)
    camera = shot.ex4d.camera = shots.new_camera("Mover", shot)
    for frame, focal in ((-2, 20.0), (1, 50.0)):
        camera.data.lens = focal
        camera.data.keyframe_insert("lens", frame=frame)
    made = exported(blender, tmp_path / "out", kind)
    expected = lens_of(blender, camera, at(blender, 0))
    found = read_back(blender, made, kind)["ShotCamera"]
    np.testing.assert_allclose(lens_of(blender, found, at(blender, 0)), expected, rtol=0, atol=1e-6)
    assert expected[0] > 1


@pytest.mark.parametrize("kind", list(ENDINGS))
@pytest.mark.feature("exports")
def test_its_picture_is_the_guide(blender, shot, camera, render, guides_of, tmp_path, kind):
    """Read back into Blender from another place, with the pictures beside the file, through the file's camera."""
    from blender_addon.scene import cameras

    scene = blender.context.scene
    camera.data.animation_data_clear()  # Blender's Alembic importer reads one lens only
    move = cameras.sample(blender.context, shot, camera)
    guides = guides_of(move)
    made = exported(blender, tmp_path / "out", kind).rename(tmp_path / "elsewhere")
    found = read_back(blender, made, kind)
    if kind == "USD":
        assert_finds_pictures(blender, found["Geometry"].data, made / "frames")
    shot.ex4d.mesh.hide_render = True
    scene.camera = found["ShotCamera"]
    for index in (0, FRAMES - 1):
        scene.frame_set(FIRST + index)
        show_pictures(blender, found["Geometry"].data, made / "frames", FIRST + index)
        picture = render()
        shown, guide = picture[..., 3] > 127, guides["mask"][index]
        assert 0.2 < guide.mean() < 0.98, "the view must show both seen and unseen parts"
        assert (shown & guide).sum() / (shown | guide).sum() >= 0.98
        both = shown & guide
        error = (picture[..., :3].astype(float) - guides["colour"][index])[both]
        decibels = 20 * math.log10(255 / np.sqrt((error**2).mean()))
        assert decibels >= 30


def show_pictures(blender: Any, data: Any, folder: Path, frame: int) -> None:
    """The frame's own pictures on the mesh, as somebody assigns them by hand."""
    from blender_addon.scene import colours, materials

    images = [blender.data.images.load(str(folder / f"{name}.{frame}.png")) for name in ("colour", "visible")]
    colours.read_as_footage(images[0])
    colours.read_as_data(images[1])
    images[1].alpha_mode = "NONE"
    data.materials.clear()
    data.materials.append(materials.footage_material("Shown", *images, frame_start=1, num_frames=1))


def assert_finds_pictures(blender: Any, data: Any, folder: Path) -> None:
    """The material that came with the file shows the first frame's pictures, which Blender has found."""
    (material,) = data.materials
    images = {Path(node.image.filepath).name: node.image for node in nodes_of(material, "TEX_IMAGE")}
    assert set(images) == {f"colour.{FIRST}.png", f"visible.{FIRST}.png"}
    for image in images.values():
        assert Path(blender.path.abspath(image.filepath)).parent == folder and image.size[0] == 64


def nodes_of(material: Any, kind: str) -> list[Any]:
    return [node for node in material.node_tree.nodes if node.type == kind]


@pytest.mark.feature("exports")
def test_usd_programs_find_rate_axes_boxes_and_each_frames_picture(blender, shot, camera, small_clip, tmp_path):
    if hasattr(blender.utils, "expose_bundled_modules"):
        blender.utils.expose_bundled_modules()
    pytest.importorskip("pxr", reason="Blender 4.2 has USD, but not for Python")
    from pxr import Usd, UsdGeom, UsdShade, UsdUtils

    render = blender.context.scene.render
    render.fps, render.fps_base = 24, 1.001
    made = exported(blender, tmp_path / "out", "USD")
    assert made.name == "clip_23.976fps_usd_full"
    path = str(made / "clip_23.976fps.usda")
    (own, below), assets, lost = UsdUtils.ComputeAllDependencies(path)
    assert not lost and len(assets) == 2 * FRAMES
    assert own.timeCodesPerSecond == below.timeCodesPerSecond, "USD stretches a layer of another rate"
    stage = Usd.Stage.Open(path)
    assert stage.GetTimeCodesPerSecond() == stage.GetFramesPerSecond() == pytest.approx(24 / 1.001, abs=1e-5)
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (FIRST, CHECKED[-1])
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    prim = stage.GetPrimAtPath("/root/Geometry/Geometry")
    material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()
    surface, _, _ = material.ComputeSurfaceSource()
    assert surface.GetShaderId() == "UsdPreviewSurface"
    mesh = UsdGeom.Mesh(prim)
    assert len(mesh.GetFaceVertexCountsAttr().Get(FIRST)) == 2 * 47 * 63
    assert UsdGeom.PrimvarsAPI(prim).GetPrimvar("st").IsDefined()
    for frame in CHECKED:
        for source, name in (("emissiveColor", "colour"), ("opacity", "visible")):
            texture, *_ = surface.GetInput(source).GetConnectedSource()
            path = UsdShade.Shader(texture).GetInput("file").Get(frame)
            assert Path(path.resolvedPath) == made / "frames" / f"{name}.{frame}.png"
        points = np.array(mesh.GetPointsAttr().Get(frame))
        box = np.array(mesh.GetExtentAttr().Get(frame))
        np.testing.assert_allclose(box, [points.min(axis=0), points.max(axis=0)], atol=1e-5)


def test_a_third_of_the_mesh_of_a_retimed_shot(blender, shot, camera, small_clip, tmp_path):
    """Its border stays the outermost line, each frame has the picture that it shows, and faces turn to who filmed."""
    shot.ex4d.use_source_time = True
    for frame, time in ((FIRST, 3.0), (CHECKED[-1], 0.0)):  # played backwards
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    from blender_addon.scene import keyframes

    keyframes.set_interpolation(shot, "LINEAR")
    full = world_vertices(shot.ex4d.mesh, at(blender, FIRST)).reshape(48, 64, 3)
    made = exported(blender, tmp_path / "out", "ALEMBIC", "3")
    found = read_back(blender, made, "ALEMBIC")
    rows, columns = sorted({0, *range(1, 47, 3), 46, 47}), sorted({0, *range(1, 63, 3), 62, 63})
    depsgraph = at(blender, FIRST)
    vertices = world_vertices(found["Geometry"], depsgraph)
    np.testing.assert_allclose(vertices, full[rows][:, columns].reshape(-1, 3), rtol=0, atol=1e-4)
    corners = vertices[[list(face.vertices) for face in found["Geometry"].data.polygons]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    eye = pose_of(found["SourceCamera"], depsgraph)[:3, 3]
    assert ((normals * (eye - corners.mean(axis=1))).sum(axis=1) > 0).mean() > 0.99
    for index in range(FRAMES):
        picture = (made / "frames" / f"colour.{FIRST + index}.png").read_bytes()
        assert picture == png_bytes(small_clip.frames[FRAMES - 1 - index])


def test_a_clip_that_is_played_from_its_video_leaves_as_pictures(blender, shot, reference, tmp_path):
    from blender_addon.work import files

    folder = files.shot_folder(blender.data.filepath, "clip")
    for path in (folder / files.COLOUR_FOLDER).iterdir():
        path.unlink()
    shot.ex4d.video_path = str(ROOT / "examples" / "clip.mp4")
    made = exported(blender, tmp_path / "out", "ALEMBIC", "3")
    wanted = reference("video", shot.ex4d.video_path)["frames"]
    for index in (0, FRAMES - 1):
        image = blender.data.images.load(str(made / "frames" / f"colour.{FIRST + index}.png"))
        pixels = np.array(image.pixels[:]).reshape(512, 512, 4)[::-1, :, :3] * 255
        errors = [np.abs(pixels - frame).mean() for frame in wanted[:FRAMES]]
        assert errors[index] < 2 and np.argmin(errors) == index


def state_of(blender: Any) -> dict[str, Any]:
    scene = blender.context.scene
    counts = {
        name: len(getattr(blender.data, name))
        for name in ("scenes", "objects", "meshes", "cameras", "actions", "images")
    }
    selected = sorted(obj.name for obj in blender.context.view_layer.objects if obj.select_get())
    return {
        **counts,
        "frame": scene.frame_current,
        "fps": scene.render.fps,
        "selected": selected,
        "camera": scene.camera,
    }


def test_the_scene_stays_as_it_is_and_nothing_is_written_over(blender, shot, camera, tmp_path):
    shot.ex4d.mesh.select_set(True)
    blender.context.scene.frame_set(7)
    before = state_of(blender)
    first = exported(blender, tmp_path / "out", "USD", "2")
    (first / "mine.txt").write_text("kept")
    second = exported(blender, tmp_path / "out", "USD", "2")
    assert state_of(blender) == before
    assert (first.name, second.name) == ("clip_15fps_usd_half", "clip_15fps_usd_half_2")
    assert (first / "mine.txt").read_text() == "kept"
    assert "15 frames a second" in (second / "how-to-open.txt").read_text()


def test_the_size_is_said_before(blender, shot):
    from blender_addon.geometry.operators import size_words

    assert size_words(shot, "1", 15.0) == ("4 frames, 15 fps", "3072 vertices", "About 0.4 MB on disk")
    assert size_words(shot, "2", 24 / 1.001)[:2] == ("4 frames, 23.976 fps", f"{34 * 26} vertices")


def test_its_progress_stands_in_the_place_of_its_button(blender, shot):
    from drawn_panels import draw_all

    from blender_addon.work import session, tasks

    assert draw_all(blender.context)["Other Programs"].button("ex4d.export_geometry")
    task = tasks.Task("Export geometry", (None for _ in range(0)), panel="Other Programs")
    task.progress = tasks.TaskProgress("writing frames", 2, 4)
    session.get().tasks.append(task)
    try:
        drawn = draw_all(blender.context)
        kinds = {name for name, _ in drawn["Other Programs"].layout.buttons}
        assert kinds == {"ex4d.cancel"} and "ex4d.cancel" not in {name for name, _ in drawn["Clip"].layout.buttons}
    finally:
        session.get().tasks.remove(task)


def test_stopping_it_leaves_nothing_behind(blender, shot, camera, tmp_path):
    from blender_addon.geometry import export, plan
    from blender_addon.work.errors import TaskCancelled

    before, out = state_of(blender), tmp_path / "out"
    steps = export.written(plan.planned(blender.context, shot, "ALEMBIC", "1", out))  # without cameras
    stages = set()
    while "writing frames" not in stages:  # the second Blender is at work
        progress = next(steps)
        stages |= {progress.stage} if progress is not None else set()
    with pytest.raises(TaskCancelled):
        steps.throw(TaskCancelled("stopped"))
    assert not out.exists() and state_of(blender) == before


def test_an_exporter_that_fails_says_so_and_leaves_nothing_behind(blender, shot, camera, tmp_path, monkeypatch):
    from blender_addon.geometry import export

    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemExit(3)")
    monkeypatch.setattr(export, "SCRIPT", broken)
    with pytest.raises(RuntimeError, match="ended with code 3"):
        exported(blender, tmp_path / "out", "USD")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_refused_in_a_sentence(blender, shot, camera, tmp_path, monkeypatch):
    from blender_addon.geometry import plan
    from blender_addon.work import files

    def refused(match: str, kind: str = "USD", folder: Path | None = None) -> None:
        with pytest.raises(RuntimeError, match=match):
            exported(blender, folder or tmp_path / "out", kind)
        assert not (tmp_path / "out").exists()

    with pytest.raises(RuntimeError, match="No folder is chosen"):
        blender.ops.ex4d.export_geometry(kind="USD")
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(RuntimeError, match="choose another folder"):
        blender.ops.ex4d.export_geometry(kind="USD", directory=str(blocked / "out"))
    with monkeypatch.context() as patch:
        patch.setattr(plan.bpy.ops, "wm", type("Without", (), {"usd_export": None})(), raising=False)
        refused("This Blender has no Alembic exporter; use USD, or a Blender that", kind="ALEMBIC")
    with monkeypatch.context() as patch:
        patch.setattr(plan.bpy.ops, "wm", type("Without", (), {})(), raising=False)
        refused("This Blender has no USD exporter; use a Blender that was built with USD")
    with monkeypatch.context() as patch:
        patch.setattr(plan.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
        refused("free, writing the geometry needs about 0.8 MB")
    folder = files.shot_folder(blender.data.filepath, "clip")
    lost = folder / files.COLOUR_FOLDER / frame_name(2)
    lost.rename(tmp_path / "away.png")
    refused("frame_0003.png is not there any more; import the clip again")
    (tmp_path / "away.png").rename(lost)
    (folder / files.CACHE_FILE).unlink()
    refused("Cannot read the mesh cache")
    shot.ex4d.arriving = True
    refused("Only the first frame of 'clip' is here yet")
