"""What is installed here, what each part's licence is, what is missing, and the one command that mends it.

Everything is found by looking, nothing is downloaded or loaded on a device.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util

from ex4d_ground.descriptions import EngineInfo, EstimatorInfo
from ex4d_ground.errors import in_words
from ex4d_ground.origin import DISTRIBUTION
from ex4d_ground.remedies import install_ours

EXTRA_PURPOSES = {
    "gpu": "batched meshes and fast guides on an NVIDIA GPU",
    "wan": "the EX-4D model: generating takes",
    "train": "training the model's LoRA and geometry encoder",
    "train8bit": "training with an 8-bit optimizer",
    "depth": "estimating depth from video",
    "colour": "colour spaces by name: log curves of cameras, a studio's configuration",
    "ray": "a backend whose workers are spread over machines by Ray",
    "slurm": "shots given to a Slurm cluster by submitit",
    "compiled": "the numba that a wheel's compiled parts were made with",
    "blender": "Blender as a Python module, for headless scripts",
    "dev": "tests and checks",
    "docs": "building the documentation",
}
"""What an extra is for, in a user's words; extras without a line here are listed without one."""

# Packages that are optional, in no extra, and whose licence a user must know before using them at work.
_RESTRICTED = {"nvdiffrast": "NVIDIA Source Code License: research and evaluation only, not for commercial use"}

# What package metadata does not say.
_UNSTATED = {"openexr": "BSD-3-Clause", "opencolorio": "BSD-3-Clause"}
_LICENCE_NOTES = {"av": "its wheels contain FFmpeg with the encoders x264 and x265, which are GPL-2.0-or-later"}


@dataclass(frozen=True)
class Package:
    """An installed or missing Python package."""

    name: str
    version: str | None
    """None if it is not installed."""
    licence: str
    note: str = ""


@dataclass(frozen=True)
class Extra:
    """An optional set of packages."""

    name: str
    purpose: str
    missing: tuple[str, ...]
    command: str
    """What installs it; empty if nothing is missing."""


@dataclass(frozen=True)
class Device:
    """Something that computes."""

    kind: str
    name: str
    memory_gib: float | None


@dataclass(frozen=True)
class Part:
    """An engine, a depth estimator or a set of weights: whether it can be used, and on what terms."""

    kind: str
    name: str
    licence: str
    available: bool
    missing: str = ""
    """One sentence with the command, if it is not available."""


@dataclass(frozen=True)
class Report:
    """All of it. ``dataclasses.asdict`` gives the JSON."""

    version: str
    python: str
    system: str
    devices: tuple[Device, ...]
    packages: tuple[Package, ...]
    extras: tuple[Extra, ...]
    parts: tuple[Part, ...]
    problems: tuple[str, ...]
    """What keeps even the base install from working; empty on a sound machine."""


def examine() -> Report:
    """Look at this machine and installation."""
    requirements = _requirements()
    packages = tuple(_package(name) for name in requirements.get("", ()))
    restricted = tuple(_package(name) for name in _RESTRICTED if util.find_spec(name) is not None)
    missing = [p.name for p in packages if p.version is None]
    again = install_ours("", "--force-reinstall")
    problems = [in_words(f"{', '.join(missing)} missing", again, "cli")] if missing else []
    return Report(
        version=_version(DISTRIBUTION) or "not installed",
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        devices=tuple(_devices()),
        packages=packages + restricted,
        extras=tuple(_extra(name, needed) for name, needed in requirements.items() if name),
        parts=tuple(_parts()),
        problems=tuple(problems),
    )


def _requirements() -> dict[str, tuple[str, ...]]:
    """Package names by extra ("" is the base), as the installed distribution states them, for this Python."""
    from packaging.requirements import Requirement

    try:
        stated = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
        extras = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return {"": ()}

    def applies(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    base = [r for r in stated if applies(r, "")]
    optional = [r for r in stated if not applies(r, "")]
    names = {"": tuple(r.name for r in base)}
    for extra in extras:
        names[extra] = tuple(r.name for r in optional if applies(r, extra) and r.name != DISTRIBUTION)
    return names


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Package:
    version = _version(name)
    licence = _RESTRICTED.get(name) or (_licence(name) if version else "")
    return Package(name, version, licence, _LICENCE_NOTES.get(name, "") if version else "")


def _licence(name: str) -> str:
    """The licence as the package's metadata states it, shortest form first."""
    stated = metadata.metadata(name)
    expressions = stated.get_all("License-Expression")
    if expressions:
        return expressions[0]
    classifiers = [c.rsplit(" :: ", 1)[-1] for c in stated.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return ", ".join(classifiers)
    text = (stated.get_all("License") or [""])[0].strip()
    return text.splitlines()[0] if text else _UNSTATED.get(name.lower(), "not stated in its metadata")


def _extra(name: str, needed: tuple[str, ...]) -> Extra:
    missing = tuple(p for p in needed if _version(p) is None)
    command = str(install_ours(name).values["command"]) if missing else ""
    return Extra(name, EXTRA_PURPOSES.get(name, ""), missing, command)


def _devices() -> list[Device]:
    from ex4d.frames import physical_memory

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = physical_memory()
    devices = [Device("cpu", f"{cores} cores", round(memory / 2**30, 1) if memory else None)]
    if util.find_spec("torch") is None:
        return devices
    try:
        import torch
    except (ImportError, OSError) as error:  # a library it was built for is missing: say so, that is what we are for
        return [*devices, Device("gpu", f"unknown, as torch cannot be loaded ({_one_line(error)})", None)]
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        devices.append(Device("cuda", properties.name, round(properties.total_memory / 2**30, 1)))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU", None))
    return devices


def _parts() -> list[Part]:
    """Engines, depth estimators and rasterizers as they describe themselves."""
    from ex4d.depth import list_estimators
    from ex4d.engines import list_engines
    from ex4d.raster import describe_rasterizers
    from ex4d.raster.choice import install_remedy

    def engines() -> list[Part]:
        return [Part("engine", i.name, i.licence, i.available, _why_not(i)) for i in list_engines()]

    def estimators() -> list[Part]:
        infos = list_estimators()
        return [Part("depth estimator", i.name, i.licence_text, i.available, _why_not(i)) for i in infos]

    def rasterizers() -> list[Part]:
        infos = describe_rasterizers()
        lacks = {i.name: in_words(i.why, install_remedy(i.name), "cli") for i in infos if not i.available}
        return [Part("rasterizer", i.name, i.licence, i.available, lacks.get(i.name, "")) for i in infos]

    surveys = (("engine", engines), ("depth estimator", estimators), ("rasterizer", rasterizers))
    return [part for kind, look in surveys for part in _survey(kind, look)]


def _why_not(info: EngineInfo | EstimatorInfo) -> str:
    return in_words(info.missing, info.remedy, "cli")


def _survey(kind: str, look: Callable[[], list[Part]]) -> list[Part]:
    """What ``look`` finds; a part that breaks while it is looked at is a finding, not the end of the examination."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
        sentence = f"cannot be examined ({type(error).__name__}: {_one_line(error)}); install its extra again"
        return [Part(kind, f"every {kind}", "not known", False, sentence)]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
