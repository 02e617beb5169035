"""The run's log: one JSON line per step or measurement in ``log.jsonl``, and TensorBoard where asked for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ex4d_ground.errors import MissingExtraError
from ex4d_ground.files import atomic_path
from ex4d_ground.parsing import parse_json

LOG = "log.jsonl"


class Record:
    """Appends to the log; a run that goes on from ``step`` first drops what was written after it."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False):
        self._path = folder / LOG
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_log(self._path) if line["step"] <= step]
        with atomic_path(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise MissingExtraError("TensorBoard's log", "train") from error
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def add(self, step: int, values: dict[str, Any]) -> None:
        """One line; what is not a number any more is null."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.write(json.dumps({"step": step, **plain}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in plain.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The log's whole lines; a last one that was cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(parse_json(line))
        except ValueError:
            continue
    return lines
