"""The extension in other languages: nothing is left out, values stay what they are, and sentences are put together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy
import pytest
from drawn_panels import Drawn, draw_all

from ex4d_ground.costs import Cost

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = sorted(path.stem for path in (ROOT / "blender_addon" / "languages").glob("*.po"))
OF_OTHERS = {"Preview", "Wan 2.1", "Other", "Free", "Orbit Left"}
"""Titles that the backend gives."""
SAME = {"CPU", "GPU", "nvdiffrast"}
"""Names that every language writes so."""
OF_BLENDER = {"remove_name", "remove_active"}
"""Properties of Blender's own preset mixin."""


def table(locale: str) -> dict[str, str]:
    from blender_addon.work import languages

    return languages.all_languages()[locale]


def said() -> list[str]:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import translations  # pyright: ignore[reportMissingImports]
    finally:
        sys.path.pop(0)
    return translations.said()


def registered_texts(blender: Any) -> dict[str, str]:
    """Label, tooltip, and the names and descriptions of all properties of every class, by where they are."""
    from blender_addon import registration

    found: dict[str, str] = {}
    for kind in registration.classes():
        rna = kind.bl_rna
        if issubclass(kind, bpy.types.Operator):
            rna = getattr(blender.ops.ex4d, kind.bl_idname.split(".")[1]).get_rna_type()
            found[f"{kind.__name__} label"], found[f"{kind.__name__} tooltip"] = rna.name, rna.description
        elif issubclass(kind, bpy.types.Panel | bpy.types.Menu):
            found[f"{kind.__name__} label"] = kind.bl_label
            continue
        base = {p.identifier for b in kind.__mro__[1:] if hasattr(b, "bl_rna") for p in b.bl_rna.properties}
        for prop in rna.properties:
            if prop.identifier in base | OF_BLENDER | {"rna_type", "name", "bl_idname"}:
                continue
            where = f"{kind.__name__}.{prop.identifier}"
            found[where], found[f"{where} description"] = prop.name, prop.description
            for item in prop.enum_items if prop.type == "ENUM" else ():
                found[f"{where} {item.identifier}"] = item.name
                found[f"{where} {item.identifier} description"] = item.description
    return found


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_text_of_the_code_is_translated(blender, locale):
    """What is lacking is printed by scripts/translations.py, to be filled in."""
    lacking = [text for text in said() if text not in table(locale)]
    assert len(said()) > 600 and not lacking, "\n".join(lacking)


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_registered_label_and_tooltip_is_translated(blender, locale):
    known = table(locale)
    texts = registered_texts(blender)
    lacking = {
        where: text
        for where, text in texts.items()
        if text and text not in SAME and not understood(text, locale, known)
    }
    assert len(texts) > 400 and not lacking


def understood(text: str, locale: str, known: dict[str, str]) -> bool:
    from blender_addon.work import languages

    return not text or text in known or text in SAME or languages.in_language(text, locale) != text


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_drawn_label_is_translated(blender, online, shot, moving_camera, locale, monkeypatch):
    from blender_addon.jobs import cost_watch

    scene, known = blender.context.scene, table(locale)
    lacking = set()

    def look() -> None:
        """Sentences with values are put together before they are drawn, and Blender leaves them alone."""
        menus = [Drawn(each, blender.context) for each in (bpy.types.EX4D_MT_estimators, bpy.types.EX4D_MT_footage)]
        for drawn in (*draw_all(blender.context).values(), *menus):
            texts = [leaf for leaf in drawn.leaves if leaf.kind in ("label", "operator", "menu") and leaf.translate]
            lacking.update(leaf.text for leaf in texts if leaf.text not in known)

    look()
    for engine, seconds in (("preview", 1.0), ("wan", 95.0)):  # with and without it, whenever the answer comes
        cost = Cost(engine, 5, 150, 90, forwards=50, plan="fp8", peak_bytes=17 << 30, seconds=seconds)
        scene.ex4d.engine = engine
        with monkeypatch.context() as known_cost:
            known_cost.setattr(cost_watch, "of", lambda *_, cost=cost: cost)
            button = draw_all(blender.context)["Takes"].button("ex4d.generate")
            assert "about" in button["text"]
            look()
    shot.ex4d.occluders = "SOLID"
    blender.ops.ex4d.edit_frame()
    look()
    blender.ops.ex4d.discard_edit()
    scene.ex4d.shot = None
    look()
    lacking -= OF_OTHERS
    assert not [text for text in lacking if any(map(str.isalpha, text))]


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_translation_takes_the_values_of_its_text_and_no_others(blender, locale):
    wrong = []
    for text, translated in table(locale).items():
        if "{" not in text or '{"' in text:
            continue
        count = text.count("{}")
        try:
            made = translated.format(*(f"<{n}>" for n in range(count)))
        except (IndexError, KeyError, ValueError) as error:
            wrong.append((text, error))
            continue
        if "{0}" not in translated and any(f"<{n}>" not in made for n in range(count)):
            wrong.append((text, made))
    assert not wrong


