"""Check every relative link: in the repository's Markdown, and in the built site. Nothing is fetched.

    python scripts/check_links.py [--site out/site]

Of the site it also checks that no page loads a script, style, font or picture from elsewhere.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\((?P<inline>[^)\s]+)(?:\s+\"[^\"]*\")?\)|(?:src|href)=[\"'](?P<html>[^\"']+)[\"']")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def main() -> int:
    """Print what is broken; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--site", type=Path, help="also check the site in this folder")
    options = parser.parse_args()
    broken = list(check_markdown(markdown_files()))
    if options.site is not None:
        broken += check_site(options.site)
    for sentence in broken:
        print(sentence, file=sys.stderr)
    return 1 if broken else 0


def markdown_files() -> list[Path]:
    """Every Markdown file that git knows or does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def check_markdown(files: Iterable[Path]) -> Iterator[str]:
    """One sentence for each link to a file or heading that does not exist."""
    for file in files:
        for target in links(file):
            path, _, anchor = target.partition("#")
            if is_external(target):
                continue
            found = (file.parent / unquote(path)).resolve() if path else file
            if not found.exists():
                yield f"{file.relative_to(ROOT)}: {target} does not exist"
            elif anchor and found.suffix == ".md" and anchor not in anchors(found):
                yield f"{file.relative_to(ROOT)}: {found.name} has no heading #{anchor}"


def is_external(target: str) -> bool:
    """Whether a link has a scheme (https:, mailto:, ...)."""
    return bool(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target))


def links(file: Path) -> list[str]:
    """Targets of a Markdown file's links and pictures, code left out."""
    text = INLINE_CODE.sub("", FENCED.sub("", file.read_text(encoding="utf-8")))
    return [found["inline"] or found["html"] for found in LINK.finditer(text)]


@cache
def anchors(file: Path) -> frozenset[str]:
    """The anchors of a Markdown file's headings, as they are made when the repository is browsed."""
    seen: dict[str, int] = {}
    found = set()
    for heading in HEADING.findall(FENCED.sub("", file.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f"{slug}-{count}")
    return frozenset(found)


class Page(HTMLParser):
    """What a page links to, what it loads, and where one can jump in it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one element."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loads.append(given.get("href", ""))
        elif "src" in given:
            self.loads.append(given["src"])


def check_site(site: Path) -> list[str]:
    """One sentence for each link, anchor, picture, script or style of the site that is not there."""
    if not (site / "index.html").is_file():
        return [f"{site} holds no site; run: make docs"]
    pages = {page: parsed(page) for page in sorted(site.rglob("*.html")) if page.name != "404.html"}
    broken = []
    for page, content in pages.items():
        name = page.relative_to(site)
        broken += [f"{name}: loads {target} from elsewhere" for target in content.loads if is_remote(target)]
        for target in content.links + content.loads:
            if is_external(target) or is_remote(target) or not target:
                continue
            parts = urlsplit(target)
            found = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            found = found / "index.html" if found.is_dir() else found
            if not found.is_file():
                broken.append(f"{name}: {target} does not exist")
            elif parts.fragment and found in pages and unquote(parts.fragment) not in pages[found].anchors:
                broken.append(f"{name}: {target} has no such anchor")
    return broken


def is_remote(target: str) -> bool:
    """Whether a browser would have to go to another host."""
    return target.startswith(("http://", "https://", "//"))


def parsed(page: Path) -> Page:
    """One page's content."""
    content = Page()
    content.feed(page.read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    sys.exit(main())
