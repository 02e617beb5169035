"""Guides on a GPU: meshes built and drawn many frames at a time, results left on the device.

Nothing here is imported for CPU guides; the modules need torch, which ``pip install 'ex4d[gpu]'`` brings.
:func:`ex4d.raster.gpu.guides.render_guides_gpu` returns tensors; ``ex4d.guides.render_guides`` returns arrays.
"""

from ex4d.raster.gpu.names import GPU_RASTERIZERS

__all__ = ["GPU_RASTERIZERS"]
