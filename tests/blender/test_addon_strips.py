"""A strip of the sequencer becomes exactly the frames that it shows: trimmed, retimed, of another rate, in metas."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_clip import png_bytes
from test_addon_import import cut, greys

COUNT = 24


def grey(index: int) -> int:
    return 20 + 8 * index


@pytest.fixture
def movie(blender, tmp_path):
    """Lossless movies of 24 flat frames, each grey saying which it is, by their rate."""
    from blender_addon.scene import sequence_render
    from blender_addon.work import compat

    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(COUNT):
        (folder / f"f_{i:03d}.png").write_bytes(png_bytes(np.full((48, 64, 3), grey(i), np.uint8)))

    def add(strips):
        strip = strips.new_image("s", str(folder / "f_000.png"), 1, 1)
        for i in range(1, COUNT):
            strip.elements.append(f"f_{i:03d}.png")
        return strip

    def make(fps: int) -> Path:
        path = tmp_path / f"movie{fps}.mkv"
        with sequence_render.scene_of(add, count=COUNT, target=path) as scene:
            scene.render.fps = fps
            compat.write_video(scene.render.image_settings)
            scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MKV", "FFV1"
            scene.render.use_file_extension = False
            sequence_render.render(scene, path, path)
        return path

    return make


@pytest.fixture
def editor(blender):
    """A scene of 24 fps with a sequencer, and a place where its operators run."""
    scene = blender.context.scene
    scene.render.fps = 24
    made = scene.sequence_editor_create()
    window = blender.data.window_managers[0].windows[0]
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "SEQUENCE_EDITOR"
    if hasattr(blender.context.workspace, "sequencer_scene"):  # from 5.0
        window.workspace.sequencer_scene = scene
    # Without a region: from 5.2 adding a movie looks into the region's view, which is not there without a window.
    with blender.context.temp_override(window=window, screen=window.screen, area=area, scene=scene):
        yield made


def at_scene_rate(blender, editor, path: Path, *, frame: int = 1) -> Any:
    """A movie strip whose footage keeps its own speed, as Blender adds it by default."""
    from blender_addon.work import compat

    before = {strip.name for strip in compat.all_strips_of(editor)}
    blender.ops.sequencer.movie_strip_add(
        filepath=str(path), frame_start=frame, channel=1 + len(before), adjust_playback_rate=True,
        use_framerate=False, sound=False, fit_method="FIT",
    )  # fmt: skip
    return next(strip for strip in compat.all_strips_of(editor) if strip.name not in before)


def seen(blender, strip, tmp_path) -> list[int]:
    """What Blender's own sequencer renders of the scene on the strip's frames, as indices of source frames."""
    from blender_addon.work import compat

    scene = blender.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = 64, 48, 100
    scene.view_settings.view_transform = "Standard"
    values = []
    for index, frame in enumerate(range(*compat.span_of(strip))):
        scene.frame_set(frame)
        render.filepath = str(tmp_path / f"seen_{index:04d}.png")
        render.image_settings.file_format = "PNG"
        blender.ops.render.render(write_still=True, scene=scene.name)
        values += greys(blender, render.filepath, 1)
    return [round((value - 20) / 8) for value in values]


def made_of(blender, strip) -> list[int]:
    """What the add-on takes, as indices of source frames."""
    from blender_addon.jobs import footage

    chosen = footage.choose(footage.Footage("STRIP", strip.name, blender.context.scene.name))
    if not chosen.path.endswith(".png"):
        return list(range(chosen.num_frames or COUNT))
    return [round((value - 20) / 8) for value in greys(blender, chosen.path, chosen.num_frames)]


RATES, TRIMS = (60, 30, 25, 24, 23, 12), ((0, 0), (2, 0), (0, 3), (3, 2))
USUAL = {(fps, TRIMS[k % len(TRIMS)]) for k, fps in enumerate(RATES)}
"""Each rate and each trim once; every pair of them is slow."""


@pytest.mark.parametrize(
    ("fps", "trim"),
    [pytest.param(*pair, marks=() if pair in USUAL else pytest.mark.slow) for pair in product(RATES, TRIMS)],
)
def test_footage_of_another_rate_is_taken_as_the_strip_shows_it(blender, editor, movie, tmp_path, fps, trim):
    strip = at_scene_rate(blender, editor, movie(fps), frame=7)
    cut(strip, start=trim[0], end=trim[1])
    assert made_of(blender, strip) == seen(blender, strip, tmp_path)


RETIMES = [(60, 50), (24, 200), (60, 130)]
MORE_RETIMES = [(24, 50), (60, 200), (24, 130)]


@pytest.mark.parametrize(
    ("fps", "speed"), [*RETIMES, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in MORE_RETIMES)]
)
def test_a_retimed_strip_is_taken_as_it_plays(blender, editor, movie, tmp_path, fps, speed):
    strip = at_scene_rate(blender, editor, movie(fps))
    blender.ops.sequencer.select_all(action="DESELECT")
    strip.select, editor.active_strip = True, strip
    blender.ops.sequencer.retiming_segment_speed_set(speed=speed)
    shown = seen(blender, strip, tmp_path)
    assert made_of(blender, strip) == shown and len(set(shown)) > 3


def speed_effect(editor, strip) -> Any:
    from blender_addon.work import compat

    first, end = compat.span_of(strip)
    takes = compat.strips_of(editor).bl_rna.functions["new_effect"].parameters  # renamed in 5.0
    how = {"length": end - first} if "length" in takes else {"frame_end": end}
    how |= {"input1": strip} if hasattr(editor, "strips") else {"seq1": strip}  # renamed in 4.4
    return compat.strips_of(editor).new_effect("Speed", "SPEED", 5, first, **how)


def test_a_speed_strip_counts(blender, editor, movie, tmp_path):
    from blender_addon.work import compat

    strip = compat.strips_of(editor).new_movie("Plate", str(movie(24)), 1, 1)
    effect = speed_effect(editor, strip)
    effect.speed_control, effect.speed_factor = "MULTIPLY", 0.5
    shown = seen(blender, strip, tmp_path)
    assert shown[-1] < COUNT - 1 and made_of(blender, strip) == shown


def reversed_(strip):
    strip.use_reverse_frames = True


def strobing(strip):
    strip.strobe = 3


def negative_frames(strip):
    setattr(strip, "content_start" if hasattr(strip, "content_start") else "frame_start", -20.0)  # renamed in 5.1


@pytest.mark.parametrize("how", [reversed_, strobing, negative_frames])
def test_a_strip_turned_round_is_taken_so(blender, editor, movie, tmp_path, how):
    from blender_addon.work import compat

    strip = compat.strips_of(editor).new_movie("Plate", str(movie(24)), 1, 3)
    how(strip)
    assert made_of(blender, strip) == seen(blender, strip, tmp_path)


def test_a_meta_strip_and_a_strip_cut_by_one(blender, editor, movie, tmp_path):
    from blender_addon.work import compat

    meta = compat.strips_of(editor).new_meta("Meta", 3, 5)
    inner = [compat.strips_of(meta).new_movie(name, str(movie(24)), 1 + i, 5 + 8 * i) for i, name in enumerate("ab")]
    cut(meta, start=2, end=4)
    shown = seen(blender, meta, tmp_path)  # sets the size, which is the meta strip's, too
    assert made_of(blender, meta) == shown
    assert made_of(blender, inner[0])[0] == 2, "the meta hides what comes before"


def test_a_scene_strip_is_taken_as_it_is_rendered(blender, editor, movie, tmp_path):
    from blender_addon.work import compat

    other = blender.data.scenes.new("Edit")
    other.render.resolution_x, other.render.resolution_y, other.render.fps = 64, 48, 24
    other.frame_start, other.frame_end = 1, 10
    other.view_settings.view_transform = "Standard"
    compat.strips_of(other.sequence_editor_create()).new_movie("Inner", str(movie(24)), 1, 1)
    strip = compat.strips_of(editor).new_scene("Scene", other, 2, 4)
    strip.scene_input = "SEQUENCER"
    cut(strip, start=3)
    shown = seen(blender, strip, tmp_path)
    assert made_of(blender, strip) == shown


def test_the_edit_is_as_it_was_and_earlier_footage_stays(blender, editor, movie, tmp_path):
    from blender_addon.work import compat

    strips = compat.strips_of(editor)
    strip, other = (strips.new_movie(name, str(movie(24)), 1 + i, 1) for i, name in enumerate(("Plate", "Over")))
    strip.mute, strip.transform.scale_x, strip.blend_alpha = True, 3, 0.4
    strip.use_reverse_frames = True
    scenes, before = list(blender.data.scenes), (strip.mute, other.mute, strip.transform.scale_x)
    for _ in range(2):
        assert made_of(blender, strip) == list(range(COUNT))[::-1], "whole frames, in their own size"
    assert list(blender.data.scenes) == scenes and (strip.mute, other.mute, strip.transform.scale_x) == before
    assert sorted(p.name for p in (tmp_path / "scene_ex4d" / "footage").iterdir()) == ["Plate", "Plate_2"]
