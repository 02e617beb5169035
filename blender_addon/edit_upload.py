"""A shot's edited frames on their way to the backend, in numbers and files alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_protocol.client import Client, Upload
from ex4d_protocol.requests import BlobRef, BuildMesh, Generate, MeshEdit, RenderGuides

from . import files
from .errors import AddonError

EDITS_FOLDER = "edits"
THICKNESS_FOLDER = "thickness"
NEEDED_MINOR = 1
"""A backend of protocol 1.0 would leave painted thickness out without a word."""

MeshRequest = BuildMesh | RenderGuides | Generate
"""What works on a mesh, which may be edited."""


@dataclass(frozen=True)
class FrameEdit:
    """One source frame (0-based) that differs from the import. A part that does not is None."""

    frame: int | None
    """None: every frame that has no thickness of its own."""
    positions: Path | None
    flags: Path | None
    thickness: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of it."""
        return tuple(path for path in (self.positions, self.flags, self.thickness) if path is not None)


def store(folder: Path, values: NDArray[np.generic], suffix: str, *, sub: str = EDITS_FOLDER) -> Path:
    """Write ``values`` to a file named by their content, unless it is there already. Raises StorageError."""
    data = np.ascontiguousarray(values).data.cast("B")
    # The digest that take.json names: takes find thickness by it after the edit is gone.
    path = folder / sub / (hashlib.sha256(data).hexdigest() + suffix)
    if not path.exists() or path.stat().st_size != data.nbytes:
        files.write_whole(path, data)
    return path


def remove_unused(folder: Path, edits: tuple[FrameEdit, ...]) -> None:
    """Delete the files of earlier edits (only while no job may still be reading them)."""
    kept = {path for edit in edits for path in edit.files}
    remove_files_but(folder / EDITS_FOLDER, kept)
    painted = set((folder / THICKNESS_FOLDER).glob("*.*"))
    if painted - kept:
        takes = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*/take.json")]
        kept |= {path for path in painted if any(path.stem in text for text in takes)}
        remove_files_but(folder / THICKNESS_FOLDER, kept)


def remove_files_but(folder: Path, kept: set[Path]) -> None:
    """Delete the other files of ``folder``, which need not exist."""
    for path in folder.glob("*.*"):
        if path not in kept:
            path.unlink(missing_ok=True)


class EditUploads:
    """Edits on their way to the backend. Raises AddonError if that is too old for them."""

    def __init__(self, client: Client, edits: tuple[FrameEdit, ...]):
        painted = any(edit.thickness is not None for edit in edits)
        if painted and client.welcome is not None and client.welcome.minor < NEEDED_MINOR:
            raise AddonError("The backend is too old for painted thickness; upgrade it, or clear the paint.")
        self._edits = edits
        self._uploads = {path: client.upload(path) for path in sorted({p for edit in edits for p in edit.files})}

    @property
    def all(self) -> tuple[Upload, ...]:
        """Every upload, to submit a job after."""
        return tuple(self._uploads.values())

    def apply(self, request: MeshRequest) -> MeshRequest:
        """``request`` on the edited mesh; only once every upload is hashed. Only solid occluders have a thickness."""
        spec, solid = request.mesh, request.mesh.options.mode == "solid"

        def ref(path: Path | None, *, counts: bool = True) -> BlobRef | None:
            return self._uploads[path].ref if path is not None and counts else None

        edits: list[MeshEdit] = []
        for edit in self._edits:
            thickness = ref(edit.thickness, counts=solid)
            if edit.frame is None:
                spec = msgspec.structs.replace(spec, thickness=thickness)
                continue
            made = MeshEdit(
                frame=edit.frame, positions=ref(edit.positions), face_flags=ref(edit.flags), thickness=thickness
            )
            if (made.positions, made.face_flags, made.thickness) != (None, None, None):
                edits.append(made)
        return msgspec.structs.replace(request, mesh=msgspec.structs.replace(spec, edits=tuple(edits)))
