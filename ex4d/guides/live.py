"""Live views: one guide as soon as possible, again and again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ex4d.bands import Bands
from ex4d.dwmesh import DWMesh
from ex4d.frames.ahead import thread_count
from ex4d.guides.known import beside, known_mesh
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import device_bytes
from ex4d.raster import Camera, choose_rasterizer, get_rasterizer
from ex4d.raster.cpu import CpuRasterizer, Drawn
from ex4d.surface import Surface
from ex4d.types import KnownFrame
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.options import RasterOptions


class FrameRenderer(AbstractContextManager["FrameRenderer"]):
    """One guide as soon as possible, again and again, on the GPU or by all threads in bands of rows.

    For live display while a camera is being moved: the mesh of the frame drawn last is kept, so only the camera's
    part is done again. Pictures equal those of :func:`ex4d.guides.render_guides`. Use it from one thread; close it
    when done. ``choice`` says which rasterizer draws, and why.
    """

    def __init__(
        self,
        mesh: DWMesh,
        options: RasterOptions = RasterOptions(),
        *,
        rasterizer: str = "",
        threads: int | None = None,
        bands: Bands | None = None,
    ) -> None:
        """``bands`` are threads to borrow, of whoever has several renderers; without them it has its own.

        Raises as :func:`ex4d.guides.render_guides` does for a ``rasterizer``.
        """
        self.choice = choose_rasterizer(rasterizer or options.rasterizer, device_bytes=device_bytes(mesh))
        if self.choice.on_gpu:
            from ex4d.guides.gpu import GpuFrames

            self._frames = GpuFrames(mesh, self.choice.name, options)
        else:
            self._frames = _CpuFrames(mesh, self.choice.name, options, threads, bands)

    def render(
        self, t: int, camera: Camera, objects: Sequence[GuideObject] = (), *, index: int = 0
    ) -> tuple[UInt8, Bool]:  # [H, W, 3], [H, W]
        """Colour and mask of source frame ``t`` as ``camera`` sees it, with ``objects`` as in output frame ``index``.

        The camera is in the axes of the frame's mesh: one of :meth:`ex4d.types.Clip.seen_by_source`. Objects are in the
        world. Raises SettingError for a frame not there.
        """
        return self._frames.draw(t, camera, objects, index)

    def close(self) -> None:
        """End the threads, unless they were borrowed, or give the device's memory back."""
        self._frames.close()

    def __exit__(self, *_: object) -> None:
        self.close()


class LayerRenderer(AbstractContextManager["LayerRenderer"]):
    """What the clip shows beside a guide (:mod:`ex4d.guides.known`) as soon as possible, again and again.

    Pictures equal those of :func:`ex4d.guides.render_known`, which are always drawn on the CPU. Making one may take
    seconds: where the clip's camera moves, its frames are put in place. Use it from one thread; close it when done.
    """

    def __init__(
        self,
        mesh: DWMesh,
        options: RasterOptions = RasterOptions(),
        *,
        threads: int | None = None,
        bands: Bands | None = None,
    ) -> None:
        """``mesh`` is that of the guides; ``bands`` as of :class:`FrameRenderer`."""
        self._frames = _CpuFrames(known_mesh(mesh), CpuRasterizer.name, options, threads, bands)

    @property
    def size_bytes(self) -> int:
        """Memory of the surface that is kept."""
        return self._frames.size_bytes

    def prepare(self, t: int) -> None:
        """Build the surface of source frame ``t``, and all that the first one to be built needs."""
        self._frames.surface(t)

    def render(
        self, t: int, camera: Camera, mask: Bool, objects: Sequence[GuideObject] = (), *, index: int = 0
    ) -> KnownFrame:
        """What a guide with this ``mask`` [H, W] does not show; other arguments as of :meth:`FrameRenderer.render`."""
        colour, shown = self._frames.draw(t, camera, objects, index)
        return beside(Drawn(colour, shown, self._frames.inverse_depth), mask)

    def close(self) -> None:
        """End the threads, unless they were borrowed."""
        self._frames.close()

    def __exit__(self, *_: object) -> None:
        self.close()


class _CpuFrames:
    """All threads work on the same frame."""

    def __init__(
        self, mesh: DWMesh, rasterizer: str, options: RasterOptions, threads: int | None, bands: Bands | None
    ) -> None:
        self._mesh, self._options, self._is_own = mesh, options, bands is None
        self._bands = bands if bands is not None else Bands(thread_count(threads))
        self._rasterizer = CpuRasterizer(self._bands) if rasterizer == "cpu" else get_rasterizer(rasterizer)
        self._held: tuple[int, Surface] | None = None

    def draw(self, t: int, camera: Camera, objects: Sequence[GuideObject], index: int) -> tuple[UInt8, Bool]:
        place = self._mesh.clip.mesh_from_world(t)
        surface = with_objects(self.surface(t), objects, index, camera, place)
        return self._rasterizer.draw(surface, camera, self._options)

    def surface(self, t: int) -> Surface:
        """That of source frame ``t``; the last one is kept."""
        if self._held is None or self._held[0] != t:
            self._held = t, self._mesh.surface(t, self._bands)
        return self._held[1]

    @property
    def size_bytes(self) -> int:
        """Memory of that surface."""
        if self._held is None:
            return 0
        surface = self._held[1]
        return surface.vertices.nbytes + surface.colors.nbytes + surface.faces.nbytes

    @property
    def inverse_depth(self) -> Float32:  # [H, W]
        """1 / z of what was drawn last, by the project's own rasterizer."""
        assert isinstance(self._rasterizer, CpuRasterizer)
        return self._rasterizer.inverse_depth

    def close(self) -> None:
        if self._is_own:
            self._bands.close()
