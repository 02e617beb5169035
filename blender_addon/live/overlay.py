"""The live picture over the camera view: what to draw in numbers, and as little drawing code as it takes."""

import functools
import importlib
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from gpu_extras.batch import batch_for_shader

from ex4d_ground.arrays import Float32, UInt8
from ex4d_protocol.live import GOES_ON

from ..scene import viewing
from ..work.hooks import Drawing

gpu: Any = importlib.import_module("gpu")  # the module's stubs know a part of it only

DARK, LIGHT = (0.15, 0.15, 0.16), (0.25, 0.25, 0.26)
"""Stripes where the camera sees nothing of the source: quiet, and no matter of colour."""
PLANE_DARK, PLANE_LIGHT = (0.12, 0.20, 0.30), (0.18, 0.29, 0.42)
"""Those where a floor or a wall goes on there: the blue of the coverage graph, as quiet."""
STRIPES_PX = 14.0
"""Width of a dark and a light stripe along a row of the screen, at an interface scale of 1."""
LEVELS = np.arange(256, dtype=np.float32) / np.float32(255)


@dataclass
class Overlay:
    """What is drawn now. ``number`` changes with every picture."""

    shot_id: str = ""
    frame: int = 0
    """Scene frame the picture is of."""
    picture: UInt8 | None = None  # [H, W, 4], top row first; alpha as of LivePicture
    is_filled: bool = False
    number: int = 0
    opacity: float = 0.8
    _textures: Any = field(default=None, repr=False)
    _drawn: int = -1

    def put(self, shot_id: str, frame: int, picture: UInt8, *, is_filled: bool = False) -> None:
        """Show this picture from now on; one that ``is_filled`` also where its alpha says that it is a hole."""
        self.shot_id, self.frame, self.picture, self.is_filled = shot_id, frame, picture, is_filled
        self.number += 1

    def clear(self) -> None:
        """Show nothing."""
        self.picture = self._textures = None
        self.shot_id = ""
        self.number += 1

    def textures(self) -> tuple[Any, Any] | None:
        """The picture, and where planes go on, on the GPU: uploaded when they have changed. Needs something to draw on.

        Two of them, because colours at the rim of a hole are mixed with nothing, and holes have no colour.
        """
        if self.picture is None:
            return None
        if self._textures is None or self._drawn != self.number:
            height, width = self.picture.shape[:2]
            shown = opaque(self.picture) if self.is_filled else self.picture
            data = gpu.types.Buffer("FLOAT", width * height * 4, pixels(shown).ravel())
            colour = gpu.types.GPUTexture((width, height), format="RGBA8", data=data)
            goes_on = on_plane(shown)
            data = gpu.types.Buffer("FLOAT", goes_on.size, goes_on.ravel())
            self._textures = colour, gpu.types.GPUTexture(goes_on.shape[::-1], format="R8", data=data)
            self._drawn = self.number
        return self._textures


current = Overlay()


def opaque(picture: UInt8) -> UInt8:  # [H, W, 4]
    """The picture without holes."""
    out = picture.copy()
    out[..., 3] = 255
    return out


def pixels(picture: UInt8) -> Float32:  # [H, W, 4] -> [H, W, 4]
    """The guide with alpha 1, all 0 in holes: halfway between both, colour divided by alpha is still the guide's."""
    out = LEVELS[picture]
    out[..., 3] = picture[..., 3] == 255
    out[..., :3] *= out[..., 3:]
    return out


def on_plane(picture: UInt8) -> Float32:  # [H, W, 4] -> [H, W], or [1, 1] where there is no such hole
    """1 in holes where a floor or a wall goes on, else 0."""
    holes = picture[..., 3] == GOES_ON
    return holes.astype(np.float32) if holes.any() else np.zeros((1, 1), np.float32)


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
    camera = viewing.camera_looked_through(context)
    if camera is None or not shown(current, context.scene, camera):
        return
    corners = viewing.frame_corners(context, camera)
    textures = current.textures()
    if corners is None or textures is None:
        return
    draw(textures, corners, opacity=current.opacity, stripes_px=STRIPES_PX * context.preferences.system.ui_scale)


def draw(textures: tuple[Any, Any], corners: list[tuple[float, float]], *, opacity: float, stripes_px: float) -> None:
    """Draw what :meth:`Overlay.textures` has between top right, bottom right, bottom left and top left corner."""
    for texture in textures:
        if hasattr(texture, "filter_mode"):
            texture.filter_mode(True)
    shader = _shader()
    places = {"pos": corners, "texCoord": ((1, 0), (1, 1), (0, 1), (0, 0))}
    batch = batch_for_shader(shader, "TRIS", places, indices=((0, 1, 2), (0, 2, 3)))
    gpu.state.blend_set("ALPHA")
    shader.bind()
    for name, texture in zip(("image", "going_on"), textures, strict=True):
        shader.uniform_sampler(name, texture)
    for name, value in (("opacity", opacity), ("period", stripes_px)):
        shader.uniform_float(name, value)
    batch.draw(shader)
    gpu.state.blend_set("NONE")


@functools.cache
def _shader() -> Any:
    """The picture's values as they are on a screen, and stripes in its holes.

    Blender sets ``srgbTarget`` by its name, for every shader that has it: whether what is drawn on encodes values.
    """
    info = gpu.types.GPUShaderCreateInfo()
    between = gpu.types.GPUStageInterfaceInfo("ex4d_live")
    between.smooth("VEC2", "place")
    info.push_constant("MAT4", "ModelViewProjectionMatrix")
    for name in ("opacity", "period"):  # the colours are written into it: some GPUs take 128 bytes of constants
        info.push_constant("FLOAT", name)
    info.push_constant("BOOL", "srgbTarget")
    info.sampler(0, "FLOAT_2D", "image")
    info.sampler(1, "FLOAT_2D", "going_on")
    info.vertex_in(0, "VEC2", "pos")
    info.vertex_in(1, "VEC2", "texCoord")
    info.vertex_out(between)
    info.fragment_out(0, "VEC4", "fragColor")
    info.vertex_source("""
        void main() {
          place = texCoord;
          gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0);
        }""")
    colours = {"DARK": DARK, "LIGHT": LIGHT, "PLANE_DARK": PLANE_DARK, "PLANE_LIGHT": PLANE_LIGHT}
    for name, value in colours.items():
        info.define(name, f"vec3{value}")
    info.fragment_source("""
        vec3 decoded(vec3 value) {
          return mix(value / 12.92, pow((value + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), value));
        }

        void main() {
          vec4 seen = texture(image, place);
          float stripe = step(0.5, fract((gl_FragCoord.x + gl_FragCoord.y) / period));
          float plane = step(0.5, texture(going_on, place).r);
          vec3 hole = mix(mix(DARK, LIGHT, stripe), mix(PLANE_DARK, PLANE_LIGHT, stripe), plane);
          vec3 value = seen.a > 0.5 ? seen.rgb / seen.a : hole;
          fragColor = vec4(srgbTarget ? decoded(value) : value, opacity);
        }""")
    return gpu.shader.create_from_info(info)


drawing = Drawing("SpaceView3D", "POST_PIXEL", _draw)
