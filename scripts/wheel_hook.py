"""Hatchling's hook: where ``EX4D_KERNELS`` names a folder of compiled kernels, the wheel carries it, for one system.

``scripts/build_wheel.py`` sets it; without it the wheel is pure, and kernels are compiled at first use.
"""

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface):
    """Adds the folder, and names the system in the wheel's tag; any Python may install it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """As hatchling calls it; ``version`` is "standard" or "editable"."""
        folder = os.environ.get("EX4D_KERNELS")
        if not folder or version != "standard":
            return
        build_data["force_include"][folder] = "ex4d/compiled/shipped"
        build_data["pure_python"], build_data["tag"] = False, f"py3-none-{os.environ['EX4D_KERNELS_SYSTEM']}"
