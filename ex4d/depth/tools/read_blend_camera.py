"""The camera of a .blend, printed as one line of JSON. Run by Blender, or by a Python that has it as a module.

Argument: the .blend. No script or driver of the file is run.
"""

import json
import os
import sys

import bpy

MARK = "ex4d-camera "


def main(path: str) -> None:
    """Print what the active scene's camera is."""
    bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    scene = bpy.context.scene
    camera = scene.camera
    facts = {"scene": scene.name, "camera": camera.name if camera is not None else None}
    if camera is not None:
        lens = camera.data
        facts |= {
            "type": lens.type,
            "lens_mm": lens.lens,
            "sensor_width_mm": lens.sensor_width,
            "sensor_height_mm": lens.sensor_height,
            "sensor_fit": lens.sensor_fit,
            "shift_x": lens.shift_x,
            "shift_y": lens.shift_y,
            "pixel_aspect": scene.render.pixel_aspect_x / scene.render.pixel_aspect_y,
        }
    sys.stdout.write(MARK + json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[-1])
    except Exception as error:  # noqa: BLE001 - Blender raises RuntimeError and more; the sentence is for the caller
        sys.stdout.write(MARK + json.dumps({"error": " ".join(str(error).split())}) + "\n")
        sys.stdout.flush()
    os._exit(0)  # Blender's module may crash while Python shuts down
