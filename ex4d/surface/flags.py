"""What is left out of a surface's quads, as bits of ``Surface.quad_flags``.

They have a module of their own because compiled loops use them, as :mod:`ex4d.raster.subpixels` does.
"""

QUAD_HIDE_UPPER, QUAD_HIDE_LOWER, QUAD_DROP = 1, 2, 4
