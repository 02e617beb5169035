"""Find modules that import each other in a circle, also where an import stands inside a function.

    python scripts/check_cycles.py [FOLDER]

Every import statement counts but for those under ``if TYPE_CHECKING:``. ``from package import name`` is an import of
the package's ``__init__`` if that defines the name or hands it on, and of the module ``package.name`` otherwise. That
importing a module runs the ``__init__`` of its package as well does not count.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("ex4d", "protocol", "backend", "blender_addon", "scripts", "benchmarks")
SEARCHED = ("", "protocol", "backend", "scripts", "benchmarks")
"""Folders from which top-level names are found."""


class Import(NamedTuple):
    """One import statement's arrow from a module to another, both named by their files."""

    source: str
    target: str
    line: int
    names: str
    lazy: bool
    """Inside a function."""


Arrows = Mapping[str, list[Import]]


def main() -> int:
    """Print every circle; returns the exit code."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    arrows = read_tree(root)
    circles = find_circles(arrows)
    for circle in circles:
        print(f"{len(circle)} modules import each other: {', '.join(circle)}", file=sys.stderr)
        for arrow in (arrow for source in circle for arrow in arrows[source] if arrow.target in circle):
            where = " inside a function" if arrow.lazy else ""
            print(f"  {arrow.source}:{arrow.line} imports {arrow.names} of {arrow.target}{where}", file=sys.stderr)
    if not circles:
        print(f"no import cycles in {len(arrows)} modules")
    return 1 if circles else 0


def read_tree(root: Path) -> Arrows:
    """The imports of every module below ``root``'s folders of code, by the importing file."""
    paths = {p.relative_to(root).as_posix(): p for folder in FOLDERS for p in sorted((root / folder).rglob("*.py"))}
    trees = {file: ast.parse(path.read_bytes()) for file, path in paths.items()}
    modules = {name: file for file in trees for name in _names(file)}
    packages = {name: file for name, file in modules.items() if file.endswith("/__init__.py")}
    inside = {f"{name}.{each}": file for name, file in packages.items() for each in _handed_on(trees[file])}
    return {file: list(_imports(file, tree, modules, {**modules, **inside})) for file, tree in trees.items()}


def find_circles(arrows: Arrows) -> list[list[str]]:
    """The groups of modules that reach each other, of two or more; each group and all of them in order."""
    reached = {source: _reach(source, arrows) for source in arrows}
    groups = {frozenset(t for t in reached[source] if source in reached[t]) for source in arrows}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reach(source: str, arrows: Arrows) -> set[str]:
    seen: set[str] = set()
    waiting = [source]
    while waiting:
        for arrow in arrows[waiting.pop()]:
            if arrow.target not in seen:
                seen.add(arrow.target)
                waiting.append(arrow.target)
    return seen


def _names(file: str) -> Iterator[str]:
    """Every dotted name that a file can be imported by; "" is none."""
    for folder in SEARCHED:
        if not folder or file.startswith(f"{folder}/"):
            yield file.removeprefix(f"{folder}/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _handed_on(tree: ast.Module) -> Iterator[str]:
    """The functions and classes that a package's ``__init__`` defines or takes from inside a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (alias.asname or alias.name for alias in node.names)


def _imports(file: str, tree: ast.Module, modules: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Import]:
    """The arrows of one file; several names from one place make one arrow. ``names`` are what ``from`` may take."""
    package = file.removesuffix("/__init__.py").split("/") if file.endswith("/__init__.py") else file.split("/")[:-1]
    for node, lazy in _statements(tree, lazy=False):
        targets: defaultdict[str, list[str]] = defaultdict(list)
        if isinstance(node, ast.Import):
            for alias in node.names:
                targets[modules.get(alias.name, "")].append(alias.name)
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                targets[names.get(f"{base}.{alias.name}") or modules.get(base, "")].append(alias.name)
        for target, taken in targets.items():
            if target not in ("", file):
                yield Import(file, target, node.lineno, ", ".join(taken), lazy)


def _statements(node: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Every import statement below ``node``, and whether it stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, lazy
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in (
            getattr(child.test, "id", ""),
            getattr(child.test, "attr", ""),
        ):
            yield from _statements(ast.Module(child.orelse, []), lazy=lazy)
        else:
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _statements(child, lazy=inside)


if __name__ == "__main__":
    sys.exit(main())
