"""What somebody says of the lens that filmed a clip, as one checked value."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import SettingError, ShapeError


@dataclass(frozen=True)
class Lens:
    """One of three ways to give a lens, or nothing. Raises SettingError if there are several."""

    intrinsics: Intrinsics | tuple[float, float, float, float] | None = None
    """Whole, or fx, fy, cx, cy in pixels of frames whose size is known later."""
    fov_deg: float | None = None
    """Horizontal field of view in degrees."""
    focal_px: float | None = None
    """Focal length in pixels."""
    fy_px: float | None = None
    """Vertical focal length in pixels beside an angle or a focal length; None: as the horizontal one."""
    cx_px: float | None = None
    """Principal point in pixels from the picture's left edge, beside an angle or a focal length; None: the middle."""
    cy_px: float | None = None
    source: str = "given"
    """Where it came from, where it is not said by whole intrinsics themselves."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.intrinsics, self.fov_deg, self.focal_px)) > 1:
            raise SettingError("Intrinsics, a field of view and a focal length exclude each other; give one of them.")

    @classmethod
    def told(cls, *, fov_deg: float | None = None, focal_px: float | None = None, **more: float | None) -> Lens:
        """One whose source names the number, for records that are read by others; ``more`` are its other fields."""
        number = f"{fov_deg:g} deg" if fov_deg is not None else f"{focal_px:g} px" if focal_px is not None else ""
        return cls(None, fov_deg, focal_px, **more, source=f"given: {number}")

    @property
    def says_fy(self) -> bool:
        """Whether the vertical focal length was given, and does not follow the shape of the pixels."""
        return self.intrinsics is not None or self.fy_px is not None

    def at(self, width: int, height: int) -> Intrinsics | None:
        """The lens for frames of this size, or None if nothing was said.

        Raises SettingError for an angle that is none, ShapeError for intrinsics of another size.
        """
        if self.fov_deg is not None:
            return self._shifted(Intrinsics.from_fov(width, height, self.fov_deg, self.source))
        if self.focal_px is not None:
            return self._shifted(Intrinsics.from_focal(width, height, self.focal_px, self.source))
        if isinstance(self.intrinsics, tuple):
            return Intrinsics(*self.intrinsics, width, height, self.source)
        given = self.intrinsics
        if given is not None and (given.width, given.height) != (width, height):
            raise ShapeError(
                f"The intrinsics are for {given.width}x{given.height} pixels but the video is {width}x{height}; "
                "resize them."
            )
        return given

    def _shifted(self, lens: Intrinsics) -> Intrinsics:
        given = {"fy": self.fy_px, "cx": self.cx_px, "cy": self.cy_px}
        return replace(lens, **{name: value for name, value in given.items() if value is not None})
