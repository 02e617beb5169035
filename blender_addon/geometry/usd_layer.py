"""The USD file that people open: Blender's own geometry below it, and the material that finds the pictures.

Blender's exporter writes one picture of a sequence, or none. What a changing picture is in USD is an asset path with
time samples; it is text, so it is written here, in a layer over the geometry that says nothing else. Blender reads the
first picture of it, since it takes the value without a time.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ex4d_ground.arrays import Float32

from ..scene.materials import MASK_THRESHOLD

MESH_PRIM = "Geometry"
"""Name of the object and of its mesh, hence of the two prims."""
ROOT = "root"


@dataclass(frozen=True, eq=False)
class Layer:
    """What the layer says."""

    geometry: str
    """The file with the geometry, beside this one."""
    fps: float
    frames: range
    colour: tuple[str, ...]
    """Each frame's picture, relative to this file."""
    visible: tuple[str, ...]
    low: Float32  # [frames, 3]
    high: Float32  # [frames, 3]
    """Each frame's box, in the mesh's own space."""


def text_of(layer: Layer) -> str:
    """The file. Y points up, one unit is one of Blender's (a metre unless the shot's scale says otherwise).

    The rate is written to its last digit: USD would stretch a layer below whose rate is another, if by ever so little.
    """
    first, last = layer.frames[0], layer.frames[-1]
    boxes = (f"[{_point(low)}, {_point(high)}]" for low, high in zip(layer.low, layer.high, strict=True))
    extents = _samples(layer.frames, boxes, " " * 12)
    return f"""#usda 1.0
(
    defaultPrim = "{ROOT}"
    endTimeCode = {last}
    framesPerSecond = {layer.fps!r}
    metersPerUnit = 1
    startTimeCode = {first}
    subLayers = [@./{layer.geometry}@]
    timeCodesPerSecond = {layer.fps!r}
    upAxis = "Y"
)

over "{ROOT}"
{{
    over "{MESH_PRIM}"
    {{
        over "{MESH_PRIM}" (
            prepend apiSchemas = ["MaterialBindingAPI"]
        )
        {{
            uniform bool doubleSided = 1
            float3[] extent.timeSamples = {extents}
            rel material:binding = </{ROOT}/Materials/Footage>
        }}
    }}

    def Scope "Materials"
    {{
        def Material "Footage"
        {{
            token outputs:surface.connect = </{ROOT}/Materials/Footage/Surface.outputs:surface>

            def Shader "Surface"
            {{
                uniform token info:id = "UsdPreviewSurface"
                color3f inputs:diffuseColor = (0, 0, 0)
                color3f inputs:emissiveColor.connect = </{ROOT}/Materials/Footage/Colour.outputs:rgb>
                float inputs:opacity.connect = </{ROOT}/Materials/Footage/Visible.outputs:r>
                float inputs:opacityThreshold = {MASK_THRESHOLD:.6g}
                float inputs:roughness = 1
                color3f inputs:specularColor = (0, 0, 0)
                int inputs:useSpecularWorkflow = 1
                token outputs:surface
            }}

            def Shader "Coordinates"
            {{
                uniform token info:id = "UsdPrimvarReader_float2"
                string inputs:varname = "st"
                float2 outputs:result
            }}

{_texture("Colour", layer, layer.colour, "sRGB", "float3 outputs:rgb")}
{_texture("Visible", layer, layer.visible, "raw", "float outputs:r")}        }}
    }}
}}
"""


def _texture(name: str, layer: Layer, paths: tuple[str, ...], space: str, output: str) -> str:
    changing = _samples(layer.frames, (f"@./{path}@" for path in paths), " " * 16)
    return f"""            def Shader "{name}"
            {{
                uniform token info:id = "UsdUVTexture"
                asset inputs:file = @./{paths[0]}@
                asset inputs:file.timeSamples = {changing}
                token inputs:sourceColorSpace = "{space}"
                float2 inputs:st.connect = </{ROOT}/Materials/Footage/Coordinates.outputs:result>
                token inputs:wrapS = "clamp"
                token inputs:wrapT = "clamp"
                {output}
            }}
"""


def _samples(frames: range, values: Iterable[str], indent: str) -> str:
    lines = [f"{indent}    {frame}: {value}," for frame, value in zip(frames, values, strict=True)]
    return "\n".join(["{", *lines, f"{indent}}}"])


def _point(values: Float32) -> str:  # [3]
    return f"({', '.join(f'{float(value):.9g}' for value in values)})"