def test_sentences_keep_their_values_and_are_put_together(blender):
    from blender_addon.jobs.estimators import entry_words
    from blender_addon.work.languages import in_language
    from ex4d_ground.descriptions import EstimatorInfo

    def thai(text: str) -> str:
        return in_language(text, "th_TH")

    assert thai("Open Video...") == "เปิดวิดีโอ..."
    assert thai("Editing Frame 12") == "กำลังแก้ไขเฟรม 12"
    known = thai("There is no shot in this scene yet; import a clip first.")
    assert known == "ยังไม่มีช็อตในฉากนี้; โปรดนำเข้าคลิปก่อน"
    mode = thai("Blender is in Edit Mesh Mode; switch to Object Mode (Tab).")
    assert mode.startswith("Blender อยู่ในโหมด Edit Mesh") and "(Tab)" in mode, "an error with what mends it"
    assert thai("3 problems marked on the timeline.") == "ทำเครื่องหมายปัญหา 3 จุดบนไทม์ไลน์แล้ว"
    spec = EstimatorInfo(name="da3", title="Depth Anything 3", licence="Apache-2.0", available=False)
    assert thai(entry_words(spec)) == "Depth Anything 3  (Apache-2.0, ยังไม่ได้ติดตั้ง)"
    assert thai("Words that nobody has written.") == "Words that nobody has written."


def test_blender_looks_up_labels_operators_and_tooltips_with_an_address_in_them(blender):
    """What is registered; Blender itself shows it in a window only, its module has no languages."""
    from blender_addon.work import languages, preferences

    found = languages.for_blender()["th_TH"]
    assert found["*", "Clip"] == "คลิป" and found["Operator", "Open Video..."] == "เปิดวิดีโอ..."
    address = preferences.EX4D_AP_preferences.bl_rna.properties["address"].description
    assert "tcp://" in address and found["*", address].startswith("ที่อยู่") and "tcp://" in found["*", address]
    assert languages.say("Clip") == "Clip", "the interface is English here"


def test_po_files_are_read_as_translators_write_them(blender, tmp_path):
    from blender_addon.work import languages

    path = tmp_path / "xx.po"
    path.write_text(
        '# a comment\nmsgid ""\nmsgstr "Language: xx\\n"\n\n#: file.py:3\nmsgid "One "\n"line, \\"two\\""\n'
        'msgstr ""\n"Eine"\n" Zeile"\n\nmsgid "Empty"\nmsgstr ""\n',
        encoding="utf-8",
    )
    assert languages.read(path) == {'One line, "two"': "Eine Zeile"}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_the_moves_and_settings_that_the_backend_brings_with_it_are_translated(blender, locale):
    """Of other engines and estimators, Blender shows what they say of themselves."""
    pytest.importorskip("cv2", reason="needs what the library needs")
    from blender_addon.jobs.engine_settings import _title
    from ex4d.engines import list_engines
    from ex4d.trajectory.presets import PRESETS

    moves = [text for preset in PRESETS.values() for text in (preset.title.title(), preset.help.rstrip("."))]
    settings = [each for engine in list_engines() for each in engine.settings]
    texts = [text for each in settings for text in (_title(each.name), each.help.rstrip("."))]
    known = table(locale)
    lacking = [
        text for text in (*moves, *texts) if not text.startswith("Ex-4D") and not understood(text, locale, known)
    ]
    assert len(texts) > 40 and not lacking
