"""The add-on's own name in Blender, and its log: one for all of it, whatever folder a module lies in."""

import logging

PACKAGE = __name__.rpartition(".work.")[0]
"""``blender_addon`` from a checkout, ``bl_ext.<repository>.ex4d`` as an installed extension."""

log = logging.getLogger(PACKAGE)
