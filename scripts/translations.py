"""What the extension says, and which of it a language lacks.

    python scripts/translations.py [--language th_TH]

Looks at the code: labels, tooltips, and the sentences of operators and errors. A value inside a sentence is written {}.
Prints what the language's .po lacks, as entries to be filled in; exit code 1 if that is anything.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]
ADDON = ROOT / "blender_addon"
GROUND = tuple(
    ROOT / "protocol" / name
    for name in (
        "ex4d_ground/remedies.py",
        "ex4d_ground/stereo.py",
        "ex4d_ground/files.py",
        "ex4d_protocol/client_keys.py",
    )
)

SAID_FIRST = {
    "AddonError", "LinkLost", "StorageError", "JobFailed", "TaskCancelled", "StoppedKeeping", "OutputError", "Delivery",
    "Fix", "tell", "abandon", "say", "_require",
}  # fmt: skip
"""Calls whose first argument is for people."""
SAID_SECOND = {"hint", "paragraph", "draw_problem"}
MADE = {"Flag", "Whole", "Number", "Share", "Text", "File", "Folder", "Pointer", "Collection", "Choice", "Seconds",
        "EdgeRatio", "Strength", "Smoothing", "Matte", "FindFocal", "Painted", "CameraPointer", "Centre",
        "_shown_as"}  # fmt: skip
"""Properties: a name, a description, and for a choice its items."""
RETURNED_BY = {"run", "edit", "work", "text", "words", "lines", "_lacking", "warnings", "no_python", "show_footage",
               "lens_words", "camera_words", "estimate_words", "lost_words", "take_words", "file_words", "scale_words",
               "still_words", "lens_notes", "stand_there", "_silent", "licence_of", "worker_words", "why_gone",
               "refusal", "_warned", "_only_solid", "entry_words", "depth_words", "matte_words",
               "size_words"}  # fmt: skip
"""Functions that return what is said."""
TABLES = {"KINDS", "CHOICES", "ROLES", "EASINGS", "FRAMES", "PAINTED_AS", "PAINTED", "AUTOMATIC", "CAMERA_CHOICES",
          "DEPTH_CHOICES", "FIELD_CHOICES", "FROM_FILE", "ESTIMATED", "LAYOUTS", "BRUSHES", "NAMES", "KEEPS", "RECEIVE",
          "CONNECTED", "TERMINALS", "LABELS", "FILMED_BY", "FOCAL_CHOICES", "EYES_CHOICES",
          "WEIGHT_NOTES", "GRIDS", "LEGEND", "NOT_SHOWN", "SHOWN", "NO_PLACE", "_REASONS"}  # fmt: skip
"""Names of module constants with words for people."""


def main() -> int:
    """Print what is lacking; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--language", default="th_TH")
    options = parser.parse_args()
    from blender_addon.work import languages

    known = languages.read(ADDON / "languages" / f"{options.language}.po")
    lacking = [text for text in said() if text not in known]
    for text in lacking:
        print(f'msgid {quoted(text)}\nmsgstr ""\n')
    print(f"{len(lacking)} of {len(list(said()))} are lacking.", file=sys.stderr)
    return 1 if lacking else 0


def quoted(text: str) -> str:
    """As a .po file writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def said() -> list[str]:
    """Everything that the extension's own code says, each once, in the order of the files."""
    found: dict[str, None] = {}
    for path in [*sorted(ADDON.rglob("*.py")), *GROUND]:
        for text in of_module(ast.parse(path.read_text(encoding="utf-8"))):
            if is_said(text):
                found[re.sub(r"\{\w+\}", "{}", text)] = None  # what str.format fills in
    return list(found)


def is_said(text: str) -> bool:
    """Whether there is a word in it."""
    bare = text.replace("{}", "")
    return any(letter.isalpha() for letter in bare) and text == text.strip() and not bare.startswith(("ex4d.", "EX4D_"))


def of_module(tree: ast.Module) -> Iterator[str]:
    """What one module says."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from of_call(node)
        elif isinstance(node, ast.ClassDef):
            yield from of_class(node)
        elif isinstance(node, ast.FunctionDef) and node.name in RETURNED_BY:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return | ast.Yield) and inner.value is not None:
                    yield from sentences(inner.value)
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [getattr(each, "id", "") for target in targets for each in ast.walk(target)]
            if TABLES & set(names):
                yield from of_table(node.value)


def of_call(node: ast.Call) -> Iterator[str]:
    """What a call says."""
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    for keyword in node.keywords:
        if keyword.arg in ("text", "heading") or (keyword.arg == "panel" and name == "Remedy"):
            yield from words(keyword.value)
    error = isinstance(node.func, ast.Name) and name == "error"  # the kind of error that a caller asked for
    position = 0 if error or name in SAID_FIRST else 1 if name in SAID_SECOND else None
    if position is not None and len(node.args) > position:
        yield from words(node.args[position])
    if name in MADE:
        for argument in node.args:
            yield from of_table(argument) if isinstance(argument, ast.Tuple) else words(argument)
    if name == "partial" and node.args and getattr(node.args[0], "id", "") in MADE:
        for argument in node.args[1:]:
            yield from of_table(argument) if isinstance(argument, ast.Tuple) else words(argument)
    if name in ("FloatVectorProperty", "BoolProperty"):
        for keyword in node.keywords:
            if keyword.arg in ("name", "description"):
                yield from words(keyword.value)


def of_class(node: ast.ClassDef) -> Iterator[str]:
    """Label and tooltip of a class that Blender registers, and its own words."""
    for item in node.body:
        if isinstance(item, ast.Assign) and any(getattr(target, "id", "") == "bl_label" for target in item.targets):
            yield from words(item.value)
    kinds = ("_OT_", "_PT_", "_MT_")
    if any(kind in node.name for kind in kinds) and (text := ast.get_docstring(node)):
        yield text


def of_table(node: ast.expr) -> Iterator[str]:
    """Words in a table: those with a capital or a space, which identifiers lack."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant | ast.JoinedStr):
            for text in words(inner):
                if " " in text or (text[:1].isupper() and not text.isupper()):
                    yield text


def sentences(node: ast.expr) -> Iterator[str]:
    """Words that are returned: sentences, labels, and halves of them; no identifiers."""
    for text in words(node):
        if " " in text or text[:1].isupper():
            yield text


def words(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be, values written {}."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)
    elif isinstance(node, ast.Tuple | ast.BoolOp):
        for item in node.elts if isinstance(node, ast.Tuple) else node.values:
            yield from words(item)


if __name__ == "__main__":
    sys.exit(main())
