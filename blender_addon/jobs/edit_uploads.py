"""A shot's edited frames on their way to the backend, in numbers and files alone."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ex4d_ground.takes import PARTIAL_FILE, TAKE_FILE
from ex4d_protocol import minors
from ex4d_protocol.client import Client, Upload
from ex4d_protocol.requests import BlobRef, BuildMesh, Generate, MeshEdit, MeshSpec, RenderGuides, WebPage

from ..work import files
from ..work.errors import AddonError

EDITS_FOLDER = "edits"
THICKNESS_FOLDER = "thickness"

MeshRequest = BuildMesh | RenderGuides | Generate | WebPage
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
    stored = {path for sub in (EDITS_FOLDER, THICKNESS_FOLDER) for path in (folder / sub).glob("*.*")}
    if stored <= kept:
        return
    for path in folder.glob("*/*.json"):  # takes are made again with what they name
        if path.name in (TAKE_FILE, PARTIAL_FILE) and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            kept |= {each for each in stored - kept if each.stem in text}
    for sub in (EDITS_FOLDER, THICKNESS_FOLDER):
        remove_files_but(folder / sub, kept)


def remove_files_but(folder: Path, kept: set[Path]) -> None:
    """Delete the other files of ``folder``, which need not exist."""
    for path in folder.glob("*.*"):
        if path not in kept:
            path.unlink(missing_ok=True)


class Uploads:
    """Files on their way to the backend, each once."""

    def __init__(self, client: Client, paths: Iterable[Path]):
        self._uploads = {path: client.upload(path) for path in sorted(set(paths))}

    @property
    def all(self) -> tuple[Upload, ...]:
        """Every upload, to submit a job after."""
        return tuple(self._uploads.values())

    def ref(self, path: Path) -> BlobRef:
        """How a request names the file; only once it is hashed."""
        return self._uploads[path].ref


class EditUploads(Uploads):
    """Edits on their way to the backend. Raises AddonError if that is too old for them."""

    def __init__(self, client: Client, edits: tuple[FrameEdit, ...], *, grid_side: int):
        """``grid_side`` is that of the mesh they were made on; 0 is one vertex per pixel."""
        painted = any(edit.thickness is not None for edit in edits)
        if painted and minors.lacks(client.welcome, "MeshEdit.thickness"):
            raise AddonError("The backend is too old for painted thickness; upgrade it, or clear the paint.")
        if edits and grid_side and minors.lacks(client.welcome, "MeshSpec.grid_side"):
            raise AddonError(
                f"The backend is too old for edits of a mesh of {grid_side} vertices a side; upgrade it, or import the "
                "clip with the Mesh Side 0."
            )
        super().__init__(client, (path for edit in edits for path in edit.files))
        self._edits, self._grid_side = edits, grid_side

    def apply(self, request: MeshRequest) -> MeshRequest:
        """``request`` on the edited mesh; only once every upload is hashed."""
        return msgspec.structs.replace(request, mesh=self.edited(request.mesh))

    def edited(self, spec: MeshSpec) -> MeshSpec:
        """The mesh with the edits; only once every upload is hashed. Only solid occluders have a thickness."""
        solid = spec.options.mode == "solid"

        def part(path: Path | None, *, counts: bool = True) -> BlobRef | None:
            return self.ref(path) if path is not None and counts else None

        edits: list[MeshEdit] = []
        for edit in self._edits:
            thickness = part(edit.thickness, counts=solid)
            if edit.frame is None:
                spec = msgspec.structs.replace(spec, thickness=thickness)
                continue
            made = MeshEdit(
                frame=edit.frame, positions=part(edit.positions), face_flags=part(edit.flags), thickness=thickness
            )
            if (made.positions, made.face_flags, made.thickness) != (None, None, None):
                edits.append(made)
        if edits or spec.thickness is not None:
            spec = msgspec.structs.replace(spec, grid_side=self._grid_side)
        return msgspec.structs.replace(spec, edits=tuple(edits))
