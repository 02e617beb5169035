"""Depth estimators as the panel shows them: what each is, its licence, and the words for where a lens came from."""

from __future__ import annotations

from ex4d_protocol.messages import Capabilities, EngineSpec, EstimatorSpec

from . import session

RESEARCH_ONLY = "RESEARCH ONLY"


def key(name: str) -> str:
    """The name under which an estimator's settings are kept beside the engines'."""
    return f"depth {name}"


def as_engines(capabilities: Capabilities) -> tuple[EngineSpec, ...]:
    """The estimators in the form that settings are kept and drawn in."""
    return tuple(as_engine(spec) for spec in capabilities.estimators)


def as_engine(spec: EstimatorSpec) -> EngineSpec:
    """One of them."""
    return EngineSpec(name=key(spec.name), title=spec.title, settings=spec.settings)


def chosen(name: str) -> EstimatorSpec | None:
    """The estimator of that name, the backend's default for "", None if it has none such."""
    known = session.get().capabilities.estimators
    return next((spec for spec in known if spec.name == name or not name), None)


def licence_of(spec: EstimatorSpec) -> str:
    """The terms, with the warning that goes before any choice."""
    licence = spec.licence.removesuffix(f" - {RESEARCH_ONLY}") or "licence unknown"
    return f"{RESEARCH_ONLY}: {licence}" if spec.research_only else licence


def lens_words(source: str, fov_deg: float) -> str:
    """Where a focal length came from, from the backend's ``intrinsics_source``."""
    if source.startswith("default"):
        return f"assumed {fov_deg:.1f} degrees"
    if source.startswith("metadata"):
        return f"from {source}"
    if source.startswith("given"):
        return "as given" + source.removeprefix("given")
    return f"from the estimator {source.removeprefix('estimated by ')}".strip()
