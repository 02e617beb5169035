"""What a take can be exported as, and how the files are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ex4d_ground.errors import SettingError
from ex4d_ground.names import DEFAULT_MOVIE, DEFAULT_SEQUENCE, NameTemplate
from ex4d_ground.takes import TakeInfo

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
    ExportKind(
        "mp4-10-lossless",
        "MP4, H.265, 10 bits, every stored number kept",
        ".mp4",
        "libx265",
        "yuv420p10le",
        (("x265-params", "lossless=1"),),
        "10",
    ),
)


@dataclass(frozen=True)
class EyesLayout:
    """How the two eyes of a stereo take are shown in one export."""

    name: str
    title: str
    ending: str
    """Of the files' usual names."""

    @property
    def side_by_side(self) -> bool:
        """Whether each picture holds both eyes, the left one first."""
        return self.name in ("side-by-side", "half")


_LAYOUTS = (
    EyesLayout("side-by-side", "Side by side", "_sbs"),
    EyesLayout("half", "Side by side, half width", "_half_sbs"),
    EyesLayout("anaglyph", "Anaglyph, red-cyan", "_anaglyph"),
    EyesLayout("left", "Left eye", "_left"),
    EyesLayout("right", "Right eye", "_right"),
)
LAYOUTS = {layout.name: layout for layout in _LAYOUTS}
KINDS = {kind.name: kind for kind in _LISTED}


def get_kind(name: str) -> ExportKind:
    """A kind by its name. Raises SettingError with all of them."""
    try:
        return KINDS[name]
    except KeyError:
        raise SettingError(f"There is no export {name!r}; choose one of {', '.join(KINDS)}.") from None


def layout_of(name: str | None, *, stereo: bool) -> EyesLayout | None:
    """The layout of an export by its name; None is side by side of a stereo take, and nothing of any other.

    Raises SettingError for an unknown one, and for one of a take with one eye.
    """
    if name is not None and name not in LAYOUTS:
        raise SettingError(f"There is no way {name!r} to show both eyes; choose one of {', '.join(LAYOUTS)}.")
    if not stereo:
        if name is not None:
            raise SettingError("The take has one eye alone; make a stereo take to choose how both are shown.")
        return None
    return LAYOUTS[name or "side-by-side"]


def name_template(kind: ExportKind, name: str | None, layout: EyesLayout | None = None) -> NameTemplate:
    """How the files of ``kind`` are called; ``name`` None is the kind's own, with the ending of the eyes' layout.

    Raises SettingError if it cannot be so.
    """
    own, ending = kind.default_name, "" if layout is None else layout.ending
    folder, slash, file = own.rpartition("/")
    own = f"{folder}{ending}/{file}" if slash else own + ending
    return NameTemplate.of(name or own, suffix=kind.suffix, numbered=kind.numbered)


def export_paths(info: TakeInfo, kind: ExportKind, template: NameTemplate, *, shot: str, take: int) -> list[Path]:
    """The files of a take's export, below the folder they go to, in order: one for each frame, or the movie alone.

    ``shot`` is the clip's name, ``take`` the take's number. Frames count from the number of the source's first.
    """
    values = {"shot": shot, "take": take, "engine": info.engine, "seed": info.seed, "kind": kind.name}
    if not kind.numbered:
        return [Path(template.path(**values))]
    first = info.footage.start_frame
    return [Path(template.path(**values, frame=first + i)) for i in range(info.num_frames)]
