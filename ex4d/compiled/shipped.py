"""Compiled kernels that came with the package: read-only, made by ``scripts/build_wheel.py``, in wheels for one system.

A folder per version of Python holds numba's cache files, a folder per module, and ``about.json``: the numba, the
llvmlite and the processor they are for. They are used where these are the same and the processor has all it takes;
else kernels are compiled as without them.
"""

import json
import platform
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SHIPPED = Path(__file__).parent / "shipped"
ABOUT = "about.json"
TARGETS = {
    "x86_64": (
        "x86-64-v3",
        "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sahf,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave",
    ),
    "aarch64": ("generic", "+fp-armv8,+neon"),
}
"""By the machine's name, the processor that kernels are built for and what it must have, as LLVM calls them."""
_SAME_MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class About:
    """What kernels were built with and for."""

    numba: str
    llvmlite: str
    triple: str
    """LLVM's name of machine and system."""
    cpu: str
    features: str
    """As numba has them: ``+avx,+avx2``."""


class Target:
    """Stands in for numba's code generator where it is asked for the processor that kernels are for."""

    def magic_tuple(self) -> tuple[str, str, str]:
        """As numba keys its cache."""
        about = _about()
        assert about is not None
        return about.triple, about.cpu, about.features


def machine() -> str:
    """This machine's name, one for all systems."""
    return _SAME_MACHINE.get(platform.machine(), platform.machine())


def python_folder() -> str:
    """The name of the folder for this Python."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def folder_of(module: str) -> Path | None:
    """Where the kernels of a module would be; None if there are none that can be used here."""
    return SHIPPED / python_folder() / module if _about() is not None and not why_not() else None


@lru_cache(maxsize=1)
def why_not() -> str:
    """A sentence on why kernels that came along are not used; empty if they are, or if there are none."""
    about = _about()
    if about is None:
        pythons = " and ".join(_dotted(path.name) for path in sorted(SHIPPED.glob("cp*")))
        return _mismatch("Python", pythons, _dotted(python_folder())) if pythons else ""
    for name, wanted in (("numba", about.numba), ("llvmlite", about.llvmlite)):
        if _version(name) != wanted:
            return _mismatch(name, wanted, _version(name))
    if _triple() != about.triple:
        return _mismatch("", about.triple, _triple())
    lacking = set(about.features.split(",")) - _host_features()
    return _mismatch("", about.cpu, f"a processor without {', '.join(sorted(lacking))}") if lacking else ""


def _mismatch(what: str, wanted: str, there: str) -> str:
    return f"Those that came along are for {what} {wanted}; this is {there}.".replace("  ", " ")


@lru_cache(maxsize=1)
def _about() -> About | None:
    path = SHIPPED / python_folder() / ABOUT
    return About(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _dotted(folder: str) -> str:
    return f"{folder[2]}.{folder[3:]}"


def _host_features() -> set[str]:
    from numba.core.codegen import get_host_cpu_features  # as people may have limited them for numba

    return set(get_host_cpu_features().split(","))


def _triple() -> str:
    from llvmlite import binding

    return binding.get_process_triple()
