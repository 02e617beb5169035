"""How much of a whole job is done: its stages weighted by what they cost, never going back, never 1 before the end."""

from ex4d_backend.job_rows import Job
from ex4d_ground import stages

# The stages in the order they come, and roughly what share of the job's time each takes. A model's denoising is nearly
# all of a generation; without a model drawing the guides is.
_CLIP = (stages.READING, stages.READING_DEPTH)
_WEIGHTS: dict[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "BuildMesh": ((_CLIP, 0.15), ((stages.FILLING,), 0.05), ((stages.MESH,), 0.8)),
    "RenderGuides": ((_CLIP, 0.1), ((stages.FILLING,), 0.05), ((stages.GUIDES,), 0.85)),
    "Generate": (
        (_CLIP, 0.02),
        ((stages.FILLING,), 0.01),
        ((stages.GUIDES,), 0.07),
        ((stages.LOADING,), 0.07),
        ((stages.ENCODING,), 0.08),
        ((stages.DENOISING,), 0.65),
        ((stages.DECODING,), 0.09),
        ((stages.LAYERS,), 0.01),
    ),
    "EstimateDepth": (
        ((stages.DEPTH_HAND_OVER,), 0.01),
        ((stages.DEPTH_ENCODE,), 0.07),
        ((stages.DEPTH_DENOISE,), 0.4),
        ((stages.DEPTH_ESTIMATE,), 0.25),
        ((stages.DEPTH_ALIGN,), 0.06),
        ((stages.DEPTH_STEADY,), 0.08),
        ((stages.DEPTH_FLICKER,), 0.03),
        ((stages.DEPTH_EDGES,), 0.05),
        ((stages.DEPTH_SAVE,), 0.03),
        ((stages.DEPTH_SEND,), 0.02),
    ),
    "SolveCamera": (
        (_CLIP, 0.1),
        ((stages.FILLING,), 0.02),
        ((stages.FOLLOWING,), 0.35),
        ((stages.PLACING,), 0.3),
        ((stages.LOOKING_AGAIN,), 0.2),
    ),
    "WebPage": ((_CLIP, 0.1), ((stages.FILLING,), 0.02), ((stages.WEB_TAKE,), 0.25), ((stages.WEB,), 0.6)),
    "ExportTake": (((stages.EXPORT,), 0.98),),
    "FetchWeights": (((stages.ASKING_HUB,), 0.01), ((stages.FETCHING,), 0.98)),
}
_WITHOUT_A_MODEL = {stages.KNOWN: (0.1, 0.05), stages.PLACE: (0.15, 0.1), stages.PREVIEW: (0.25, 0.75)}
"""Of the stages of a preview: what lies before each, and its weight."""
_LAST_BEFORE_END = 0.99


def share_of(job: Job) -> float:
    """The share (0..1) of ``job`` that is done, by its present stage; not below what ``job.share`` says already."""
    if job.phase == "done":
        return 1.0
    part = min(1.0, job.done / job.total) if job.total else 0.0
    if job.stage in _WITHOUT_A_MODEL:
        before, weight = _WITHOUT_A_MODEL[job.stage]
        return min(_LAST_BEFORE_END, max(job.share, before + weight * part))
    before = 0.0
    for names, weight in _WEIGHTS.get(job.kind, ()):
        if job.stage.startswith(names):
            return min(_LAST_BEFORE_END, max(job.share, before + weight * part))
        before += weight
    return job.share  # a stage not named here: stand still rather than guess
