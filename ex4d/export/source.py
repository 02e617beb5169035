"""A take's pictures as it keeps them: layers in the plate's own numbers, or 8-bit frames."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ex4d.clip.exr import open_exr
from ex4d.clip.images import read_rgb
from ex4d.colour import View, to_linear
from ex4d.colour.view import as_signals
from ex4d_ground.arrays import Float32, UInt8
from ex4d_ground.colour import PRIMARIES, ColourSpace
from ex4d_ground.errors import ClipError
from ex4d_ground.files import frame_name
from ex4d_ground.takes import LAYERS, TakeInfo, missing_frames, read_take_info, shot_name, take_number

_SIGNALS = ("srgb", "gamma22", "gamma24", "gamma26", "gamma28", "pq", "hlg", "named")


@dataclass(frozen=True)
class TakePictures:
    """A finished take's folder, opened for export."""

    folder: Path
    info: TakeInfo

    @classmethod
    def open(cls, folder: Path) -> "TakePictures":
        """Read a take's description. Raises ClipError for what is no take, or one that has lost frames."""
        info = read_take_info(folder)
        lost = missing_frames(folder, info)
        if lost or info.num_frames == 0:
            raise ClipError(f"The take {folder} lacks {len(lost)} of its {info.num_frames} frames; make it again.")
        colour = info.colour
        known = colour is None or colour.chromaticities is not None or colour.primaries in ("", *PRIMARIES)
        if info.layers not in ("", LAYERS) or not known:
            raise ClipError(
                f"The description of {folder} was damaged or edited: its layers or colours are none of ours."
            )
        return cls(folder, info)

    @property
    def shot(self) -> str:
        """The clip's name."""
        return shot_name(self.info, self.folder)

    @property
    def number(self) -> int:
        """The take's number; 1 where its folder has none."""
        return take_number(self.folder)

    @property
    def movie(self) -> Path | None:
        """The movie beside the take, where it has sound."""
        path = self.folder.resolve().with_suffix(".mp4")
        return path if self.info.footage.sound and path.is_file() else None

    @cached_property
    def space(self) -> ColourSpace:
        """What the numbers of :meth:`plate` mean: the plate's space, or sRGB of 8-bit frames."""
        deep = self.info.layer_colour and self.info.colour is not None
        return self.info.colour if deep and self.info.colour is not None else ColourSpace()

    @cached_property
    def view(self) -> View:
        """How the plate's numbers are shown."""
        return View.of(self.space, brighter=self.info.tone_mapped)

    def frame(self, i: int) -> UInt8:  # [H, W, 3]
        """The finished 8-bit frame."""
        path = self.folder / frame_name(i)
        return self._of_its_size(read_rgb(path), path)

    def plate(self, i: int) -> NDArray:  # [H, W, 3] float16 or float32
        """The frame in the plate's numbers, signals nominally 0..1 or light; of 8-bit takes their signals."""
        if not self.info.layer_colour:
            return as_signals(self.frame(i)) / np.float32(255)
        found = self.channels(i, "RGB")
        return np.stack([found[letter] for letter in "RGB"], axis=-1)

    def light(self, i: int) -> tuple[NDArray, ColourSpace]:  # [H, W, 3]
        """The frame as linear light, in the primaries of the space that is returned with it."""
        plate, space = self.plate(i), self.space
        if space.transfer == "linear":
            return plate, space
        if space.transfer == "named":
            return self.view.light(plate), ColourSpace(transfer="linear")
        linear = ColourSpace(primaries=space.primaries, chromaticities=space.chromaticities, transfer="linear")
        return to_linear(plate, space).astype(np.float32), linear

    def signals(self, i: int) -> tuple[Float32, ColourSpace]:  # [H, W, 3]
        """The frame as signals 0..1 for a video or a PNG: the plate's own, or the view of one that has light."""
        if self.space.transfer in _SIGNALS:
            return self.plate(i).astype(np.float32), self.space
        return self.view.signals(self.plate(i)), ColourSpace()

    def channels(self, i: int, names: str | tuple[str, ...]) -> dict[str, NDArray]:
        """Layers of a frame by name, those that are there. Raises ClipError."""
        if not self.info.layers:
            return {}
        path = self.folder / self.info.layers / frame_name(i, ".exr")
        with open_exr(path, ClipError) as exr:
            found = {c.name: exr.picture(c, outside=0.0) for c in exr.channels if c.name in names}
        return {name: self._of_its_size(values, path) for name, values in found.items()}

    def _of_its_size(self, picture: NDArray, path: Path) -> NDArray:
        height, width = picture.shape[:2]
        is_known = self.info.width > 0 and self.info.height > 0  # takes that were begun without do not say it
        if is_known and (height, width) != (self.info.height, self.info.width):
            raise ClipError(
                f"{path} is {width}x{height} pixels but the take's frames are {self.info.width}x{self.info.height}; "
                "put that frame back, or make the take again."
            )
        return picture
