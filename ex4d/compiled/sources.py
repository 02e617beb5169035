"""What compiled code is made of: the source files of a module and of all of the project that it imports.

A kernel has the kernels that it calls, and the constants of other modules, compiled into it. Numba's own cache looks
at the kernel's own file alone, so it would go on running the old code after a change in any of the others.
"""

import hashlib
import re
import sys
from functools import cache
from pathlib import Path

ROOTS = ("ex4d", "ex4d_ground")
"""Packages whose modules are looked at; the versions of others are checked elsewhere."""
DECORATORS = "ex4d.compiled.kernel"
"""Counts itself; what it needs to look after the cache does not change compiled code."""
_IMPORT = re.compile(
    r"^from (?P<home>\w[\w.]*) import (?P<names>\([^)]*\)|.*)|^import (?P<whole>\w[\w.]*)", re.MULTILINE
)


@cache
def source_stamp(module: str) -> str:
    """A hash of the sources of ``module`` and of what it imports of the project at its top, itself and through others.

    To be asked for once those imports are done.
    """
    found = source_files(module)
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + _read(found[name]) + b"\0")
    return digest.hexdigest()


def source_files(module: str) -> dict[str, Path]:
    """Those sources, by the names of their modules."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = Path(sys.modules[name].__file__ or "")
        waiting += _imported(found[name]) if name != DECORATORS else []
    return found


@cache
def _read(path: Path) -> bytes:
    # Line ends are made one: a checkout on Windows has others.
    return path.read_bytes().replace(b"\r\n", b"\n")


@cache
def _imported(path: Path) -> list[str]:
    """The project's modules that a file imports at its top."""
    found = []
    for match in _IMPORT.finditer(_read(path).decode("utf-8")):
        home = match["home"] or match["whole"]
        if home.split(".")[0] not in ROOTS:
            continue
        names = re.findall(r"\w+", match["names"] or "")
        parts = [f"{home}.{name}" for name in names]
        modules = [part for part in parts if part in sys.modules]
        found += modules if len(modules) == len(names) > 0 else [home, *modules]
    return found
