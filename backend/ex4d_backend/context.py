"""What a running job is given by its worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ex4d.progress import CancelToken, OnProgress
from ex4d_backend.recording import Recorder


@dataclass(frozen=True)
class JobContext:
    """What a running job is given."""

    recorder: Recorder
    scratch: Path
    blobs: Path
    clip_pixels: int
    """Largest clip: width x height x frames."""
    on_progress: OnProgress
    cancel: CancelToken
    log: Callable[[str], None]
