"""Devices, engines and presets as the wire describes them."""

import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from ex4d.device_names import Devices
from ex4d_backend import child_messages
from ex4d_backend.client_errors import for_client, without_paths
from ex4d_ground.descriptions import EngineInfo, EstimatorInfo
from ex4d_ground.errors import Ex4dError, SettingError
from ex4d_protocol import messages as m
from ex4d_protocol.camera_specs import packed

log = logging.getLogger("ex4d_backend.devices")

Described = TypeVar("Described", EngineInfo, EstimatorInfo)


def wanted_devices(configured: Sequence[str]) -> list[str]:
    """The devices to start workers for; "auto" is every NVIDIA GPU, or the CPU. Raises SettingError.

    Several that make one shot together are one device here.
    """
    devices: list[str] = []
    for name in configured:
        name = name.strip()
        if name == "auto":
            devices += [f"cuda:{i}" for i in range(_count_gpus())] or ["cpu"]
        else:
            devices.append(Devices.named(name).name)
    kinds = [(each.kind, index) for name in devices for each in [Devices.named(name)] for index in each.indices]
    if not devices or len(set(kinds)) != len(kinds):
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


def ready_message(token: str, device: str) -> child_messages.Ready:
    """In a worker: what it is and what it can run."""
    devices = Devices.named(device)
    name, memory = _cuda_details() if devices.kind == "cuda" else (_cpu_name(), 0)
    spec = m.DeviceSpec(name=name[:128], kind=devices.kind, memory_bytes=memory, gpus=len(devices))
    return child_messages.Ready(token=token, device=spec, abilities=abilities())


def abilities() -> child_messages.Abilities:
    """In a worker: engines, estimators and rasterizers as they stand now, with what is missing; loads no model."""
    from ex4d.raster import describe_rasterizers
    from ex4d.weights.catalogue import describe_packages

    engines, estimators = tuple(map(_for_wire, _engines())), tuple(map(_for_wire, _estimators()))
    licences = {f"engine {e.name}": e.licence for e in engines}
    licences |= {f"depth {e.name}": e.licence_text for e in estimators}
    return child_messages.Abilities(
        engines=engines,
        estimators=estimators,
        rasterizers=tuple(describe_rasterizers()),
        packages=tuple(describe_packages()),
        licences=licences,
    )


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
    from ex4d.engines import engine_names, get_engine, list_engines

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
            remedy = error.remedy if isinstance(error, Ex4dError) else None
            found.append(EngineInfo(name, name, available=False, missing=missing, remedy=remedy))
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


def _for_wire(info: Described) -> Described:
    """A description as clients get it: folders are this machine's business and are left out, texts have an end."""
    settings = tuple(setting for setting in info.settings if not is_folder(setting.name))
    return msgspec.structs.replace(info, settings=settings, missing=info.missing[:4096])


def is_folder(setting: str) -> bool:
    """Whether a setting names a folder: such settings never come from the wire, whatever the estimator."""
    return setting.endswith(("_dir", "_path", "_folder"))


def told(spec: Described, *, same_machine: bool) -> Described:
    """``spec`` with what is missing in a client's words (see :func:`~ex4d_backend.client_errors.for_client`)."""
    remedy = for_client(spec.remedy, same_machine=same_machine)
    return msgspec.structs.replace(spec, missing=without_paths(spec.missing), remedy=remedy)


def answer_preset(query: m.PresetQuery) -> m.PresetReply:
    """The cameras of a preset. Raises SettingError or TrajectoryError."""
    from ex4d.trajectory import EASINGS, preset
    from ex4d_ground.cameras import Intrinsics

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
        target=query.target,
    )
    return m.PresetReply(preset=query.preset, **packed(found))


def answer_cost(query: m.CostQuery, devices: Sequence[m.DeviceSpec]) -> m.CostReply:
    """What a take costs on the first of ``devices`` that is a GPU, else without one.

    Answered at once: the driver is not asked, so the whole memory of the device counts as free. Raises SettingError for
    an unknown engine or a bad setting.
    """
    from ex4d.engines import Gpu, cost

    gpus = [Gpu(d.name, d.memory_bytes, d.memory_bytes, d.gpus) for d in devices if d.kind == "cuda" and d.memory_bytes]
    size = {"frames": query.num_frames, "width": query.width, "height": query.height}
    return m.CostReply(cost=cost(query.engine, **size, settings=query.settings, gpu=next(iter(gpus), None), look=False))


def make_ready() -> None:
    """Import what answers to questions need, on a thread beside the loop.

    Else the first client that asks pays for it: a fifth of a second of the loop's time, for which it then has to wait
    ten seconds and more while others are there (see :class:`~ex4d_backend.limits.TimeAccount`).
    """
    from ex4d.engines import engine_names

    lens = (500.0, 500.0, 256.0, 256.0)
    answer_preset(m.PresetQuery(preset="30", num_frames=2, width=512, height=512, intrinsics=lens, near_depth=1.0))
    for engine in engine_names():
        try:
            answer_cost(m.CostQuery(engine=engine, num_frames=2, width=512, height=512), [])
        except Ex4dError as error:  # an engine that is not whole says so to who asks for it
            log.debug("the cost of %s is not known yet: %s", engine, error)
