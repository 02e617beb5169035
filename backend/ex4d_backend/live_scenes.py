"""What live views keep of a clip in memory: the renderers of its meshes, its places, and what fills holes."""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from ex4d.bands import Bands
from ex4d.dwmesh import DWMesh
from ex4d.frames import held_bytes
from ex4d.guides import FrameRenderer
from ex4d.types import Clip
from ex4d_backend import sources
from ex4d_backend.live_finding import FoundBeside
from ex4d_backend.live_places import KnownPlace, Places
from ex4d_backend.live_previews import HoleFiller
from ex4d_protocol.live import LiveView

MESHES = 4
"""Kept per clip: one per set of edits or options that was looked at."""


class Scene:
    """One clip in memory, and the renderers of its meshes."""

    def __init__(
        self,
        source: sources.LoadedSource,
        loader: sources.Sources,
        finder: ThreadPoolExecutor,
        *,
        blobs: Path,
        bands: Bands,
        rasterizer: str,
    ) -> None:
        """``finder`` is the thread that finds what takes long; ``rasterizer`` draws where a view leaves it open."""
        self._places = Places(finder)
        self._fillers: FoundBeside[HoleFiller] = FoundBeside(finder, MESHES)
        self.clip, self.source, self._loader = source.clip, source, loader
        """Without a source camera: each view has its own."""
        self._blobs, self._bands, self._rasterizer = blobs, bands, rasterizer
        self._renderers: OrderedDict[tuple[bytes, bool], tuple[FrameRenderer, int]] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Memory of the clip, of the edits of its meshes, of its places and of what fills holes."""
        return (
            held_bytes(self.clip.frames)
            + held_bytes(self.clip.depth)
            + sum(size for _, size in self._renderers.values())
            + self._places.size_bytes
            + sum(filler.size_bytes for filler in self._fillers.done())
        )

    def renderer(self, view: LiveView) -> FrameRenderer:
        """The renderer of a request's mesh; pictures and coverage have their own, so that each keeps its frame."""
        key = _mesh_key(view), view.picture
        if key not in self._renderers:
            while len(self._renderers) >= 2 * MESHES:
                self._renderers.popitem(last=False)[1][0].close()
            edits = sum(part.size for edit in view.mesh.edits for part in (edit.positions, edit.face_flags) if part)
            if any(edit.thickness is not None for edit in view.mesh.edits):
                edits += self.clip.depth.nbytes  # one map for all frames
            options = sources.drawn_by(view.raster, self._rasterizer)
            self._renderers[key] = FrameRenderer(self._mesh(view), options, bands=self._bands), edits
        self._renderers.move_to_end(key)
        return self._renderers[key][0]

    def place(self, view: LiveView, clip: Clip) -> KnownPlace:
        """How far the place of a view's ``clip`` is known. Raises SettingError for a change of a plane there is not."""
        return self._places.look(msgspec.msgpack.encode((view.clip.source_camera, view.planes)), clip, view.planes)

    def filler(self, view: LiveView, t: int, *, known_first: bool) -> HoleFiller | None:
        """What fills the holes of a request's mesh, of which frame ``t`` is shown first; None while it is being made.

        Raises what making it raised.
        """
        key = _mesh_key(view) + bytes([known_first])
        mesh, options = self._mesh(view), sources.drawn_by(view.raster, self._rasterizer)

        def make() -> HoleFiller:
            return HoleFiller(mesh, options, self._bands, known_first=known_first, t=t)

        future = self._fillers.look(key, make)
        return future.result() if future.done() else None

    def close(self) -> None:
        """Give back what the renderers hold, on a device above all."""
        self._places.close()
        self._fillers.close()
        while self._renderers:
            self._renderers.popitem()[1][0].close()

    def _mesh(self, view: LiveView) -> DWMesh:
        return self._loader.mesh(sources.filmed(self.source, view.clip), view.clip, view.mesh, self._blobs)


def _mesh_key(view: LiveView) -> bytes:
    return msgspec.msgpack.encode((view.clip.source_camera, view.mesh, view.raster))
