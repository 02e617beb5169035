"""Kept apart for those who are compiled: a change in any module they import has them compiled anew."""

SUBPIXELS = 256
"""Steps per pixel that projected vertices are snapped to."""
