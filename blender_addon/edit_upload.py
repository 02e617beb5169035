"""A shot's edited frames on their way to the backend, in numbers and files alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol.client import Client, Upload
from ex4d_protocol.requests import BuildMesh, Generate, MeshEdit, RenderGuides

from . import files

EDITS_FOLDER = "edits"

MeshRequest = BuildMesh | RenderGuides | Generate
"""What works on a mesh, which may be edited."""


@dataclass(frozen=True)
class FrameEdit:
    """One source frame (0-based) that differs from the import. A part that does not is None."""

    frame: int
    positions: Path | None
    flags: Path | None


def store(folder: Path, values: NDArray[np.generic], suffix: str, *, sub: str = EDITS_FOLDER) -> Path:
    """Write ``values`` to a file named by their content, unless it is there already. Raises StorageError."""
    data = np.ascontiguousarray(values).data.cast("B")
    name = hashlib.blake2b(data, digest_size=16).hexdigest()
    path = folder / sub / (name + suffix)
    if not path.exists() or path.stat().st_size != data.nbytes:
        files.write_whole(path, data)
    return path


def remove_unused(folder: Path, edits: tuple[FrameEdit, ...]) -> None:
    """Delete the files of earlier edits (only while no job may still be reading them)."""
    kept = {path for edit in edits for path in (edit.positions, edit.flags) if path is not None}
    remove_files_but(folder / EDITS_FOLDER, kept)


def remove_files_but(folder: Path, kept: set[Path]) -> None:
    """Delete the other files of ``folder``, which need not exist."""
    for path in folder.glob("*.*"):
        if path not in kept:
            path.unlink(missing_ok=True)


class EditUploads:
    """Edits on their way to the backend."""

    def __init__(self, client: Client, edits: tuple[FrameEdit, ...]):
        self._edits = edits
        paths = {path for edit in edits for path in (edit.positions, edit.flags) if path is not None}
        self._uploads = {path: client.upload(path) for path in sorted(paths)}

    @property
    def all(self) -> tuple[Upload, ...]:
        """Every upload, to submit a job after."""
        return tuple(self._uploads.values())

    def apply(self, request: MeshRequest) -> MeshRequest:
        """``request`` on the edited mesh; only once every upload is hashed."""
        edits = tuple(
            MeshEdit(
                frame=edit.frame,
                positions=self._uploads[edit.positions].ref if edit.positions else None,
                face_flags=self._uploads[edit.flags].ref if edit.flags else None,
            )
            for edit in self._edits
        )
        return msgspec.structs.replace(request, mesh=msgspec.structs.replace(request.mesh, edits=edits))
