"""Which rasterizer draws: chosen here for guides, takes, coverage and live views alike."""

from dataclasses import dataclass
from importlib.util import find_spec

from ex4d.cuda import INSTALL, free_bytes, has_driver, has_triton, interpreted
from ex4d.raster.registry import GPU_RASTERIZERS, check_name
from ex4d_ground.descriptions import RasterizerInfo
from ex4d_ground.remedies import Remedy, install_ours, run_command

AUTO = "auto"
LEAST_CAPABILITY = (7, 0)
"""CUDA devices before this one (Volta) are not known to Triton."""


@dataclass(frozen=True)
class Choice:
    """A rasterizer, and why it is this one."""

    name: str
    """As :func:`ex4d.raster.get_rasterizer` takes it."""
    why: str
    """For people, as the end of a sentence: "on NVIDIA H200", "there is no NVIDIA driver"."""

    @property
    def on_gpu(self) -> bool:
        """Whether it builds and draws on a CUDA device."""
        return self.name in GPU_RASTERIZERS


def choose_rasterizer(wanted: str = AUTO, *, device_bytes: int = 0) -> Choice:
    """The rasterizer ``wanted``; "auto" is Triton on a CUDA device that can and has ``device_bytes`` free, else "cpu".

    nvdiffrast is taken by name only: its licence is not for everyone. torch is loaded only where there is a driver.
    Raises SettingError for an unknown name. Whether a named one can run is told by the one who makes it.
    """
    if wanted != AUTO:
        check_name(wanted)
        return Choice(wanted, "chosen by name")
    missing = _missing(device_bytes)
    if missing is not None:
        return Choice("cpu", missing)
    import torch

    return Choice("triton", f"on {torch.cuda.get_device_name()}")


def _missing(device_bytes: int) -> str | None:
    """What keeps Triton from drawing here."""
    if not has_driver():
        return "there is no NVIDIA driver, or it shows this process no device"
    for package, found in (("PyTorch", find_spec("torch") is not None), ("Triton", has_triton())):
        if not found:
            return f"{package} is not installed"
    if interpreted():
        return "Triton was told to interpret its kernels, which is slow"
    import torch

    if not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    if torch.cuda.get_device_capability() < LEAST_CAPABILITY:
        return f"{torch.cuda.get_device_name()} is too old for Triton"
    free = free_bytes(torch.device("cuda"))
    if free < device_bytes:
        return f"drawing there takes {device_bytes / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
    return None


def describe_rasterizers() -> list[RasterizerInfo]:
    """Every rasterizer that people may choose, with what keeps it from drawing here; "auto" takes one of them."""
    automatic = choose_rasterizer()
    keeps = _missing(0)
    return [
        RasterizerInfo(
            name=name,
            licence=licence,
            available=not why,
            why=why or (automatic.why if name == automatic.name else ""),
            automatic=name == automatic.name,
        )
        for name, licence, why in (
            ("cpu", "Apache-2.0", ""),
            ("triton", "Apache-2.0", keeps or ""),
            ("nvdiffrast", "NVIDIA source licence, non-commercial use only", _nvdiffrast_missing(keeps)),
        )
    ]


def _nvdiffrast_missing(device: str | None) -> str:
    """What keeps nvdiffrast from drawing here; it needs no Triton, but a device all the same."""
    if has_driver() and find_spec("torch") is not None and find_spec("nvdiffrast") is None:
        return "nvdiffrast is not installed"
    return device or ""


def install_remedy(name: str) -> Remedy | None:
    """What installs the program of rasterizer ``name``, if that is what it lacks here."""
    if name == "cpu" or not has_driver():
        return None
    if find_spec("torch") is None:
        return install_ours("gpu")
    is_there = has_triton() if name == "triton" else find_spec(name) is not None
    return None if is_there else run_command(INSTALL[name])
