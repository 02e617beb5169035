"""A clip on its way, as the scene shows it: the shot stands there with its first frame before the others have come."""

from collections.abc import Callable, Iterator

import bpy

from ..jobs.importing import FirstFrame
from ..scene import mesh, shot, topology
from ..work import unsaved
from ..work.errors import AddonError


class FirstFrameArrival:
    """Puts the shot into the scene, a little at a time. Holds no Blender data: undo may take away what it has made."""

    count = 0
    """What has arrived of a clip is not worth keeping without the rest."""

    def __init__(
        self,
        blend_path: str,
        show: Callable[[bpy.types.Context, FirstFrame, bpy.types.Mesh], str],
        look: Callable[[bpy.types.Context, bpy.types.Object], object],
    ):
        """``show`` builds the shot of its mesh and returns its id; ``look`` then has the scene and the view fit it."""
        self.first: FirstFrame | None = None
        """Set by the import once the frame's files are on disk."""
        self.shot_id = ""
        """Of the shot that was built; "" before."""
        self.looked = False
        """Whether the scene fits it."""
        self._blend_path, self._show, self._look = blend_path, show, look
        self._joining: Iterator[topology.Topology | None] | None = None
        self._joined: topology.Topology | None = None
        self._mesh = ""
        """Name of the mesh until the shot has it."""
        self._ended = False

    def update(self, context: bpy.types.Context) -> bool:
        """Do a part of what is left to do; whether there was any.

        Does nothing while another file is open, another mode is on, or Blender renders: its data must not change then.
        """
        if self.first is None or self.looked or self._ended:
            return False
        if context.mode != "OBJECT" or bpy.app.is_job_running("RENDER") or not unsaved.is_open(self._blend_path):
            return False
        if self.shot_id:
            made = shot.by_id(self.shot_id)
            self.looked = True
            if made is not None:
                self._look(context, made)
            return True
        if self._joined is None:
            self._joining = self._joining or topology.steps(*self.first.size)
            self._joined = next(self._joining, None)
            return True
        data = bpy.data.meshes.get(self._mesh) if self._mesh else None
        if data is None or data.users:
            self._mesh = mesh.grid_mesh("EX-4D Arriving", self.first.vertices, self._joined).name
            return True
        with self.first.staying() as there:
            try:
                self.shot_id = self._show(context, self.first, data) if there else ""
            except AddonError:
                self._ended = True  # the end of the import says so
        if not there:  # the whole clip comes now
            self._ended = True
            self._remove_mesh()
        self._joining = self._joined = None
        return True

    def end(self, _context: bpy.types.Context) -> None:
        """The import has failed or was stopped: take the shot away again, but nothing that hangs on it."""
        made = shot.by_id(self.shot_id) if self.shot_id else None
        self._remove_mesh()
        self._ended = True
        if made is None or not made.ex4d.arriving or not unsaved.is_open(self._blend_path):
            return
        shot.take_away(made)

    def _remove_mesh(self) -> None:
        data = bpy.data.meshes.get(self._mesh) if self._mesh and not self.shot_id else None
        if data is not None and not data.users:
            bpy.data.meshes.remove(data)


def found(arrival: FirstFrameArrival | None) -> tuple[bpy.types.Object | None, str]:
    """The shot that stands there already (None if undo took it away), and the name of the folder its files lay in."""
    if arrival is None or arrival.first is None or not arrival.shot_id:
        return None, ""
    return shot.by_id(arrival.shot_id), arrival.first.folder.name
