"""Importing what a user has: strips, movie clips, image sequences, and depth that the backend estimates."""

from __future__ import annotations

import os
import shlex
import time

import numpy as np
import pytest
from depth_tool import write_depth_tool
from own_backend import address_of
from small_clip import png_bytes

from ex4d_ground.errors import in_words


def pictures(folder, count: int, *, suffix: str = ".png", start: int = 1) -> list[str]:
    """Flat frames of 128 x 96 whose grey says which they are."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"shot_{start + i:03d}{suffix}" for i in range(count)]
    for i, name in enumerate(names):
        (folder / name).write_bytes(png_bytes(np.full((96, 128, 3), 20 + 8 * i, np.uint8)))
    return names


@pytest.fixture
def movie(blender, tmp_path):
    """A lossless movie of eight frames, made by Blender itself."""
    from blender_addon.scene import sequence_render
    from blender_addon.work import compat

    names = pictures(tmp_path / "frames", 8)

    def add(strips):
        strip = strips.new_image("s", str(tmp_path / "frames" / names[0]), 1, 1)
        for name in names[1:]:
            strip.elements.append(name)
        return strip

    path = tmp_path / "movie.mkv"
    with sequence_render.scene_of(add, count=8, target=path) as scene:
        settings = scene.render.image_settings
        compat.write_video(settings)
        video = scene.render.ffmpeg
        video.format, video.codec = "MKV", "FFV1"
        scene.render.use_file_extension = False
        sequence_render.render(scene, path, path)
    return path


def strips_of(scene):
    from blender_addon.work import compat

    return compat.strips_of(scene.sequence_editor_create())


def cut(strip, *, start: int = 0, end: int = 0) -> None:
    """Hide that many frames at the strip's start and end, as its handles do."""
    names = ("left_handle_offset", "right_handle_offset", "frame_offset_start", "frame_offset_end")
    left, right = names[:2] if hasattr(strip, names[0]) else names[2:]
    setattr(strip, left, float(start))
    setattr(strip, right, float(end))


def greys(bpy, path: str, count: int) -> list[int]:
    from pathlib import Path

    from blender_addon.jobs import media

    found = media.numbered_from(Path(bpy.path.abspath(path)))[: count or None]
    values = []
    for file in found:
        image = bpy.data.images.load(str(file))
        image.colorspace_settings.name = "Non-Color"
        values.append(round(image.pixels[0] * 255))
    return values


def test_a_movie_strip_is_taken_as_its_file(blender, movie):
    from blender_addon.jobs import footage

    scene = blender.context.scene
    strip = strips_of(scene).new_movie("Plate", str(movie), 1, 1)
    (entry,) = footage.everything()
    assert (entry.kind, entry.name, entry.owner) == ("STRIP", "Plate", "Scene")
    chosen = footage.choose(entry)
    assert blender.path.abspath(chosen.path) == str(movie) and chosen.num_frames == 0
    cut(strip, end=3)
    assert footage.choose(entry).num_frames == 5, "cut at its end"


def test_a_strip_cut_at_its_start_is_written_out_as_it_plays(blender, movie, tmp_path):
    scene = blender.context.scene
    strip = strips_of(scene).new_movie("Plate", str(movie), 1, 10)
    cut(strip, start=2, end=1)
    scenes = len(blender.data.scenes)
    assert blender.ops.ex4d.use_footage(kind="STRIP", name="Plate", owner=scene.name) == {"FINISHED"}
    props = scene.ex4d
    assert props.video_path == "//scene_ex4d/footage/Plate/frame_0001.png" and props.num_frames == 0
    assert np.abs(np.array(greys(blender, props.video_path, 0)) - [36, 44, 52, 60, 68]).max() <= 1
    assert len(blender.data.scenes) == scenes


def test_pictures_are_taken_from_the_first_on(blender, tmp_path):
    from blender_addon.jobs import footage

    folder = tmp_path / "seq"
    names = pictures(folder, 6)
    scene = blender.context.scene
    strip = strips_of(scene).new_image("Pics", str(folder / names[1]), 1, 1)
    for name in names[2:5]:
        strip.elements.append(name)
    image = blender.data.images.load(str(folder / names[2]))
    image.source = "SEQUENCE"
    clip = blender.data.movieclips.load(str(folder / names[0]))
    found = {entry.kind: footage.choose(entry) for entry in footage.everything()}
    assert greys(blender, found["STRIP"].path, found["STRIP"].num_frames) == [28, 36, 44, 52]
    assert greys(blender, found["IMAGE"].path, found["IMAGE"].num_frames) == [36, 44, 52, 60]
    assert clip.source == "SEQUENCE" and found["CLIP"].num_frames == 0
    assert greys(blender, found["CLIP"].path, 0) == [20, 28, 36, 44, 52, 60]


