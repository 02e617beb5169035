"""What any farm is told of a folder of shots: commands, and what they need of a machine. The farm gives them out.

One shot is one task: ``ex4d run SHOTS/010``. With ``windows`` a long shot is a chain of tasks, each of which waits for
the one before: the first window, the second, and at last the rest with the take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ex4d_ground.errors import InputError, SettingError
from ex4d_ground.shot_files import ShotFile, read_shot, shot_names

MOST_WINDOWS = 64
MOST_NEEDED = 100_000
"""GPUs or GiB: more than any machine has."""


@dataclass(frozen=True)
class FarmJob:
    """A folder of shots as a job of a farm. Raises SettingError for numbers that no farm can take."""

    folder: Path
    shots: tuple[str, ...]
    """Names of folders below it."""
    windows: int = 1
    """Tasks that a shot is cut into, one behind the other; 1 makes each shot whole."""
    command: str = "ex4d"
    """The program, as machines of the farm find it."""
    options: tuple[str, ...] = ()
    """Further options of ``ex4d run``, which go before those of the shots."""
    gpus: int = 0
    gpu_memory_gib: float = 0.0
    """On the GPUs of a machine; 0 says nothing of it."""
    memory_gib: float = 0.0
    """Main memory; 0 says nothing of it."""

    def __post_init__(self) -> None:
        if not 1 <= self.windows <= MOST_WINDOWS:
            raise SettingError(f"The windows of a shot must be between 1 and {MOST_WINDOWS}, got {self.windows}.")
        for name, value in (("GPUs", self.gpus), ("GPU memory", self.gpu_memory_gib), ("memory", self.memory_gib)):
            if not 0 <= value <= MOST_NEEDED:
                raise SettingError(f"The {name} that a task needs must be from 0 to {MOST_NEEDED:,}, got {value:g}.")
        if not self.command.strip():
            raise SettingError("The command that runs a shot is empty; it is usually ex4d.")

    @classmethod
    def of(cls, folder: Path | str, **more: Any) -> FarmJob:
        """All shots of a folder. Raises InputError, SettingError."""
        folder = Path(folder).absolute()
        return cls(folder, tuple(shot_names(folder)), **more)

    @property
    def name(self) -> str:
        """For people."""
        return f"EX-4D {self.folder.name}"

    @property
    def stages(self) -> list[tuple[str, ...]]:
        """What is added to a shot's command, task by task of its chain; the last makes the take."""
        return [*(("--windows", str(k)) for k in range(1, self.windows)), ()]

    def read(self) -> Iterator[ShotFile]:
        """The shots' files. Raises InputError for one that is none."""
        return (read_shot(self.folder / name) for name in self.shots)

    def outside(self) -> list[Path]:
        """Files and folders that the shots name and that do not lie in the folder of shots. Raises InputError."""
        found = (Path(value) for shot in self.read() for value in shot.options.values() if isinstance(value, str))
        away = {path for path in found if path.is_absolute() and not path.is_relative_to(self.folder)}
        return sorted(path for path in away if path.exists())


def task_path(folder: str, shot: str) -> str:
    """A shot's folder as a task names it. Raises InputError for a name that leads elsewhere."""
    if shot in ("", ".", "..") or PurePath(shot).name != shot:
        raise InputError(f"{shot!r} is no name of a shot: shots are folders in the folder of shots.")
    return f"{folder}/{shot}"
