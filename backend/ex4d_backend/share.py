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
}
_LAST_BEFORE_END = 0.99


def share_of(job: Job) -> float:
    """The share (0..1) of ``job`` that is done, by its present stage; not below what ``job.share`` says already."""
    if job.phase == "done":
        return 1.0
    before = 0.0
    for name, weight in _STAGES.get(job.kind, ()):
        if job.stage.lower().startswith(name):
            part = min(1.0, job.done / job.total) if job.total else 0.0
            return min(_LAST_BEFORE_END, max(job.share, before + weight * part))
        before += weight
    return job.share  # a stage not named here: stand still rather than guess
