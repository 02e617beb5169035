"""How fine the grid is that projected vertices are snapped to.

It has a module of its own because compiled loops use it: a change in any module that they import has them compiled
anew.
"""

SUBPIXELS = 256
"""Steps per pixel that projected vertices are snapped to."""
