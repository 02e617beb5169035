"""DW-meshes of many frames at once, built on the device that draws them; equal to the CPU's.

They need torch, which ``pip install '.[gpu]'`` brings, and are not imported for CPU guides. Kernels do not
specialize on sizes: every picture size would compile its own.
"""
