"""How a DW-mesh is built and how guides are drawn: one type each, in memory, on the wire and in take.json."""

from __future__ import annotations

import math
from typing import Literal

from ex4d_ground.arrays import FAR
from ex4d_ground.errors import SettingError
from ex4d_ground.records import Name, Record

OccluderMode = Literal["endless", "solid"]
PixelAnchor = Literal["center", "corner"]
HiddenBy = Literal["vertex", "face"]
ThicknessUnit = Literal["share", "depth"]


class MeshOptions(Record, frozen=True, kw_only=True):
    """How a DW-mesh is built from depth. Defaults are ours; :meth:`ex4d_parity` is the published program."""

    mode: OccluderMode = "endless"
    """"endless": occluded faces stretch to the background and block (published). "solid": finite thickness."""
    border_depth: float = 100.0
    """Depth of the outermost rows and columns, which close the mesh behind the scene."""
    min_angle_deg: float = 2.5
    """A face whose smallest interior angle is below this is occluded."""
    pixel_anchor: PixelAnchor = "center"
    """Where in its pixel a vertex sits: "center" makes the source view exact, "corner" is the published one."""
    blank_occluded_colors: bool = False
    """Published: an occluded vertex's colour becomes zero, which darkens the rim of every hole by interpolation.
    Ours keeps the colour and clears alpha alone."""
    hide_caps: bool = True
    """Count the two caps as occluded: they close the mesh and show nothing of the source. Published: by angle."""
    hidden_by: HiddenBy = "vertex"
    """How an occluded face of an endless mesh hides: with all its vertices (published; the hole grows by a pixel), or
    alone."""
    thickness: float | Literal["auto"] = "auto"
    """How far solid occluders reach behind their rim: estimated from what is seen of each, or one number for all."""
    thickness_unit: ThicknessUnit = "share"
    """What a number for ``thickness`` means: a share of the depth at the rim, or a length in the depth's unit."""
    edge_jump: float = 0.01
    """Share of the depth by which a solid mesh's neighbouring pixels may miss each other's surface and still be one."""
    sharpen_edges: Literal["auto", "on", "off"] = "auto"
    """Whether a solid mesh first undoes smeared depth edges: "auto" looks at the clip; sharp depth is left alone."""
    steady_depth: Literal["auto", "on", "off"] = "auto"
    """Whether a solid mesh first steadies the depth of what does not change before a camera that stands still: "auto"
    looks at the clip; depth that does not waver is left alone."""
    other_frames: bool = False
    """Whether a solid mesh shows, behind what is nearer, the background that other frames saw: of a still camera, or of
    one whose motion the clip knows (``Clip.world_from_camera``)."""
    world_memory: bool = False
    """Whether ``other_frames`` of a camera that moves also show what lies beside the picture now, and tell how far
    things that stand still reach back. Before a camera that stands still there is no more than ``other_frames``."""

    def __post_init__(self) -> None:
        if self.mode not in ("endless", "solid"):
            raise SettingError(f"Occluder mode must be 'endless' or 'solid', got {self.mode!r}.")
        if self.pixel_anchor not in ("center", "corner"):
            raise SettingError(f"Pixel anchor must be 'center' or 'corner', got {self.pixel_anchor!r}.")
        if not (math.isfinite(self.border_depth) and self.border_depth > 0):
            raise SettingError(f"Border depth must be positive and finite, got {self.border_depth}.")
        if self.border_depth >= FAR:
            raise SettingError(f"Border depth must be less than {FAR:g}, got {self.border_depth:g}.")
        if not 0 <= self.min_angle_deg < 60:
            raise SettingError(
                f"The smallest angle of a visible face must be in 0..60 degrees, got {self.min_angle_deg}."
            )

        if self.hidden_by not in ("vertex", "face"):
            raise SettingError(f"Occluded faces hide by 'vertex' or 'face', got {self.hidden_by!r}.")
        if self.thickness_unit not in ("share", "depth"):
            raise SettingError(f"The thickness unit must be 'share' or 'depth', got {self.thickness_unit!r}.")
        if self.sharpen_edges not in ("auto", "on", "off"):
            raise SettingError(f"Depth edges are sharpened 'auto', 'on' or 'off', got {self.sharpen_edges!r}.")
        if self.steady_depth not in ("auto", "on", "off"):
            raise SettingError(f"Depth is steadied 'auto', 'on' or 'off', got {self.steady_depth!r}.")
        if self.other_frames and self.mode != "solid":
            raise SettingError("Other frames fill in behind solid occluders only; use mode 'solid' or leave them off.")
        if self.world_memory and not self.other_frames:
            raise SettingError("World memory is made of other frames; turn those on as well, or leave it off.")
        self._check_thickness()
        if not 0 < self.edge_jump < 1:
            raise SettingError(f"The jump that makes a depth edge must be in 0..1 of the depth, got {self.edge_jump}.")

    def _check_thickness(self) -> None:
        t = self.thickness
        if isinstance(t, str):
            if t != "auto":
                raise SettingError(f"Thickness must be 'auto' or a number, got {t!r}.")
        elif not (math.isfinite(t) and t >= 0):
            raise SettingError(f"Thickness must be 0 or more and finite, got {t}; or use 'auto'.")
        elif t >= FAR:
            raise SettingError(f"Thickness must be less than {FAR:g}, got {t:g}; or use 'auto'.")

    @classmethod
    def ex4d_parity(cls) -> MeshOptions:
        """Exactly what EX-4D's published code does (commit b456a41)."""
        return cls(mode="endless", pixel_anchor="corner", blank_occluded_colors=True, hide_caps=False)


class RasterOptions(Record, frozen=True, kw_only=True):
    """How guides are drawn (published: near 0.001, far 1000, a pixel is shown where alpha > 125 of 255)."""

    rasterizer: Name = "auto"
    """Which program draws: "auto" (CUDA with Triton where it is there, else the CPU), "cpu", "triton", "nvdiffrast"."""
    near: float = 0.001
    far: float = 1000.0
    mask_threshold: int = 125
    round_colors_down: bool = False
    """Published: interpolated colours lose their fraction, half a level too dark on average. Ours rounds to nearest."""
    source_first_frame: bool = False
    """Published: guide 0 is the source frame itself with a full mask, wherever its camera stands."""
    antialias: bool = False
    """Published: colour and alpha are blended over silhouette edges. Ours leave edges sharp, which moves the mask by
    less than a pixel and is faster."""

    @classmethod
    def ex4d_parity(cls) -> RasterOptions:
        """Exactly what EX-4D's published code does (commit b456a41)."""
        return cls(round_colors_down=True, antialias=True)
