"""Finding model folders and devices, and putting torch's failures into words. Imports torch only when called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from ex4d.settings import About
from ex4d.weights.catalogue import fetch_remedy
from ex4d.weights.layout import weights_root
from ex4d_ground.errors import DeviceMemoryError, Ex4dError, MissingExtraError, SettingError, WeightsError
from ex4d_ground.files import from_home

if TYPE_CHECKING:
    import torch

Device = Annotated[Literal["auto", "cuda", "mps", "cpu"], About("Where to compute")]
Dtype = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"],
    About("Number format; auto: float16 on a GPU, float32 on the CPU"),
]
ModelDir = Annotated[str, About("Folder of the model; empty: the weights folder")]
"""Settings that several estimators have."""


def model_folder(given: str, repository: str) -> Path:
    """The folder of a model: ``given``, or ``repository``'s last part below :func:`weights_root`."""
    return from_home(given) if given else weights_root() / repository.rsplit("/", 1)[-1]


def require_model(folder: Path, repository: str, *, files: tuple[str, ...]) -> None:
    """Raise WeightsError with the one command if any of ``files`` is not in ``folder``."""
    for name in files:
        if not (folder / name).is_file():
            text = f"The model {repository} is not complete: {folder / name} is missing."
            raise WeightsError(text, remedy=fetch_remedy((repository, folder)))


def require_parts(what: str, modules: tuple[str, ...], needed: tuple[tuple[Path, str, str], ...]) -> None:
    """Raise what keeps an estimator from running: MissingExtraError or WeightsError, with the command that mends it.

    ``needed`` holds (folder, file in it, repository) of each model.
    """
    require_extra(what, *modules)
    absent = [(folder, repository) for folder, name, repository in needed if not (folder / name).is_file()]
    if absent:
        folders = " and ".join(str(folder) for folder, _ in absent)
        text = f"Its weights are not in {folders} (another folder: the setting model_dir)."
        raise WeightsError(text, remedy=fetch_remedy(*((repository, folder) for folder, repository in absent)))


def missing_modules(*modules: str) -> bool:
    """True if any of the top-level modules is not installed."""
    return any(find_spec(name) is None for name in modules)


def require_extra(what: str, *modules: str) -> None:
    """Raise MissingExtraError for the 'depth' extra if one of ``modules`` is not installed."""
    if missing_modules(*modules):
        raise MissingExtraError(what, "depth")


def pick_device(name: str) -> torch.device:
    """The device called ``name``; "auto" prefers CUDA, then Apple's GPU. Raises SettingError if it is not there."""
    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    here = [device for device, is_usable in usable.items() if is_usable]
    if name == "auto":
        name = here[0]
    if name not in here:
        raise SettingError(f"There is no {name} device here; use one of: {', '.join(here)}.")
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype called ``name``; "auto" is float16 on a GPU and float32 on the CPU."""
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]


@contextmanager
def loading(what: str, folder: Path, repository: str) -> Iterator[None]:
    """Turn a loader's failure into a WeightsError that names the model, the folder and the command."""
    try:
        with _quiet_transformers():
            yield
    except Ex4dError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise  # nothing is wrong with the files: memory_guard says what is
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        again = fetch_remedy((repository, folder))
        raise WeightsError(f"{what} cannot be loaded from {folder} ({first}).", remedy=again) from error
    except Exception as error:  # safetensors raises its own class, derived from Exception alone
        if type(error).__name__ != "SafetensorError":
            raise
        again = fetch_remedy((repository, folder))
        raise WeightsError(f"{what} in {folder} is damaged ({error}).", remedy=again) from error


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing its own progress bar on the terminal."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def larger_memory(device: torch.device) -> str:
    """What is left to do when a model does not fit ``device``."""
    return "close other programs, or use a machine with more memory" if device.type == "cpu" else "use device cpu"


class ModelTooLargeError(DeviceMemoryError):
    """The model itself does not fit, so that smaller windows would not help."""


@contextmanager
def memory_guard(what: str, remedy: str, *, kind: type[DeviceMemoryError] = DeviceMemoryError) -> Iterator[None]:
    """Turn running out of memory on any device into a ``kind`` with ``remedy``."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise kind(f"{what} ran out of GPU memory; {remedy}.") from error
    except MemoryError as error:
        raise kind(f"{what} ran out of main memory; {remedy}.") from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # what torch says of the CPU's memory
            raise kind(f"{what} ran out of main memory; {remedy}.") from error
        if "out of memory" not in str(error):
            raise
        raise kind(f"{what} ran out of memory; {remedy}.") from error
