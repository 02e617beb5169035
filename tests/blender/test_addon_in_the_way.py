"""What covers the footage: the cube of Blender's first scene, other shots, takes, and what artists put there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from drawn_panels import draw_all
from panel_parts import add_takes
from small_shot import build_shot

pytestmark = pytest.mark.any_blender


def make_way(blender: Any, shot: Any) -> str:
    from blender_addon.scene import in_the_way

    blender.context.view_layer.update()
    return in_the_way.make_way(blender.context, shot)


def cube(blender: Any, **place: Any) -> Any:
    blender.ops.mesh.primitive_cube_add(size=2, **place)
    return blender.context.object


def second(blender: Any, small_clip: Any) -> Any:
    """Another shot, where the first one is."""
    made = build_shot(blender, small_clip)
    made.ex4d.shot_id = "1" * 32
    return made


def test_the_first_scenes_cube_is_hidden_and_that_is_said(blender, shot):
    shot.ex4d.near_depth = 2.5
    thing = cube(blender)
    assert make_way(blender, shot) == "Blender's 'Cube' stood before the camera and is hidden; Alt-H shows it."
    assert thing.hide_get() and not thing.hide_viewport and not thing.hide_render
    assert make_way(blender, shot) == "", "nothing is said of what is hidden"


@pytest.mark.parametrize("touch", ["moved", "renamed", "modified", "shaped"])
def test_what_an_artist_has_touched_stays_and_is_named(blender, shot, touch):
    shot.ex4d.near_depth = 2.5
    thing = cube(blender)
    match touch:
        case "moved":
            thing.location.x = 0.1
        case "renamed":
            thing.name = "Wall"
        case "modified":
            thing.modifiers.new("Subdivision", "SUBSURF")
        case "shaped":
            thing.data.vertices[0].co.x += 0.1
    assert make_way(blender, shot) == f"'{thing.name}' covers the footage; move or hide it."
    assert thing.visible_get()


def test_what_covers_nothing_is_left_alone(blender, shot):
    shot.ex4d.near_depth = 2.5
    behind = cube(blender, location=(0, 8, 0))
    above = cube(blender, location=(0, 0, 6))
    wire = cube(blender)
    wire.display_type = "WIRE"
    assert make_way(blender, shot) == ""
    assert behind.visible_get() and above.visible_get() and wire.visible_get()


def test_another_shot_in_the_same_place_makes_way_until_it_is_chosen(blender, shot, small_clip):
    other = second(blender, small_clip)
    scene = blender.context.scene
    said = make_way(blender, other)
    assert said == f"'{shot.name}' stands in the same place and is switched off; choose it above to have it back."
    assert shot.ex4d.mesh.hide_viewport and shot.ex4d.mesh.hide_render and other.ex4d.mesh.visible_get()
    assert "ex4d.show_shot" not in draw_all(blender.context)["Clip"].operators()
    scene.ex4d.shot = shot
    scene.render.resolution_x, scene.render.fps, scene.frame_end = 99, 50, 400
    assert "ex4d.show_shot" in draw_all(blender.context)["Clip"].operators()
    assert blender.ops.ex4d.show_shot() == {"FINISHED"}
    assert shot.ex4d.mesh.visible_get() and not shot.ex4d.mesh.hide_render and other.ex4d.mesh.hide_viewport
    assert scene.camera == shot.ex4d.source_camera and scene.render.fps == 24
    assert (scene.render.resolution_x, scene.frame_end) == (shot.ex4d.width, shot.ex4d.num_frames)
    assert "ex4d.show_shot" not in draw_all(blender.context)["Clip"].operators()


def test_shots_that_stand_apart_are_both_seen(blender, shot, small_clip):
    shot.location.x = 50.0
    other = second(blender, small_clip)
    assert make_way(blender, other) == "" and shot.ex4d.mesh.visible_get()
    blender.context.scene.ex4d.shot = shot
    assert "ex4d.show_shot" in draw_all(blender.context)["Clip"].operators(), "the scene has the other's camera"
    blender.ops.ex4d.show_shot()
    assert other.ex4d.mesh.visible_get()


def test_an_artists_own_camera_is_of_no_other_shot(blender, shot):
    scene = blender.context.scene
    scene.camera = blender.data.objects.new("Mine", blender.data.cameras.new("Mine"))
    assert "ex4d.show_shot" not in draw_all(blender.context)["Clip"].operators()
    scene.camera = None
    assert "ex4d.show_shot" not in draw_all(blender.context)["Clip"].operators()


def test_the_takes_of_the_shot_that_makes_way_are_hidden_with_it(blender, shot, small_clip):
    from blender_addon.scene import planes

    add_takes(blender, shot, True)
    take = blender.context.scene.ex4d.takes[0]
    take.plane = plane = planes.add(blender.context.scene, take.name, shot, shot.ex4d.source_camera)
    make_way(blender, second(blender, small_clip))
    assert plane.hide_viewport and plane.hide_render


def test_a_take_of_another_shot_names_it_in_the_list(blender, shot, small_clip):
    """Every shot has a take_001."""
    add_takes(blender, shot, True)
    assert "take_001 seed" in draw_all(blender.context)["List"].words
    shot.name = "street"
    other = second(blender, small_clip)
    other.ex4d.camera = other.ex4d.source_camera
    assert "take_001 street" in draw_all(blender.context)["List"].words


@pytest.mark.parametrize("end", ["finish_edit", "discard_edit"])
def test_a_take_steps_aside_while_a_frame_is_edited(blender, shot, end):
    from blender_addon.scene import planes

    scene = blender.context.scene
    add_takes(blender, shot, True, True)
    for take in scene.ex4d.takes:
        take.plane = planes.add(scene, take.name, shot, shot.ex4d.source_camera)
    seen, hidden = (take.plane for take in scene.ex4d.takes)
    hidden.hide_set(True)
    blender.ops.ex4d.edit_frame()
    assert shot.ex4d.mesh.visible_get() and not seen.visible_get()
    getattr(blender.ops.ex4d, end)()
    assert seen.visible_get() and hidden.hide_get(), "only what was hidden for the edit comes back"


def test_an_arriving_clip_is_not_told_to_have_lost_its_cache(blender, shot, monkeypatch):
    from blender_addon.scene import shot as shots

    monkeypatch.setattr(shots, "cache_of", lambda _target: "/nowhere/mesh.pc2")
    assert "is missing; import the clip again" in draw_all(blender.context)["Clip"].words
    shot.ex4d.arriving = True
    assert "missing" not in draw_all(blender.context)["Clip"].words


def test_a_video_that_is_gone_is_said_where_the_footage_turns_pink(blender, shot, tmp_path):
    """Blender draws a movie that it cannot find in magenta, and says nothing."""
    from blender_addon.scene import materials

    video = tmp_path / "plays.mp4"
    shutil.copy2(Path(__file__).parents[2] / "examples" / "clip.mp4", video)
    image = materials.load_footage(tmp_path / "no frames here", video, name="clip Footage")
    nodes = shot.ex4d.mesh.data.materials[0].node_tree.nodes
    next(node for node in nodes if getattr(node, "image", None) and node.image.get(materials.OURS)).image = image
    assert "The footage is played from" not in draw_all(blender.context)["Clip"].words
    video.rename(tmp_path / "renamed.mp4")
    words = draw_all(blender.context)["Clip"].words.replace(" ", "")
    assert f"Thefootageisplayedfrom{video},whichisnotthereanymore".replace(" ", "") in words
