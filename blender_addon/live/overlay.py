"""The live picture over the camera view: what to draw in numbers, and as little drawing code as it takes."""

import importlib
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d  # pyright: ignore[reportMissingImports]
from gpu_extras.batch import batch_for_shader

from ex4d_ground.arrays import Float32, UInt8

from ..work.hooks import Drawing

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

HOLE = (0.95, 0.15, 0.55)
"""Where the camera sees nothing of the source: a colour footage rarely has."""
LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)


@dataclass
class Overlay:
    """What is drawn now. ``number`` changes with every picture."""

    shot_id: str = ""
    frame: int = 0
    """Scene frame the picture is of."""
    picture: UInt8 | None = None  # [H, W, 4], top row first
    number: int = 0
    opacity: float = 0.8
    _texture: Any = field(default=None, repr=False)
    _drawn: tuple[int, float] = (-1, 0.0)

    def put(self, shot_id: str, frame: int, picture: UInt8) -> None:
        """Show this picture from now on."""
        self.shot_id, self.frame, self.picture = shot_id, frame, picture
        self.number += 1

    def clear(self) -> None:
        """Show nothing."""
        self.picture = self._texture = None
        self.shot_id = ""
        self.number += 1

    def texture(self) -> Any:
        """The picture on the GPU, uploaded when it or the opacity has changed. Needs a window."""
        if self.picture is None:
            return None
        if self._texture is None or self._drawn != (self.number, self.opacity):
            height, width = self.picture.shape[:2]
            data = gpu.types.Buffer("FLOAT", width * height * 4, pixels(self.picture, self.opacity).ravel())
            # Its values are as on a screen; the format says so, and Blender's colour management leaves them alone.
            self._texture = gpu.types.GPUTexture((width, height), format="SRGB8_A8", data=data)
            self._drawn = self.number, self.opacity
        return self._texture


current = Overlay()


def pixels(picture: UInt8, opacity: float) -> Float32:  # [H, W, 4] -> [H, W, 4]
    """What to draw: the guide where it has something, :data:`HOLE` where it has not."""
    out = LEVELS[picture]
    out[picture[..., 3] == 0, :3] = HOLE
    out[..., 3] = opacity
    return out


def shown(overlay: Overlay, scene: bpy.types.Scene, camera: bpy.types.Object | None) -> bool:
    """Whether the picture belongs to what this camera shows at the scene's frame."""
    target = scene.ex4d.shot
    return (
        overlay.picture is not None
        and target is not None
        and camera is not None
        and target.ex4d.shot_id == overlay.shot_id
        and target.ex4d.camera == camera
        and scene.frame_current == overlay.frame
    )


def _draw() -> None:
    context = bpy.context
    space, view = context.space_data, context.region_data
    if view is None or view.view_perspective != "CAMERA":
        return
    camera = space.camera if space.use_local_camera else context.scene.camera
    if not shown(current, context.scene, camera):
        return
    corners = _frame(context, camera)
    texture = current.texture()
    if corners is None or texture is None:
        return
    if hasattr(texture, "filter_mode"):
        texture.filter_mode(True)
    shader = gpu.shader.from_builtin("IMAGE" if bpy.app.version >= (4, 0, 0) else "2D_IMAGE")
    places = {"pos": corners, "texCoord": ((1, 0), (1, 1), (0, 1), (0, 0))}
    batch = batch_for_shader(shader, "TRIS", places, indices=((0, 1, 2), (0, 2, 3)))
    gpu.state.blend_set("ALPHA")
    shader.bind()
    shader.uniform_sampler("image", texture)
    batch.draw(shader)
    gpu.state.blend_set("NONE")


drawing = Drawing("SpaceView3D", "POST_PIXEL", _draw)


def _frame(context: bpy.types.Context, camera: bpy.types.Object) -> list[tuple[float, float]] | None:
    """The camera's picture in the region: top right, bottom right, bottom left, top left."""
    pose = camera.matrix_world.normalized()
    corners = [
        location_3d_to_region_2d(context.region, context.region_data, pose @ corner)
        for corner in camera.data.view_frame(scene=context.scene)
    ]
    return None if None in corners else [(corner.x, corner.y) for corner in corners]
