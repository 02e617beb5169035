"""Devices, engines and presets as the wire describes them."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from ex4d.errors import Ex4dError, SettingError
from ex4d.generate.base import EngineInfo, Setting
from ex4d_backend import internal
from ex4d_backend.wording import for_client
from ex4d_protocol import messages as m

if TYPE_CHECKING:
    from ex4d.depth import EstimatorInfo

log = logging.getLogger("ex4d_backend.devices")

Described = TypeVar("Described", m.EngineSpec, m.EstimatorSpec)


def wanted_devices(configured: Sequence[str]) -> list[str]:
    """The devices to start workers for; "auto" is every NVIDIA GPU, or the CPU. Raises SettingError."""
    devices: list[str] = []
    for name in configured:
        name = name.strip()
        if name == "auto":
            devices += [f"cuda:{i}" for i in range(_count_gpus())] or ["cpu"]
        elif name == "cpu" or (name.startswith("cuda:") and name[5:].isdigit()):
            devices.append(name)
        else:
            raise SettingError(f"A device is auto, cpu or cuda:N, got {name!r}.")
    if not devices or len(set(devices)) != len(devices):
        raise SettingError(f"Name each device once, and at least one; got {', '.join(configured) or 'none'}.")
    return devices


def _count_gpus() -> int:
    # Asked of the driver's tool: importing torch here would put CUDA into the server's I/O process.
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listing = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def ready_message(token: str, device: str) -> internal.Ready:
    """In a worker: what it is and what it can run."""
    kind, _, _ = device.partition(":")
    name, memory = _cuda_details() if kind == "cuda" else (_cpu_name(), 0)
    return internal.Ready(
        token=token,
        device=device,
        device_name=name[:128],
        device_kind=kind,
        memory_bytes=memory,
        abilities=abilities(),
    )


def abilities() -> internal.Abilities:
    """In a worker: engines and estimators as they stand now, with what is missing; loads no model."""
    engines, estimators = tuple(map(engine_spec, _engines())), tuple(map(estimator_spec, _estimators()))
    licences = {f"engine {e.name}": e.licence for e in engines} | {f"depth {e.name}": e.licence for e in estimators}
    return internal.Abilities(engines=engines, estimators=estimators, licences=licences)


def _estimators() -> list[EstimatorInfo]:
    """Every depth estimator, the default first; none if the operator's configuration of them cannot be read."""
    from ex4d.depth import DEFAULT_ESTIMATOR, list_estimators

    try:
        return sorted(list_estimators(), key=lambda info: info.name != DEFAULT_ESTIMATOR)
    except Ex4dError:
        log.exception("the depth estimators cannot be listed")
        return []


def _engines() -> list[EngineInfo]:
    """Every engine; one whose own code fails is listed as unavailable, so that it does not stop the others."""
    from ex4d.generate import engine_names, get_engine, list_engines

    try:
        return list_engines()
    except Exception:  # whatever an engine's module raises while it is imported
        log.exception("an engine cannot be described")
    found: list[EngineInfo] = []
    for name in engine_names():
        try:
            found.append(get_engine(name).info())
        except Exception as error:  # noqa: BLE001 - as above; the reason is shown to the client
            missing = str(error) if isinstance(error, Ex4dError) else f"It cannot be loaded ({error})."
            found.append(EngineInfo(name, name, (), licence="", available=False, missing=missing))
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine() or "CPU"


def _cuda_details() -> tuple[str, int]:
    try:
        import torch

        properties = torch.cuda.get_device_properties(0)
    except (ImportError, RuntimeError, AssertionError):
        return f"NVIDIA GPU {os.environ.get('CUDA_VISIBLE_DEVICES', '')} (torch cannot use it)", 0
    return properties.name, int(properties.total_memory)


def engine_spec(info: EngineInfo) -> m.EngineSpec:
    """An engine's description for the wire."""
    return m.EngineSpec(
        name=info.name,
        title=info.title,
        settings=_setting_specs(info.settings),
        licence=info.licence,
        is_preview=info.is_preview,
        available=info.available,
        missing=info.missing[:4096],
    )


def estimator_spec(info: EstimatorInfo) -> m.EstimatorSpec:
    """An estimator's description for the wire; its folders are this machine's business and are left out."""
    return m.EstimatorSpec(
        name=info.name,
        title=info.title,
        meaning=info.meaning,
        licence=info.licence_text,
        research_only=info.research_only,
        gives_intrinsics=info.gives_intrinsics,
        temporally_steady=info.temporally_steady,
        settings=_setting_specs(s for s in info.settings if not is_folder(s.name)),
        available=info.available,
        missing=info.missing[:4096],
    )


def is_folder(setting: str) -> bool:
    """Whether a setting names a folder: such settings never come from the wire, whatever the estimator."""
    return setting.endswith(("_dir", "_path", "_folder"))


def _setting_specs(settings: Iterable[Setting]) -> tuple[m.SettingSpec, ...]:
    return tuple(
        m.SettingSpec(
            name=s.name,
            kind=s.kind,
            default=s.default,
            help=s.help,
            minimum=s.minimum,
            maximum=s.maximum,
            choices=tuple(s.choices),
        )
        for s in settings
    )


def told(spec: Described, *, same_machine: bool) -> Described:
    """``spec`` with what is missing in a client's words (see :func:`~ex4d_backend.wording.for_client`)."""
    return msgspec.structs.replace(spec, missing=for_client(spec.missing, same_machine=same_machine))


def preset_specs() -> tuple[m.PresetSpec, ...]:
    """Every camera preset."""
    from ex4d.trajectory import PRESETS

    return tuple(
        m.PresetSpec(
            name=p.name,
            title=p.title,
            help=p.help,
            unit=p.unit,
            amount=p.amount,
            minimum=p.minimum,
            maximum=p.maximum,
            easing=p.easing,
            published=p.published,
        )
        for p in PRESETS.values()
    )


def answer_preset(query: m.PresetQuery) -> m.PresetReply:
    """The cameras of a preset. Raises SettingError or TrajectoryError."""
    from ex4d.trajectory import EASINGS, preset
    from ex4d.types import Intrinsics

    if query.easing and query.easing not in EASINGS:
        raise SettingError(f"There is no easing {query.easing!r}; choose one of {', '.join(EASINGS)}.")
    found = preset(
        query.preset,
        num_frames=query.num_frames,
        intrinsics=Intrinsics(*query.intrinsics, query.width, query.height),
        near_depth=query.near_depth,
        amount=query.amount,
        easing=query.easing or None,  # pyright: ignore[reportArgumentType] - checked above
        overshoot=query.overshoot,
    )
    arrays = (found.world_from_camera, found.intrinsics, found.source_time)
    poses, intrinsics, source_time = (np.ascontiguousarray(a, "<f8").tobytes() for a in arrays)
    return m.PresetReply(
        preset=query.preset,
        num_frames=len(found),
        width=found.width,
        height=found.height,
        world_from_camera=poses,
        intrinsics=intrinsics,
        source_time=source_time,
    )
