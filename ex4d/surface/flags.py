"""Bits of ``Surface.quad_flags``; apart for the same reason as :mod:`ex4d.raster.subpixels`."""

QUAD_HIDE_UPPER, QUAD_HIDE_LOWER, QUAD_DROP = 1, 2, 4
