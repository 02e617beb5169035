"""What can be said about the GPU rasterizers without loading torch."""

from __future__ import annotations

GPU_RASTERIZERS = {
    "triton": "Ours, on NVIDIA GPUs (Apache-2.0); exact fill rule, as on the CPU.",
    "nvdiffrast": "NVIDIA's rasterizer (NVIDIA source licence, non-commercial use only); the published program's.",
}
"""Names for ``render_guides(rasterizer=...)`` that need a CUDA device, and what people should know of each."""
