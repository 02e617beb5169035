"""What the numbers of a picture mean: primaries, transfer curve, matrix, range, bits; or a name of OpenColorIO's."""

from __future__ import annotations

from typing import Literal

from ex4d_ground.records import Record

Transfer = Literal["srgb", "gamma22", "gamma24", "gamma26", "gamma28", "linear", "pq", "hlg", "named"]
"""How light becomes numbers. SDR video is "gamma24", the display curve of ITU-R BT.1886; "named": as ``name`` says."""
Matrix = Literal["rgb", "bt709", "bt601", "smpte240m", "bt2020"]
"""How RGB is stored: as it is, or as luma and two differences."""

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of red, green, blue and white (CIE 1931)."""

PRIMARIES: dict[str, Chromaticities] = {
    "bt709": (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    "bt2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    "p3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    "p3-dci": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    "bt470bg": (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    "smpte170m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    "adobe": (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, 0.3127, 0.3290),
    "ap0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767),
    "ap1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),
}
"""ITU-R BT.709, BT.2020 and BT.470, SMPTE EG 432-1, RP 431-2 and 170M, Adobe RGB (1998), and ACES (S-2014-004)."""

_TITLES = {
    "bt709": "BT.709",
    "bt2020": "BT.2020",
    "p3": "P3",
    "p3-dci": "DCI-P3",
    "bt470bg": "BT.601 (625 lines)",
    "smpte170m": "BT.601 (525 lines)",
    "adobe": "Adobe RGB",
    "ap0": "ACES2065-1",
    "ap1": "ACEScg",
}
_CURVES = {"linear": "linear", "pq": "PQ", "hlg": "HLG", "srgb": "sRGB"}
_SAME_PLACE = 2e-3


class ColourSpace(Record, frozen=True, kw_only=True):
    """What RGB numbers mean, and how they were stored. New in protocol 1.1."""

    primaries: str = "bt709"
    """One of :data:`PRIMARIES`; "" where ``chromaticities`` say others."""
    chromaticities: Chromaticities | None = None
    """Of primaries that have no name."""
    transfer: Transfer = "srgb"
    name: str = ""
    """A colour space of the OpenColorIO configuration ``config``; then ``transfer`` is "named"."""
    config: str = ""
    """Where the configuration is: a file, or "ocio://..."; "" where there is none."""
    matrix: Matrix = "rgb"
    full_range: bool = True
    """Whether black and white have the smallest and the largest number."""
    bits: int = 8
    """Of a stored sample; 16 and 32 of floats."""
    floating: bool = False
    """Whether the stored samples are floats."""
    assumed: bool = False
    """Whether the source says nothing of its colours, so that this is the usual meaning."""

    @property
    def is_hdr(self) -> bool:
        """Whether its numbers reach beyond the white of a usual screen by their kind."""
        return self.transfer in ("pq", "hlg")

    @property
    def places(self) -> Chromaticities:
        """x and y of the primaries and of white."""
        return self.chromaticities or PRIMARIES[self.primaries or "bt709"]

    def __str__(self) -> str:
        if self.name:
            return self.name
        colours = _TITLES.get(self.primaries, "its own primaries")
        curve = _CURVES.get(self.transfer, "")
        if self.primaries == "bt709" and self.transfer == "srgb":
            return "sRGB"
        return f"{colours} {curve}".rstrip() if colours != "ACEScg" or curve != "linear" else colours


def named_primaries(places: Chromaticities) -> str:
    """The name of primaries that are these within rounding; "" if none are."""
    for name, each in PRIMARIES.items():
        if max(abs(a - b) for a, b in zip(each, places, strict=True)) < _SAME_PLACE:
            return name
    return ""


KNOWN: dict[str, ColourSpace] = {
    "srgb": ColourSpace(),
    "rec709": ColourSpace(transfer="gamma24"),
    "linear": ColourSpace(transfer="linear"),
    "acescg": ColourSpace(primaries="ap1", transfer="linear"),
    "aces": ColourSpace(primaries="ap0", transfer="linear"),
    "rec2020": ColourSpace(primaries="bt2020", transfer="gamma24"),
    "linear-rec2020": ColourSpace(primaries="bt2020", transfer="linear"),
    "p3": ColourSpace(primaries="p3", transfer="srgb"),
    "linear-p3": ColourSpace(primaries="p3", transfer="linear"),
    "pq": ColourSpace(primaries="bt2020", transfer="pq"),
    "hlg": ColourSpace(primaries="bt2020", transfer="hlg"),
}
"""Colour spaces that need no OpenColorIO, by the names that people give."""
