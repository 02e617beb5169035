"""EX-4D for Blender: re-shoot a video that already exists. Registration only; see ``registration``."""

bl_info = {
    "name": "EX-4D",
    "author": "The EX-4D for Blender authors",
    "version": (0, 1, 0),
    "blender": (4, 2, 0),
    "location": "3D Viewport > Sidebar > EX-4D",
    "description": "Re-shoot a video that already exists with a new camera",
    "category": "Video",
}


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from . import registration

    registration.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled."""
    from . import registration

    registration.unregister()
