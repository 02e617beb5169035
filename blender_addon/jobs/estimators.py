"""Depth estimators as the panel shows them: what each is, its licence, and the words for where a lens came from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ex4d_ground.cameras import is_assumed
from ex4d_ground.descriptions import EngineInfo, EstimatorInfo

RESEARCH_ONLY = "RESEARCH ONLY"


def key(name: str) -> str:
    """The name under which an estimator's settings are kept beside the engines'."""
    return f"depth {name}"


def as_engine(spec: EstimatorInfo) -> EngineInfo:
    """An estimator in the form that settings are kept and drawn in."""
    return EngineInfo(name=key(spec.name), title=spec.title, settings=spec.settings)


def licence_of(spec: EstimatorInfo, settings: Mapping[str, Any] = MappingProxyType({})) -> str:
    """The terms, with the warning that goes before any choice where it, or what ``settings`` choose, is restricted."""
    licence = spec.licence or "licence unknown"
    return f"{RESEARCH_ONLY}: {licence}" if spec.restricts(settings) else licence


def entry_words(spec: EstimatorInfo) -> str:
    """An estimator in a list to choose from: its name, its terms, and whether the backend has it."""
    title, terms = spec.title or spec.name, RESEARCH_ONLY if spec.research_only else spec.licence
    return f"{title}  ({terms})" if spec.available else f"{title}  ({terms}, not installed)"


def lens_words(source: str, fov_deg: float) -> str:
    """Where a focal length came from, from the backend's ``intrinsics_source``."""
    if is_assumed(source):
        return f"assumed {fov_deg:.1f} degrees"
    if source.startswith("metadata"):
        return f"from {source}"
    if source.startswith("given"):
        return "as given" + source.removeprefix("given")
    return f"from the estimator {source.removeprefix('estimated by ')}".strip()
