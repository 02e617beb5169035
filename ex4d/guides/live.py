"""Live views: one guide as soon as possible, again and again."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from ex4d.bands import Bands
from ex4d.dwmesh import DWMesh
from ex4d.frames.ahead import thread_count
from ex4d.guides.objects import GuideObject, with_objects
from ex4d.guides.request import device_bytes
from ex4d.raster import Camera, choose_rasterizer, get_rasterizer
from ex4d.raster.cpu import CpuRasterizer
from ex4d.surface import Surface
from ex4d_ground.arrays import Bool, UInt8
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
        if self._held is None or self._held[0] != t:
            self._held = t, self._mesh.surface(t, self._bands)
        place = self._mesh.clip.mesh_from_world(t)
        surface = with_objects(self._held[1], objects, index, camera, place)
        return self._rasterizer.draw(surface, camera, self._options)

    def close(self) -> None:
        if self._is_own:
            self._bands.close()
