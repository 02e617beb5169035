"""Which button the panels offer for a remedy: by its action, whatever its words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from drawn_panels import ENGINES, draw_all

from ex4d_ground.remedies import ACTIONS, Remedy, install_ours, run_command
from ex4d_protocol import messages as m

BUTTONS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "connect": ({}, "ex4d.connect", {}),
    "install_backend": ({}, "ex4d.copy_install_command", {}),
    "find_backend": ({}, "ex4d.find_backend", {}),
    "save_file": ({}, "wm.save_as_mainfile", {}),
    "allow_online": ({}, "extensions.userpref_allow_online", {}),
    "object_mode": ({}, "object.mode_set", {"mode": "OBJECT"}),
    "fill_invalid": ({}, "ex4d.import_clip", {"fill_invalid": True}),
    "fewer_frames": ({"num_frames": 48}, "ex4d.import_clip", {"num_frames": 48}),
    "offload": ({}, "ex4d.set_engine_setting", {"setting": "memory", "value": "offload"}),
    "fetch_weights": ({"packages": "a b", "command": "x"}, "ex4d.fetch_weights", {"packages": "a b"}),
    "run_command": ({"command": "ex4d weights fetch wan"}, "ex4d.copy_command", {"command": "ex4d weights fetch wan"}),
}
"""By action: the remedy's values, the button's operator, and its arguments."""


@pytest.mark.parametrize("action", BUTTONS)
@pytest.mark.parametrize("words", ["", "kindly do otherwise", "run: rm; press Connect; use --num_frames 3"])
def test_a_button_is_chosen_by_the_action_whatever_the_words(blender, online, action, words, monkeypatch):
    from blender_addon.jobs import weights

    monkeypatch.setattr(weights, "may_fetch", lambda: True)
    values, operator, arguments = BUTTONS[action]
    remedy = Remedy(action=action, values=values, cli=words, panel=words)
    online.tell(f"Something is wrong; {words}.", is_error=True, panel="Clip", remedy=remedy)
    try:
        clip = draw_all(blender.context)["Clip"]
    finally:
        online.tell("")
    assert (
        operator in clip.operators() + clip.operators(usable=False)
        and arguments.items() <= clip.button(operator).items()
    )
    group, name = operator.split(".")
    known = getattr(getattr(blender.ops, group), name).get_rna_type().properties.keys()
    assert set(arguments) <= set(known)


@pytest.mark.parametrize(
    ("remedy", "shown"),
    [
        (run_command("/home/me/bin/python -m pip install 'ex4d[depth]'"), "It needs the 'depth' extra."),
        (install_ours("depth"), "It needs the 'depth' extra; in the folder of EX-4D's source run: pip"),
    ],
)
def test_a_command_that_a_button_copies_is_not_spelt_out(blender, online, remedy, shown):
    """A long path made a wall of a dozen lines; what a command needs beside itself stays."""
    from ex4d_ground.errors import in_words

    online.tell(in_words("It needs the 'depth' extra.", remedy, "panel"), is_error=True, remedy=remedy)
    try:
        clip = draw_all(blender.context)["Clip"]
    finally:
        online.tell("")
    assert shown in clip.words and ("python -m pip" in clip.words) == ("python -m pip" in shown)
    assert clip.button("ex4d.copy_command")["command"] == remedy.values["command"]


def test_after_copying_the_panel_says_what_to_do_with_it(blender, online):
    blender.ops.ex4d.copy_command(command="ex4d doctor")
    try:
        assert "then restart the backend" in draw_all(blender.context)["Clip"].words
    finally:
        online.tell("")


def test_every_reworded_remedy_keeps_its_button(blender, online, shot, moving_camera, monkeypatch):
    """The words of each remedy are replaced where they are made; panels in all states offer the same as before."""
    import ex4d_ground.remedies as ground
    from blender_addon.panels import fixes
    from blender_addon.scene import shot as shots

    def garbled(make):
        def other(*given):
            made = make(*given)
            return msgspec.structs.replace(made, cli="xyzzy --plugh", panel="Start elsewhere and save nothing")

        return other

    def offered() -> dict[str, list[tuple[str, dict[str, Any]]]]:
        found = {}
        for mode in ("EDIT", "OBJECT"):
            blender.ops.object.mode_set(mode=mode)
            for name, drawn in draw_all(blender.context).items():
                found[f"{mode} {name}"] = [(button, dict(given)) for button, given in drawn.layout.buttons]
        return found

    blender.context.view_layer.objects.active = shot.ex4d.mesh
    blender.context.scene.ex4d.engine = "other"
    before = offered()
    monkeypatch.setattr(shots, "object_mode", garbled(ground.object_mode))
    reworded = tuple(msgspec.structs.replace(e, remedy=e.remedy and garbled(lambda r=e.remedy: r)()) for e in ENGINES)
    monkeypatch.setattr(type(online), "capabilities", property(lambda _self: m.Capabilities(engines=reworded)))
    assert any("Start elsewhere" in drawn.words for drawn in draw_all(blender.context).values())
    after = offered()
    for panel in ("EDIT Takes", "OBJECT Takes", "EDIT Coverage", "OBJECT Backend"):
        assert after[panel] == before[panel]
    assert any(name == "object.mode_set" for name, _ in after["EDIT Takes"])
    assert any(name == "ex4d.copy_command" for name, _ in after["OBJECT Takes"])
    assert fixes.fix_for(None) is None


def test_every_action_that_blender_can_do_has_a_button_and_only_known_ones(blender):
    from blender_addon.panels import fixes

    assert set(fixes.FIXES) == set(BUTTONS) == set(ACTIONS) - {"use_cpu_rasterizer"}


@pytest.mark.parametrize(
    "remedy",
    [
        None,
        Remedy(panel="think"),
        Remedy(action="of_a_newer_backend", panel="do it"),
        Remedy(action="fewer_frames", values={"num_frames": "many"}),
        Remedy(action="run_command"),
    ],
)
def test_what_cannot_be_done_has_no_button(blender, remedy):
    from blender_addon.panels import fixes

    assert fixes.fix_for(remedy) is None
