"""What mkdocs does beside its plugins: pages from elsewhere in the repository, and links that work in both places.

The Markdown is written so that its links work when the repository is browsed. In the site, a link to a file outside
docs/ becomes a link to that file's page if it has one (``PAGES``), else its path in the repository. A link to nothing
is a warning, which ``mkdocs build --strict`` turns into an error.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "protocol.md": "protocol/SPEC.md",
    "security.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages whose source is outside docs/."""

LINK = re.compile(r"(?P<head>\]\()(?P<target>[^)\s]+)(?P<tail>(?:\s+\"[^\"]*\")?\))")
OUTSIDE = re.compile(r"\[(?P<text>[^\[\]]+)\]\(repository:(?P<path>[^)\s]+)[^)]*\)")
FENCE = re.compile(r"^ *(```|~~~)")
log = logging.getLogger("mkdocs.hooks.docs")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that live elsewhere."""
    from mkdocs.structure.files import File

    for uri, source in PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Mend the links, and list the decisions on their index."""
    uri = page.file.src_uri
    source = PurePosixPath(PAGES.get(uri, f"docs/{uri}"))
    if uri == "decisions/README.md":
        markdown = f"{markdown.rstrip()}\n\n{decisions()}\n"
    lines, fenced = [], False
    for line in markdown.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else OUTSIDE.sub(as_path, LINK.sub(lambda m: mended(m, source, uri), line)))
    return "\n".join(lines)


def decisions() -> str:
    """A list of all decisions by their own titles."""
    pages = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    titles = [re.sub(r"^# *(\d+[:.])? *", "", page.read_text(encoding="utf-8").splitlines()[0]) for page in pages]
    return "\n".join(f"- [{page.name[:4]}: {title}]({page.name})" for page, title in zip(pages, titles, strict=True))


def mended(found: re.Match[str], source: PurePosixPath, uri: str) -> str:
    """One link of the page ``uri``, whose text lies at ``source`` in the repository, as the site needs it."""
    target, _, anchor = found["target"].partition("#")
    if not target or re.match(r"[a-z][a-z0-9+.-]*:", target):
        return found[0]
    path = os.path.normpath(source.parent / target).replace(os.sep, "/")
    suffix = f"#{anchor}" if anchor else ""
    by_source = {outside: page for page, outside in PAGES.items()}
    if path in by_source:
        new = by_source[path]
    elif path.startswith("docs/") and (ROOT / path).is_file():
        new = path.removeprefix("docs/")
    elif (ROOT / path).exists():
        return f"{found['head']}repository:{path}{found['tail']}"
    else:
        log.warning("%s links to %s, which does not exist", source, found["target"])
        return found[0]
    relative = os.path.relpath(new, PurePosixPath(uri).parent).replace(os.sep, "/")
    return f"{found['head']}{relative}{suffix}{found['tail']}"


def as_path(found: re.Match[str]) -> str:
    """A link to a file that the site does not have: its words, and the path unless they are it."""
    text, path = found["text"], found["path"]
    return text if PurePosixPath(path).name in text else f"{text} (`{path}`)"
