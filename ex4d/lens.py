"""What somebody says of the lens that filmed a clip, as one checked value."""

from __future__ import annotations

from dataclasses import dataclass

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
    source: str = "given"
    """Where an angle or a focal length came from; intrinsics tell it of themselves."""

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.intrinsics, self.fov_deg, self.focal_px)) > 1:
            raise SettingError("Intrinsics, a field of view and a focal length exclude each other; give one of them.")

    @classmethod
    def told(cls, *, fov_deg: float | None = None, focal_px: float | None = None) -> Lens:
        """One whose source names the number, for records that are read by others."""
        number = f"{fov_deg:g} deg" if fov_deg is not None else f"{focal_px:g} px" if focal_px is not None else ""
        return cls(fov_deg=fov_deg, focal_px=focal_px, source=f"given: {number}")

    def at(self, width: int, height: int) -> Intrinsics | None:
        """The lens for frames of this size, or None if nothing was said.

        Raises SettingError for an angle that is none, ShapeError for intrinsics of another size.
        """
        if self.fov_deg is not None:
            return Intrinsics.from_fov(width, height, self.fov_deg, self.source)
        if self.focal_px is not None:
            return Intrinsics.from_focal(width, height, self.focal_px, self.source)
        if isinstance(self.intrinsics, tuple):
            return Intrinsics(*self.intrinsics, width, height)
        given = self.intrinsics
        if given is not None and (given.width, given.height) != (width, height):
            raise ShapeError(
                f"The intrinsics are for {given.width}x{given.height} pixels but the video is {width}x{height}; "
                "resize them."
            )
        return given
