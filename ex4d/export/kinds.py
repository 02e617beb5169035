"""What a take can be exported as."""

from dataclasses import dataclass
from typing import Literal

from ex4d_ground.errors import SettingError
from ex4d_ground.names import DEFAULT_MOVIE, DEFAULT_SEQUENCE

_PLAINLY_NAMED = ("exr", "png16", "prores", "mp4")
"""The first of each ending."""


@dataclass(frozen=True)
class ExportKind:
    """A format, and how it is written."""

    name: str
    title: str
    suffix: str
    codec: str = ""
    """FFmpeg's encoder; "" for pictures."""
    pixels: str = ""
    """FFmpeg's name of the encoder's samples."""
    options: tuple[tuple[str, str], ...] = ()
    sample: Literal["half", "float", "16", "8", "10"] = "8"
    """What a colour's number is stored as."""

    @property
    def default_name(self) -> str:
        """The template of its names, where people give none; no two kinds write the same files."""
        own = "" if self.name in _PLAINLY_NAMED else f"_{self.name}"
        if not self.numbered:
            return DEFAULT_MOVIE + own
        folder, _, file = DEFAULT_SEQUENCE.partition("/")
        return f"{folder}{own}/{file}"

    @property
    def numbered(self) -> bool:
        """Whether there is a file for each frame."""
        return not self.codec


_LISTED = (
    ExportKind("exr", "OpenEXR, half float, ZIP", ".exr", sample="half"),
    ExportKind("exr-float", "OpenEXR, 32-bit float, ZIP", ".exr", sample="float"),
    ExportKind("exr-dwaa", "OpenEXR, half float, DWAA (small, not lossless)", ".exr", sample="half"),
    ExportKind("png16", "PNG, 16 bits", ".png", sample="16"),
    ExportKind(
        "prores",
        "ProRes 422 HQ, 10 bits",
        ".mov",
        "prores_ks",
        "yuv422p10le",
        (("profile", "3"), ("vendor", "apl0")),
        "10",
    ),
    ExportKind(
        "prores4444",
        "ProRes 4444, 10 bits",
        ".mov",
        "prores_ks",
        "yuv444p10le",
        (("profile", "4"), ("vendor", "apl0")),
        "10",
    ),
    ExportKind("dnxhr", "DNxHR HQX, 10 bits", ".mov", "dnxhd", "yuv422p10le", (("profile", "dnxhr_hqx"),), "10"),
    ExportKind("mp4", "MP4, H.264, 8 bits, for viewing", ".mp4", "libx264", "yuv420p", (("crf", "16"),), "8"),
    ExportKind("mp4-10", "MP4, H.265, 10 bits", ".mp4", "libx265", "yuv420p10le", (("crf", "8"),), "10"),
)
KINDS = {kind.name: kind for kind in _LISTED}


def get_kind(name: str) -> ExportKind:
    """A kind by its name. Raises SettingError with all of them."""
    try:
        return KINDS[name]
    except KeyError:
        raise SettingError(f"There is no export {name!r}; choose one of {', '.join(KINDS)}.") from None
