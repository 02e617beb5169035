"""What can be fetched: repositories, the files wanted of each, where they go, licences. Imports nothing heavy."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ex4d.errors import SettingError
from ex4d.weights.layout import (
    CLIP_FILE,
    EX4D_FILE,
    EX4D_FOLDER,
    T5_FILE,
    TURBO_FILE,
    TURBO_FOLDER,
    VAE_FILE,
    WAN_FOLDER,
    weights_root,
)

_APACHE = "Apache-2.0"
_CC_BY_NC = "CC BY-NC 4.0"
_HUB_MODEL = ("config.json", "preprocessor_config.json", "model.safetensors")


@dataclass(frozen=True)
class Package:
    """One set of weights as people ask for it."""

    name: str
    title: str
    repository: str
    folder: str
    """Where it goes, below the weights folder."""
    patterns: tuple[str, ...]
    """Which of the repository's files are needed."""
    essential: tuple[str, ...]
    """Files (or patterns) without which it cannot be used; what ``list`` looks for when there is no record."""
    licence: str
    gigabytes: float
    """About how much is downloaded, for people; the exact number comes from the hub."""
    optional: bool = False
    research_only: bool = False
    """True if the licence forbids commercial production."""

    @property
    def licence_text(self) -> str:
        """The licence as it is shown wherever the weights are offered."""
        return f"{self.licence} - RESEARCH ONLY" if self.research_only else self.licence

    @property
    def command(self) -> str:
        """What fetches it."""
        return f"ex4d weights fetch {self.name}"

    def path(self, root: Path | None = None) -> Path:
        """Its folder."""
        return (root or weights_root()) / self.folder

    def wants(self, name: str) -> bool:
        """Whether the repository's file ``name`` is needed."""
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.patterns)

    def is_there(self, root: Path | None = None) -> bool:
        """Whether the essential files lie in their place (their content is for ``verify``)."""
        folder = self.path(root)
        return folder.is_dir() and all(any(folder.glob(pattern)) for pattern in self.essential)


PACKAGES: tuple[Package, ...] = (
    Package(
        "wan",
        "Wan 2.1 image-to-video 14B 480P, the base model (original layout)",
        "Wan-AI/Wan2.1-I2V-14B-480P",
        WAN_FOLDER,
        ("diffusion_pytorch_model*", "config.json", T5_FILE, VAE_FILE, CLIP_FILE, "google/umt5-xxl/*"),
        ("diffusion_pytorch_model*.safetensors", VAE_FILE, T5_FILE, CLIP_FILE, "google/umt5-xxl"),
        _APACHE,
        82,
    ),
    Package(
        "wan-diffusers",
        "the same base model in the -Diffusers layout (either of the two is enough)",
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        f"{WAN_FOLDER}-Diffusers",
        ("model_index.json", *(f"{part}/*" for part in ("transformer", "vae", "text_encoder", "image_encoder")),
         "tokenizer/*"),
        ("model_index.json", "transformer", "vae", "text_encoder", "image_encoder", "tokenizer"),
        _APACHE,
        90,
        optional=True,
    ),
    Package(
        "ex4d",
        "EX-4D: LoRA and geometry encoder",
        "yihouxiang/EX-4D",
        EX4D_FOLDER,
        (EX4D_FILE, "*.safetensors"),
        ("ex4d.*",),
        _APACHE,
        0.4,
    ),
    Package(
        "turbo",
        "lightx2v's 4-step distillation LoRA, for the experimental turbo mode",
        "lightx2v/Wan2.1-Distill-Loras",
        TURBO_FOLDER,
        (TURBO_FILE,),
        (TURBO_FILE,),
        f"{_APACHE} as recorded; see the repository's card",
        0.74,
        optional=True,
    ),
)  # fmt: skip

_DEPTH_ANYTHING = {"small": (_APACHE, 0.1), "base": (_CC_BY_NC, 0.39), "large": (_CC_BY_NC, 1.34)}

PACKAGES += (
    *(
        Package(
            f"depth-anything-v2-{size}",
            f"Depth Anything V2 {size.title()}, for the depth estimator depth-anything-v2",
            f"depth-anything/Depth-Anything-V2-{size.title()}-hf",
            f"Depth-Anything-V2-{size.title()}-hf",
            _HUB_MODEL,
            _HUB_MODEL,
            licence,
            gigabytes,
            optional=True,
            research_only=licence == _CC_BY_NC,
        )
        for size, (licence, gigabytes) in _DEPTH_ANYTHING.items()
    ),
    Package(
        "depth-anything-3",
        "Depth Anything 3 Base, for the depth estimator depth-anything-3",
        "depth-anything/DA3-BASE",
        "DA3-BASE",
        ("config.json", "model.safetensors"),
        ("config.json", "model.safetensors"),
        _APACHE,
        0.5,
        optional=True,
    ),
    Package(
        "depth-pro",
        "Depth Pro, for the depth estimator of that name",
        "apple/DepthPro-hf",
        "DepthPro-hf",
        ("config.json", "preprocessor_config.json", "model*.safetensors*"),
        ("config.json", "preprocessor_config.json", "model*.safetensors"),
        "Apple machine learning research model licence",
        3.8,
        optional=True,
        research_only=True,
    ),
    Package(
        "depthcrafter",
        "DepthCrafter's network, for the depth estimator of that name (with stable-video-diffusion)",
        "tencent/DepthCrafter",
        "DepthCrafter",
        ("config.json", "diffusion_pytorch_model*.safetensors*"),
        ("config.json", "diffusion_pytorch_model*.safetensors"),
        "Tencent licence, academic and research use",
        3.1,
        optional=True,
        research_only=True,
    ),
    Package(
        "stable-video-diffusion",
        "the parts of Stable Video Diffusion that depthcrafter needs",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "stable-video-diffusion-img2vid-xt",
        ("vae/config.json", "vae/*.fp16.safetensors", "image_encoder/config.json", "image_encoder/*.fp16.safetensors",
         "scheduler/*", "feature_extractor/*"),
        ("vae/*.safetensors", "image_encoder/*.safetensors", "scheduler/scheduler_config.json",
         "feature_extractor/preprocessor_config.json"),
        "Stability AI community licence (free below a yearly revenue that it states)",
        1.5,
        optional=True,
    ),
)  # fmt: skip


def fetch_command(repository: str, folder: Path) -> str:
    """The one command that brings ``repository`` to ``folder``: ours where the folder is its usual one."""
    for package in PACKAGES:
        if package.repository == repository and package.path() == folder:
            return package.command
    return f"hf download {repository} --local-dir '{folder}'"


def find_package(name: str) -> Package:
    """The package of that name. Raises SettingError."""
    for package in PACKAGES:
        if package.name == name:
            return package
    raise SettingError(f"There are no weights {name!r}; choose one of {', '.join(p.name for p in PACKAGES)}.")


def find_packages(names: Iterable[str]) -> list[Package]:
    """The packages of those names; none given means all that are not optional. Raises SettingError."""
    chosen = [find_package(name) for name in names]
    return chosen or [package for package in PACKAGES if not package.optional]
