"""The extension's words in other languages: labels and tooltips by Blender's mechanism, sentences with values by ours.

``languages/<locale>.po`` holds a language. A value inside a sentence is written ``{}`` (``{0}``, ``{1}`` where the
order changes); Blender can look up fixed texts alone, so sentences go through :func:`say` where they are shown.
"""

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import bpy

from .addon import PACKAGE
from .preferences import EX4D_AP_preferences

FOLDER = Path(__file__).resolve().parents[1] / "languages"
CONTEXTS = ("*", "Operator")
"""Where Blender looks texts up: labels and tooltips, and the names of operators."""


def read(path: Path) -> dict[str, str]:
    """The texts of a .po file with their translations; those that are empty are left out."""
    found: dict[str, str] = {}
    entry, field = {"msgid": "", "msgstr": ""}, ""
    for line in [*path.read_text(encoding="utf-8").splitlines(), 'msgid ""']:
        keyword, _, rest = line.partition(" ")
        if keyword == "msgid":
            if entry["msgid"] and entry["msgstr"]:
                found[entry["msgid"]] = entry["msgstr"]
            entry, field = {"msgid": "", "msgstr": ""}, "msgid"
        elif keyword == "msgstr":
            field = "msgstr"
        elif not line.startswith('"'):
            continue
        entry[field] += ast.literal_eval(rest if keyword in entry else line)
    return found


@lru_cache(maxsize=1)
def all_languages() -> dict[str, dict[str, str]]:
    """By locale, what each language has."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.po"))}


def say(text: str) -> str:
    """``text`` in the language of Blender's interface, or as it is."""
    view: Any = bpy.context.preferences.view
    locale = bpy.app.translations.locale
    return in_language(text, locale) if view.use_translate_interface and locale in all_languages() else text


@lru_cache(maxsize=2048)
def in_language(text: str, locale: str) -> str:
    """``text`` in the language of ``locale``: as a whole, by the sentence it is made of, or sentence by sentence."""
    table = all_languages()[locale]
    if text in table:
        return table[text]
    for pattern, made in _patterns(locale):
        match = pattern.fullmatch(text)
        if match:
            return made.format(*(in_language(value, locale) for value in match.groups()))
    for separator in ("; ", ". "):  # an error and what mends it; two sentences
        head, middle, tail = text.rpartition(separator)
        if middle:
            parts = in_language(f"{head}.", locale), in_language(tail, locale)
            if parts != (f"{head}.", tail):
                return " ".join(parts)
    bare = text.rstrip(".")
    return in_language(bare, locale) if bare != text and bare in table else text


@lru_cache(maxsize=8)
def _patterns(locale: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Sentences with values, those that say most first."""
    texts = [text for text in all_languages()[locale] if "{}" in text and re.search(r"[A-Za-z]{2}", text)]
    texts.sort(key=lambda text: -len(text.replace("{}", "")))
    return tuple(
        (re.compile("(.*?)".join(map(re.escape, text.split("{}"))), re.DOTALL), all_languages()[locale][text])
        for text in texts
    )


def for_blender() -> dict[str, dict[tuple[str, str], str]]:
    """By locale, what Blender is to look up: (context, text) with its translation.

    Among them the tooltips that hold a value, such as an address, as they are registered.
    """
    found = {}
    for locale, table in all_languages().items():
        tooltips = {prop.description for prop in EX4D_AP_preferences.bl_rna.properties}
        made = {text: in_language(text, locale) for text in tooltips if text not in table}
        texts = {**table, **{text: said for text, said in made.items() if said != text}}
        found[locale] = {(context, text): said for text, said in texts.items() for context in CONTEXTS}
    return found


def start() -> None:
    """Let Blender look up the texts."""
    bpy.app.translations.register(PACKAGE, for_blender())


def stop() -> None:
    """Take them away again."""
    bpy.app.translations.unregister(PACKAGE)
