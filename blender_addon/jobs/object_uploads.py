"""Other objects of the scene on their way to the backend, in numbers and files alone."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from ex4d_protocol import minors
from ex4d_protocol.client import Client
from ex4d_protocol.requests import Generate, ObjectSpec, RenderGuides

from ..work.errors import AddonError
from .edit_uploads import MeshRequest, Uploads

OBJECTS_FOLDER = "objects"


@dataclass(frozen=True)
class SceneObject:
    """One object's triangles, in files named by their content. Without colours it is a holdout."""

    name: str
    vertices: Path
    faces: Path
    colors: Path | None
    moves: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of it."""
        return tuple(path for path in (self.vertices, self.faces, self.colors) if path is not None)


class ObjectUploads(Uploads):
    """Objects on their way to the backend. Raises AddonError if that is too old for them."""

    def __init__(self, client: Client, objects: tuple[SceneObject, ...]):
        if objects and minors.lacks(client.welcome, "RenderGuides.objects"):
            raise AddonError(
                f"The backend is too old for guide objects such as '{objects[0].name}'; upgrade it, or give the "
                "objects no role."
            )
        super().__init__(client, (path for each in objects for path in each.files))
        self._objects = objects

    def apply(self, request: MeshRequest) -> MeshRequest:
        """``request`` with the objects; only once every upload is hashed."""
        if not isinstance(request, RenderGuides | Generate):
            return request
        return msgspec.structs.replace(request, objects=self.specs)

    @property
    def specs(self) -> tuple[ObjectSpec, ...]:
        """The objects as requests name them; only once every upload is hashed."""
        return tuple(
            ObjectSpec(
                vertices=self.ref(each.vertices),
                faces=self.ref(each.faces),
                colors=self.ref(each.colors) if each.colors else None,
                moves=each.moves,
                name=each.name[:128],
            )
            for each in self._objects
        )
