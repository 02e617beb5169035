"""--mode and --thickness, from text to how the mesh is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from ex4d.cli.options import flag_of
from ex4d.option_text import OptionText
from ex4d.shots.options import ShotOptions, parse_thickness
from ex4d_ground.errors import SettingError


def options(**given: object) -> ShotOptions:
    return ShotOptions(Path("clip.mp4"), "30", Path("depth.npz"), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"), [("auto", ("auto", "share")), ("8%", (0.08, "share")), (" 0.25 ", (0.25, "depth"))]
)
def test_thickness_is_auto_a_share_or_a_length(text: str, wanted: tuple[object, str]) -> None:
    assert parse_thickness(text) == wanted


def test_mode_and_thickness_reach_the_mesh() -> None:
    made = options(mode="solid", thickness="8%", border_depth=50.0).mesh_options()
    assert (made.mode, made.thickness, made.thickness_unit, made.border_depth) == ("solid", 0.08, "share", 50.0)
    assert options().mesh_options().mode == "solid"
    assert options(other_frames=True).mesh_options().other_frames
    memory = options(world_memory=True).mesh_options()
    assert memory.other_frames and memory.world_memory
    assert options(thickness="auto").mesh_options().mode == "solid"
    assert options(mode="endless").mesh_options().mode == "endless"
    assert options(parity=True).mesh_options().mode == "endless"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"thickness": "thick", "mode": "solid"}, "8%"),
        ({"thickness": "-2", "mode": "solid"}, "0 or more"),
        ({"thickness": "8%", "mode": "endless"}, "--mode endless"),
        ({"other_frames": True, "mode": "endless"}, "--other_frames"),
        ({"other_frames": True, "parity": True}, "--other_frames"),
        ({"world_memory": True, "mode": "endless"}, "--world_memory"),
        ({"source_matte": Path("matte.mp4")}, "--source_matte is for --source_camera estimate"),
        ({"set_video": Path("a.mp4"), "set_depth": Path("a.npz"), "set_camera": Path("a.npz")}, "belong together and"),
        (
            {"set_video": Path("a.mp4"), "world_memory": True},
            "--set_video, --set_depth and --set_camera belong together",
        ),
        ({"cam_axes": "source"}, "--cam_axes counts where --source_camera says"),
        ({"thickness_map": Path("map.npy"), "mode": "endless"}, "--thickness_map belongs to solid"),
        ({"thickness_map": Path("map.npy"), "parity": True}, "--thickness_map"),
        ({"mode": "hollow"}, "'endless' or 'solid'"),
        ({"mode": "solid", "parity": True}, "--parity"),
        ({"thickness": "auto", "parity": True}, "--parity"),
    ],
)
def test_options_that_contradict_are_refused_before_any_file_is_read(given: dict[str, object], match: str) -> None:
    with pytest.raises(SettingError) as caught:
        options(**given).check()
    text = caught.value.args[0]
    assert match in (text.spelled(flag_of) if isinstance(text, OptionText) else text)
    assert "--" not in str(caught.value)
