"""The docs are true to the code: links, pictures, generated pages, quoted errors. No network, no site is built."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
IMAGES = DOCS / "images"
MOST_BYTES = 3_000_000
SOURCES = ("ex4d", "backend", "blender_addon", "protocol")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest() -> dict[str, list[str]]:
    return tomllib.loads((IMAGES / "manifest.toml").read_text(encoding="utf-8"))["made_by"]


def pages() -> list[Path]:
    return [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").glob("*.md"), ROOT / "backend" / "README.md"]


def test_every_relative_link_leads_somewhere():
    checker = script("check_links")
    assert list(checker.check_markdown(checker.markdown_files())) == []


def test_a_broken_link_and_a_missing_heading_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checker = script("check_links")
    monkeypatch.setattr(checker, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](gone.md) [b](#one) [c](#two) `[d](no.md)`\n```\n[e](no.md)\n```\n", encoding="utf-8")
    assert list(checker.check_markdown([page])) == [
        "page.md: gone.md does not exist",
        "page.md: page.md has no heading #two",
    ]


def test_a_site_that_loads_from_elsewhere_is_found(tmp_path: Path):
    checker = script("check_links")
    text = '<p id="a"></p><a href="https://example.org">x</a><a href="#a">y</a><a href="gone.html">z</a>'
    (tmp_path / "index.html").write_text(f"{text}<script src='https://example.org/x.js'></script>", encoding="utf-8")
    found = checker.check_site(tmp_path)
    assert found == [
        "index.html: loads https://example.org/x.js from elsewhere",
        "index.html: gone.html does not exist",
    ]


def test_every_picture_comes_from_a_script():
    listed = [name for names in manifest().values() for name in names]
    there = {p.name for p in IMAGES.iterdir() if p.name != "manifest.toml"}
    assert sorted(listed) == sorted(there)
    for path, names in manifest().items():
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            stem = Path(name).stem
            assert stem in text or stem.rpartition("-")[2] in text, f"{path} does not make {name}"


def test_every_picture_is_shown_and_small_enough_to_load():
    shown = {
        Path(target).name for page in pages() for target in re.findall(r"images/([\w.-]+)", page.read_text("utf-8"))
    }
    for picture in IMAGES.iterdir():
        if picture.name != "manifest.toml":
            assert picture.name in shown, f"no page shows {picture.name}"
            assert picture.stat().st_size <= MOST_BYTES, picture.name


def test_every_picture_has_a_text_for_those_who_cannot_see_it():
    for page in pages():
        assert not re.findall(r"!\[\s*\]\(", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("name", ["docs_cli", "docs_errors", "docs_figures", "docs_formats"])
def test_generated_pages_are_up_to_date(name: str):
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_page_of_errors_has_every_code_that_the_sources_give():
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    found = {
        code
        for folder in ("protocol", "ex4d", "backend", "blender_addon")
        for path in (ROOT / folder).rglob("*.py")
        for code in re.findall(r"""\bcode ?= ?["']([a-z_]+)["']""", path.read_text(encoding="utf-8"))
    }
    assert {"camera_not_solved", "diverged", "backend_too_old", "storage_full"} <= found
    assert [code for code in sorted(found) if f"`{code}`" not in page] == []


def test_the_gallery_shows_every_camera_move():
    from ex4d.trajectory import PRESETS

    loops = re.findall(r"^for cam in (.+); do$", (DOCS / "gallery.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(" ".join(loops).split()) == sorted(PRESETS)


def test_every_benchmark_is_in_their_list():
    listed = set(re.findall(r"`python benchmarks/(\w+)\.py", (ROOT / "benchmarks/README.md").read_text("utf-8")))
    programs = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text("utf-8")}
    assert len(programs) > 20 and programs == listed


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        uri = page.relative_to(DOCS).as_posix()
        assert uri in text or uri.startswith("decisions/0"), uri


@cache
def sentences() -> tuple[str, ...]:
    """Every text in the sources, values of f-strings replaced by an ellipsis."""
    return tuple(text for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py")) for text in texts(path))


def texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def quoted_errors() -> list[str]:
    found, quoting = [], False
    for line in (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| it says"):
            quoting = True
        elif not line.startswith("|"):
            quoting = False
        elif quoting and not line.startswith("|---"):
            found.append(line.split(" | ")[0].removeprefix("| "))
    return found


@pytest.mark.parametrize("quoted", quoted_errors())
def test_quoted_errors_are_what_the_code_says(quoted: str):
    pattern = re.compile(".*?".join(re.escape(part) for part in quoted.split("...")), re.DOTALL)
    assert any(pattern.search(text) for text in sentences()), quoted


def test_a_row_of_the_formats_page_names_the_test_that_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    formats = script("docs_formats")
    test = tmp_path / "tests" / "test_x.py"
    test.parent.mkdir()
    test.write_text('@pytest.mark.comes_in("Depth", "b", "c")\ndef test_it(): pass\n', encoding="utf-8")
    assert formats.page(test.parent).endswith("\n| b | c | `tests/test_x.py::test_it` |\n")
    test.write_text('@pytest.mark.comes_in("Sound", "b", "c")\ndef test_it(): pass\n', encoding="utf-8")
    with pytest.raises(ValueError, match="test_it: 'Sound' is none of Video, Images, Depth, Cameras, LoRA"):
        formats.page(test.parent)
