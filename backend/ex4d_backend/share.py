"""How much of a whole job is done: its stages weighted by what they cost, never going back, never 1 before the end."""

from __future__ import annotations

from ex4d_backend.store import Job

# Stage names (in lower case, by their beginning) in the order they come, and roughly what share of the job's time each
# takes. A model's denoising is nearly all of a generation; without a model drawing the guides is.
_STAGES: dict[str, tuple[tuple[str, float], ...]] = {
    "BuildMesh": (("reading", 0.15), ("filling", 0.05), ("mesh", 0.8)),
    "RenderGuides": (("reading", 0.1), ("filling", 0.05), ("guides", 0.85)),
    "Generate": (
        ("reading", 0.02),
        ("filling", 0.01),
        ("guides", 0.07),
        ("converting", 0.02),
        ("loading", 0.05),
        ("encoding", 0.08),
        ("denoising", 0.65),
        ("decoding", 0.1),
    ),
    "EstimateDepth": (
        ("depth: hand over", 0.01),
        ("depth: encode", 0.07),
        ("depth: denoise", 0.4),
        ("depth: estimate", 0.25),
        ("depth: align", 0.06),
        ("depth: steady", 0.08),
        ("depth: flicker", 0.03),
        ("depth: edges", 0.05),
        ("depth: save", 0.03),
        ("depth: send", 0.02),
    ),
}
_WITHOUT_A_MODEL = ("preview", 0.1, 0.9)
"""The preview engine's one stage: its name, what lies before it, its weight."""
_LAST_BEFORE_END = 0.99


def share_of(job: Job) -> float:
    """The share (0..1) of ``job`` that is done, by its present stage; not below what ``job.share`` says already."""
    if job.phase == "done":
        return 1.0
    part = min(1.0, job.done / job.total) if job.total else 0.0
    name, before, weight = _WITHOUT_A_MODEL
    if job.stage.lower().startswith(name):
        return min(_LAST_BEFORE_END, max(job.share, before + weight * part))
    before = 0.0
    for name, weight in _STAGES.get(job.kind, ()):
        if job.stage.lower().startswith(name):
            return min(_LAST_BEFORE_END, max(job.share, before + weight * part))
        before += weight
    return job.share  # a stage not named here: stand still rather than guess