def test_other_picture_formats_are_converted(blender, tmp_path):
    from blender_addon.jobs import footage

    folder = tmp_path / "tiffs"
    names = pictures(folder, 3)
    for name in names:
        image = blender.data.images.load(str(folder / name))
        image.file_format = "TARGA"
        image.save(filepath=str(folder / name.replace(".png", ".tga")))
        blender.data.images.remove(image)
    image = blender.data.images.load(str(folder / "shot_001.tga"))
    image.source = "SEQUENCE"
    (entry,) = [e for e in footage.everything() if e.kind == "IMAGE"]
    chosen = footage.choose(entry)
    assert chosen.path.startswith("//scene_ex4d/footage/")
    assert greys(blender, chosen.path, 0) == [20, 28, 36]


@pytest.mark.parametrize("what", ["still", "gone", "lost file"])
def test_footage_that_cannot_be_used_is_one_sentence(blender, tmp_path, what):
    folder = tmp_path / "seq"
    names = pictures(folder, 3)
    image = blender.data.images.load(str(folder / names[0]))
    image.source = "SEQUENCE"
    name = image.name
    if what == "still":
        for other in names[1:]:
            (folder / other).unlink()
        expected = "is a single picture; choose footage of at least two frames"
    elif what == "gone":
        blender.data.images.remove(image)
        expected = "There is no footage 'shot_001.png' in this file any more"
    else:
        (folder / names[0]).unlink()
        expected = "is not there; choose the footage's file yourself"
    with pytest.raises(RuntimeError, match=expected):
        blender.ops.ex4d.use_footage(kind="IMAGE", name=name)


def test_our_own_sequences_are_not_offered_as_footage(blender, shot):
    from blender_addon.jobs import footage

    assert len(blender.data.images) == 2 and footage.everything() == []


def test_a_sequence_comes_in_at_the_scenes_rate(connected, sources, small_clip):
    scene = connected.context.scene
    scene.render.fps, scene.render.fps_base = 24, 1.001
    first = sorted(os.listdir(sources["video_path"]))[0]
    sources["video_path"] = f"{sources['video_path']}/{first}"
    assert connected.ops.ex4d.import_clip(**sources) == {"FINISHED"}
    props = scene.ex4d.shot.ex4d
    assert props.fps == pytest.approx(24 / 1.001, rel=1e-5)
    assert props.num_frames == small_clip.size[0]
    assert scene.ex4d.shot.name == "clip", "named after the folder, not after a number"


