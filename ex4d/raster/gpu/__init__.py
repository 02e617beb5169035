"""Rasterizers that draw many frames at once on a CUDA device.

They need torch, which ``pip install '.[gpu]'`` brings, and are not imported for CPU guides.
Kernels do not specialize on sizes: every picture size would compile its own.
"""
