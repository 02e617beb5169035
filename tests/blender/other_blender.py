"""A shot with edit layers, made or read in a Blender of its own: files go from one version to another.

python other_blender.py make FILE.blend OUT.npz   make it, save it, and say what it shows
python other_blender.py read FILE.blend OUT.npz   open it and say what it shows
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol"), str(ROOT / "tests")]

import bpy  # noqa: E402
import numpy as np  # noqa: E402

FRAMES = range(1, 6)


def make(path: str) -> None:
    """Two layers along the rays and across: one with a keyed weight, one with a falloff, in a retimed shot."""
    from small_clip import make_clip
    from small_shot import build_shot

    from blender_addon.scene import keyframes, layers

    bpy.ops.wm.save_as_mainfile(filepath=path)
    clip = make_clip()
    shot = build_shot(bpy, clip)
    body = shot.ex4d.mesh
    count = len(body.data.vertices)
    keyed = layers.add(
        body,
        'Keyed "1"',
        np.full(count, 0.25, np.float32),
        mode="RAY",
        frames=layers.FrameRange(1, 5, every_frame=True),
    )
    offset = np.tile(np.float32([0.5, 0, 0]), (count, 1))
    layers.add(body, "Falling off", offset, mode="OFFSET", frames=layers.FrameRange(2, 2, 1))
    for frame, weight in ((1, 0.0), (5, 1.0)):
        layers.set_input(keyed, "Weight", weight)
        body.keyframe_insert(layers.object_path(keyed, "Weight"), frame=frame)
    keyframes.set_interpolation(body, "LINEAR")
    shot.ex4d.use_source_time = True
    for frame, time in ((1, 4.0), (5, 0.0)):  # played backwards
        shot.ex4d.source_time = time
        shot.keyframe_insert("ex4d.source_time", frame=frame)
    keyframes.set_interpolation(shot, "LINEAR")
    bpy.ops.wm.save_mainfile()


def shown() -> dict[str, np.ndarray]:
    """What each frame shows: ``positions`` [N, V, 3], the keyed ``weight`` [N], and what each layer says of itself."""
    from blender_addon.scene import layers, mesh

    scene = bpy.context.scene
    body = next(obj for obj in bpy.data.objects if obj.ex4d.is_shot).ex4d.mesh
    keyed, weights, positions = layers.stack(body)[0], [], []
    for frame in FRAMES:
        scene.frame_set(frame)
        positions.append(mesh.evaluated_positions(body, bpy.context.evaluated_depsgraph_get()))
        weights.append(layers.get_input(keyed, "Weight"))
    said = [
        f"{layer.name} {layers.mode_of(layer)} {layers.frames_of(layer)} {layers.get_input(layer, 'Retimed')}"
        for layer in layers.stack(body)
    ]
    names = sorted(each.name for each in body.data.attributes if each.name.startswith(layers.ATTRIBUTE_PREFIX))
    found = {"positions": positions, "weight": weights, "layers": said, "stored": names}
    return {name: np.array(values) for name, values in found.items()}


def main(what: str, path: str, target: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module="blender_addon")
    if what == "make":
        make(path)
    else:
        bpy.ops.wm.open_mainfile(filepath=path)
    np.savez(target, version=bpy.app.version, **shown())


if __name__ == "__main__":
    from process_end import leave

    with leave():
        main(*sys.argv[1:])
