"""Where weights live on disk: the original Wan download or the ``-Diffusers`` repository, told apart by their files."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ex4d_ground.errors import SettingError, WeightsError
from ex4d_ground.remedies import fetch_weights

Layout = Literal["original", "diffusers"]
Part = Literal["transformer", "vae", "text_encoder", "image_encoder"]
PARTS: tuple[Part, ...] = ("transformer", "vae", "text_encoder", "image_encoder")

WAN_FOLDER = "Wan2.1-I2V-14B-480P"
T5_FILE = "models_t5_umt5-xxl-enc-bf16.pth"
VAE_FILE = "Wan2.1_VAE.pth"
CLIP_FILE = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
EX4D_FOLDER, EX4D_FILE = "EX-4D", "ex4d.ckpt"
TRAINED, TRAINED_FILE = "trained", "ex4d.safetensors"
TURBO_FOLDER, TURBO_FILE = "lightx2v", "wan2.1_i2v_lora_rank64_lightx2v_4step.safetensors"

PICKLES: dict[Part, str] = {"text_encoder": T5_FILE, "vae": VAE_FILE, "image_encoder": CLIP_FILE}
_ENTRY_POINTS = {"model_index.json", "transformer"}


def weights_root() -> Path:
    """The folder all weights live under: ``$EX4D_WEIGHTS``, or the user's data folder."""
    chosen = os.environ.get("EX4D_WEIGHTS")
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_data_path("ex4d") / "weights"


@dataclass(frozen=True)
class WanWeights:
    """The files of one Wan model with EX-4D's additions. Nothing is opened yet.

    ``overrides`` replaces single parts of the base by their own file (original layout), as upstream's flags
    ``--vae_path`` and the like do.
    """

    base: Path
    ex4d: Path | None = None
    turbo_lora: Path | None = None
    tokenizer: Path | None = None
    overrides: tuple[tuple[Part, Path], ...] = ()

    @classmethod
    def under(cls, root: Path | None = None) -> WanWeights:
        """The usual places under ``root``: the base in its own folder (either layout), EX-4D and the turbo LoRA."""
        root = root or weights_root()
        folders = [root / WAN_FOLDER, root / f"{WAN_FOLDER}-Diffusers"]
        base = next((f for f in folders if f.is_dir()), root if _looks_like_base(root) else folders[0])
        ex4d = [root / EX4D_FOLDER / EX4D_FILE, root / EX4D_FOLDER / "ex4d.safetensors", root / EX4D_FILE]
        return cls(
            base=base, ex4d=next((f for f in ex4d if f.is_file()), ex4d[0]), turbo_lora=root / TURBO_FOLDER / TURBO_FILE
        )

    def with_part(self, part: Part, path: Path | None) -> WanWeights:
        """The same weights with one part taken from ``path`` (None: unchanged)."""
        return self if path is None else replace(self, overrides=(*self.overrides, (part, path)))

    @property
    def layout(self) -> Layout:
        """Which layout the base has. Raises WeightsError if the folder is missing or holds neither."""
        if not self.base.is_dir():
            raise WeightsError(f"Weights folder {self.base} is missing.", remedy=fetch_weights("wan"))
        if any((self.base / name).exists() for name in _ENTRY_POINTS):
            return "diffusers"
        if _looks_like_base(self.base):
            return "original"
        text = f"{self.base} holds no Wan 2.1 weights in either layout."
        raise WeightsError(text, remedy=fetch_weights("wan"))

    def layout_of(self, part: Part) -> Layout:
        """The layout of one part, which an override may make the original one."""
        path = self.path_of(part)
        return "diffusers" if (path / "config.json").is_file() and path.name in PARTS else "original"

    def path_of(self, part: Part) -> Path:
        """The folder or file that holds ``part``."""
        for name, path in reversed(self.overrides):
            if name == part:
                return path
        if self.layout == "diffusers":
            return self.base / part
        return self.base if part == "transformer" else self.base / PICKLES[part]

    @property
    def tokenizer_path(self) -> Path:
        """The folder of the text encoder's tokenizer."""
        if self.tokenizer is not None:
            return self.tokenizer
        return self.base / ("tokenizer" if self.layout == "diffusers" else "google/umt5-xxl")

    @property
    def trained_names(self) -> list[str]:
        """Checkpoints of ``ex4d train`` that lie in folders below ``trained`` in the weights folder."""
        found = (path for folder in self._trained_folders() for path in folder.glob(f"*/{TRAINED_FILE}"))
        return sorted({path.parent.name for path in found})

    def trained(self, name: str) -> WanWeights:
        """The same weights with the trained checkpoint ``name`` in place of EX-4D's. Raises SettingError."""
        names = self.trained_names
        if name not in names:
            here = f"there are: {', '.join(names)}" if names else "there is none"
            raise SettingError(f"There is no trained checkpoint {name!r} below {self.base.parent / TRAINED}; {here}.")
        paths = (folder / name / TRAINED_FILE for folder in self._trained_folders())
        return replace(self, ex4d=next(path for path in paths if path.is_file()))

    def _trained_folders(self) -> tuple[Path, Path]:
        return self.base.parent / TRAINED, self.base / TRAINED

    def require(self, *, turbo: bool = False, text_encoder: bool = True, adapters: bool = True) -> None:
        """Raise WeightsError naming the first missing file, with the command that gets it.

        ``text_encoder`` and ``adapters`` (EX-4D, turbo) say whether those count: prompts whose embeddings are on disk
        need no encoder, and a conversion no adapter.
        """
        paths = [self.path_of(part) for part in PARTS if text_encoder or part != "text_encoder"]
        absent: list[tuple[Path | None, str]] = [(path, "wan") for path in paths if not path.exists()]
        if adapters and self.ex4d is not None and not self.ex4d.is_file():
            absent.append((self.ex4d, "ex4d"))
        if adapters and turbo and (self.turbo_lora is None or not self.turbo_lora.is_file()):
            absent.append((self.turbo_lora, "turbo"))
        for path, package in absent:
            raise WeightsError(f"Weights {path} are missing.", remedy=fetch_weights(package))


def _looks_like_base(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return (folder / VAE_FILE).is_file() or any(folder.glob("diffusion_pytorch_model*.safetensors"))
