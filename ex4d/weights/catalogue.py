"""What can be fetched: repositories, the files wanted of each, where they go, licences. Imports nothing heavy."""

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ex4d.weights import layout
from ex4d.weights.layout import PARTS, weights_root
from ex4d_ground.descriptions import PackageInfo
from ex4d_ground.errors import SettingError
from ex4d_ground.remedies import Remedy, fetch_weights, run_command

HUB = "https://huggingface.co"
"""Where the repositories are, unless $HF_ENDPOINT says otherwise."""
_APACHE = "Apache-2.0"
_CC_BY_NC = "CC BY-NC 4.0"


@dataclass(frozen=True)
class Package:
    """One set of weights as people ask for it."""

    name: str
    title: str
    repository: str
    licence: str
    gigabytes: float
    """About how much is downloaded, for people; the exact number comes from the hub."""
    patterns: tuple[str, ...]
    """Which of the repository's files are needed."""
    essential: tuple[str, ...] = ()
    """Files (or patterns) without which it cannot be used; what ``list`` looks for when there is no record. Empty: all
    patterns."""
    folder: str = ""
    """Where it goes, below the weights folder; empty: called as the repository is."""
    optional: bool = False
    research_only: bool = False
    """True if the licence forbids commercial production."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of files whose content is known for good: they decide, whatever the hub says."""

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
        return (root or weights_root()) / (self.folder or self.repository.rpartition("/")[2])

    def wants(self, name: str) -> bool:
        """Whether the repository's file ``name`` is needed."""
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.patterns)

    def is_there(self, root: Path | None = None) -> bool:
        """Whether the essential files lie in their place (their content is for ``verify``)."""
        folder = self.path(root)
        return folder.is_dir() and all(any(folder.glob(pattern)) for pattern in self.essential or self.patterns)


_WAN_PICKLES = (layout.T5_FILE, layout.VAE_FILE, layout.CLIP_FILE)
_DEPTH_ANYTHING = {"small": (_APACHE, 0.1), "base": (_CC_BY_NC, 0.39), "large": (_CC_BY_NC, 1.34)}

PACKAGES: tuple[Package, ...] = (
    Package(
        "wan", "Wan 2.1 image-to-video 14B 480P, the base model (original layout)",
        "Wan-AI/Wan2.1-I2V-14B-480P", _APACHE, 82,
        ("diffusion_pytorch_model*", "config.json", *_WAN_PICKLES, "google/umt5-xxl/*"),
        ("diffusion_pytorch_model*.safetensors", *_WAN_PICKLES, "google/umt5-xxl"), layout.WAN_FOLDER,
    ),
    Package(
        "wan-diffusers", "the same base model in the -Diffusers layout (either of the two is enough)",
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", _APACHE, 90,
        ("model_index.json", *(f"{part}/*" for part in (*PARTS, "tokenizer"))),
        ("model_index.json", *PARTS, "tokenizer"), f"{layout.WAN_FOLDER}-Diffusers", optional=True,
    ),
    Package(
        "ex4d", "EX-4D: LoRA and geometry encoder",
        "yihouxiang/EX-4D", _APACHE, 0.4, (layout.EX4D_FILE, "*.safetensors"), ("ex4d.*",), layout.EX4D_FOLDER,
    ),
    Package(
        "turbo", "lightx2v's 4-step distillation LoRA, for the experimental turbo mode",
        "lightx2v/Wan2.1-Distill-Loras", f"{_APACHE} as recorded; see the repository's card", 0.74,
        (layout.TURBO_FILE,), folder=layout.TURBO_FOLDER, optional=True,
    ),
    *(
        Package(
            f"depth-anything-v2-{size}", f"Depth Anything V2 {size.title()}, for the depth estimator depth-anything-v2",
            f"depth-anything/Depth-Anything-V2-{size.title()}-hf", licence, gigabytes,
            ("config.json", "preprocessor_config.json", "model.safetensors"),
            optional=True, research_only=licence == _CC_BY_NC,
        )
        for size, (licence, gigabytes) in _DEPTH_ANYTHING.items()
    ),
    Package(
        "depth-anything-3", "Depth Anything 3 Base, for the depth estimator depth-anything-3",
        "depth-anything/DA3-BASE", _APACHE, 0.5, ("config.json", "model.safetensors"), optional=True,
    ),
    Package(
        "depth-pro", "Depth Pro, for the depth estimator of that name",
        "apple/DepthPro-hf", "Apple machine learning research model licence", 3.8,
        ("config.json", "preprocessor_config.json", "model*.safetensors*"),
        ("config.json", "preprocessor_config.json", "model*.safetensors"), optional=True, research_only=True,
    ),
    Package(
        "depthcrafter", "DepthCrafter's network, for the depth estimator of that name (with stable-video-diffusion)",
        "tencent/DepthCrafter", "Tencent licence, academic and research use", 3.1,
        ("config.json", "diffusion_pytorch_model*.safetensors*"),
        ("config.json", "diffusion_pytorch_model*.safetensors"), optional=True, research_only=True,
    ),
    Package(
        "stable-video-diffusion", "the parts of Stable Video Diffusion that depthcrafter needs",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "Stability AI community licence (free below a yearly revenue that it states)", 1.5,
        ("vae/config.json", "vae/*.fp16.safetensors", "image_encoder/config.json", "image_encoder/*.fp16.safetensors",
         "scheduler/*", "feature_extractor/*"),
        ("vae/*.safetensors", "image_encoder/*.safetensors", "scheduler/scheduler_config.json",
         "feature_extractor/preprocessor_config.json"), optional=True,
    ),
)  # fmt: skip


def fetch_remedy(*wanted: tuple[str, Path]) -> Remedy:
    """What brings each repository to its folder: our packages where the folders are the usual ones, else a command."""
    ours = [_usual(repository, folder) for repository, folder in wanted]
    names = [package.name for package in ours if package is not None]
    if len(names) == len(wanted):
        return fetch_weights(*names)
    commands = (
        f"hf download {repository} --local-dir '{folder}'" if package is None else package.command
        for package, (repository, folder) in zip(ours, wanted, strict=True)
    )
    return run_command(" && ".join(commands))


def _usual(repository: str, folder: Path) -> Package | None:
    """The package of that repository if ``folder`` is its usual place."""
    return next((p for p in PACKAGES if p.repository == repository and p.path() == folder), None)


def describe_packages(root: Path | None = None) -> list[PackageInfo]:
    """Every package as it is shown before anyone agrees to fetch it, and whether it is here."""
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    return [
        PackageInfo(
            name=package.name,
            title=package.title,
            licence=package.licence,
            research_only=package.research_only,
            size_bytes=int(package.gigabytes * 1e9),
            source=f"{endpoint}/{package.repository}",
            there=package.is_there(root),
        )
        for package in PACKAGES
    ]


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
