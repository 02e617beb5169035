"""Procedural Blender scenes with ground truth. Importing it loads bpy first, which bmesh and mathutils need."""

import bpy as _bpy

VERSION = _bpy.app.version_string