@pytest.fixture(scope="module")
def estimating(backend_command, project_python, tmp_path_factory):
    """A backend of its own with a depth estimator that is a small program; yields its address."""
    from blender_addon.work.local_backend import LocalBackend

    folder = tmp_path_factory.mktemp("estimating")
    config = write_depth_tool(folder, project_python, ramp=0, walk=0, slow=600)
    changed = {"EX4D_DEPTH_CONFIG": str(config), "EX4D_WEIGHTS": str(folder / "weights")}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        running = LocalBackend(shlex.split(backend_command), base=folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    yield address_of(running)
    running.stop()


@pytest.mark.any_blender
def test_a_camera_that_the_depths_estimator_knows_is_offered_and_used(blender, estimating, sources, small_clip):
    from drawn_panels import draw_all

    from blender_addon.scene import cameras, rig

    blender.ops.ex4d.connect(address=estimating)
    arguments = {"video_path": sources["video_path"], "depth_source": "ESTIMATE"}
    blender.ops.ex4d.import_clip(**arguments, estimator="ramp")
    assert not blender.context.scene.ex4d.shot.ex4d.knows_camera, "frames that were brought to one scale have no path"
    assert "ex4d.film_from_depth" not in draw_all(blender.context)["Filming Camera"].operators()
    with pytest.raises(RuntimeError, match="says nothing of its camera"):
        blender.ops.ex4d.film_from_depth()
    blender.ops.ex4d.import_clip(**arguments, estimator="walk")
    shot = blender.context.scene.ex4d.shot
    unused = "a camera of its own, which is not used"
    drawn = draw_all(blender.context)["Filming Camera"]
    assert shot.ex4d.knows_camera and "ex4d.film_from_depth" in drawn.operators()
    assert unused in " ".join(leaf.text for leaf in drawn.leaves)
    assert blender.ops.ex4d.film_from_depth() == {"FINISHED"}
    found = rig.as_filmed(shot)
    assert found.origin == "estimated" and shot.ex4d.filmed_note.startswith("From the depth's estimator, walk")
    assert unused not in " ".join(leaf.text for leaf in draw_all(blender.context)["Filming Camera"].leaves)
    expected = 0.25 * np.arange(small_clip.size[0])
    np.testing.assert_allclose(found.world_from_camera[:, 0, 3], expected, rtol=1e-6)
    move = cameras.sample(blender.context, shot, shot.ex4d.source_camera)
    np.testing.assert_allclose(move.world_from_camera[:, 0, 3], expected, atol=1e-5)
    assert not shot.ex4d.lens_cache, "its lens is the clip's"


@pytest.mark.any_blender
def test_depth_is_estimated_and_its_terms_are_kept(blender, estimating, address, sources, small_clip, tmp_path):
    from blender_addon.jobs import estimators, offers

    blender.ops.ex4d.connect(address=estimating)
    spec = offers.estimator("ramp")
    assert spec is not None and estimators.licence_of(spec) == "RESEARCH ONLY: for tests"
    operators = blender.ops.ex4d
    arguments = {"video_path": sources["video_path"], "depth_source": "ESTIMATE", "estimator": "ramp"}
    assert operators.import_clip(**arguments) == {"FINISHED"}
    target = blender.context.scene.ex4d.shot
    props = target.ex4d
    frames, height, width = small_clip.size
    assert (props.num_frames, props.width, props.height) == (frames, width, height)
    assert props.intrinsics[0] == pytest.approx(140.0), "the estimator's own lens"
    assert estimators.lens_words(props.intrinsics_source, 60.0).startswith("from the estimator")
    assert "for tests" in props.depth_licence and props.depth_estimator
    assert props.depth_path == "//scene_ex4d/clip/depth.npy"
    depth = np.load(tmp_path / "scene_ex4d" / "clip" / "depth.npy")
    assert depth.shape == (frames, height, width) and depth.dtype == np.float32
    expected = 2 + np.linspace(0, 1, height)[:, None] + np.linspace(0, 1, width)
    np.testing.assert_allclose(depth[0], expected, rtol=0.02)

    operators.add_camera_move(preset="30")
    assert operators.generate(engine="preview", seed=1) == {"FINISHED"}
    first = (tmp_path / "scene_ex4d" / "clip" / "take_001" / "frame_0005.png").read_bytes()
    operators.connect(address=address)  # another backend, which has never seen this clip and has no such estimator
    assert operators.generate(engine="preview", seed=1) == {"FINISHED"}, "the shot's own copy is sent"
    assert (tmp_path / "scene_ex4d" / "clip" / "take_002" / "frame_0005.png").read_bytes() == first


@pytest.mark.any_blender
def test_cancelling_an_estimate_leaves_nothing(blender, estimating, sources, tmp_path):
    from pathlib import Path

    from blender_addon.jobs import clip as jobs
    from blender_addon.jobs.importing import import_clip
    from blender_addon.work import session

    blender.ops.ex4d.connect(address=estimating)
    current = session.get()
    source = jobs.ClipSource(Path(sources["video_path"]), None, estimator="slow", name="clip")
    folder = tmp_path / "scene_ex4d" / "clip"
    task = current.start("Import clip", import_clip(current.require_link(), source, folder))
    end = time.monotonic() + 240
    while not task.progress.stage.startswith("depth"):
        assert time.monotonic() < end and not task.finished, task.error
        current.tick()
        time.sleep(0.005)
    assert blender.ops.ex4d.cancel() == {"FINISHED"}
    assert task.finished and "cancelled" in str(task.error)
    assert list((tmp_path / "scene_ex4d").iterdir()) == []


@pytest.mark.any_blender
def test_an_estimator_that_is_not_there_says_what_to_do(blender, estimating, sources):
    blender.ops.ex4d.connect(address=estimating)
    arguments = {"video_path": sources["video_path"], "depth_source": "ESTIMATE"}
    with pytest.raises(RuntimeError, match="has no depth estimator 'none'; it has: "):
        blender.ops.ex4d.import_clip(**arguments, estimator="none")
    from blender_addon.work import session

    missing = next(spec for spec in session.get().capabilities.estimators if not spec.available)
    with pytest.raises(RuntimeError) as caught:
        blender.ops.ex4d.import_clip(**arguments, estimator=missing.name)
    assert in_words(missing.missing, missing.remedy, "panel") in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("default 54.2 deg", "assumed 54.2 degrees"),
        ("given", "as given"),
        ("given: 35 mm lens on a 36 mm sensor", "as given: 35 mm lens on a 36 mm sensor"),
        ("metadata: 28 mm (35 mm equivalent, EXIF)", "from metadata: 28 mm (35 mm equivalent, EXIF)"),
        ("moge", "from the estimator moge"),
    ],
)
def test_where_the_lens_came_from_is_said_in_words(source, words):
    from blender_addon.jobs import estimators

    assert estimators.lens_words(source, 54.2) == words
