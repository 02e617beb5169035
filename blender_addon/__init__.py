"""The Blender extension."""
