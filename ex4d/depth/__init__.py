"""Depth and intrinsics for any clip: estimators behind one interface, steadying, conversions, edge care."""

from ex4d.clip.lens import from_film_equivalent, read_lens
from ex4d.depth.align import Alignment, align
from ex4d.depth.base import DepthEstimate, FrameSource, MemoryEstimate
from ex4d.depth.convert import ConvertOptions, disparity_to_depth, file_to_depth, values_to_depth
from ex4d.depth.edges import EdgeOptions, GuidedFilter, align_edges, clamp_far, fill_frame
from ex4d.depth.estimator import DepthEstimator
from ex4d.depth.external import ExternalEstimator, ExternalTool
from ex4d.depth.frames import ArrayFrames, StreamedFrames, open_frames
from ex4d.depth.job import DepthSummary, estimate_to_file
from ex4d.depth.lens import from_blender_camera, from_lens, resolve_lens
from ex4d.depth.registry import DEFAULT_ESTIMATOR, get_estimator, list_estimators
from ex4d.depth.run import DepthOptions, DepthReport, EstimatedDepth, depth_from_file, estimate_depth, to_clip
from ex4d.depth.sharpen import sharpen_edges
from ex4d.depth.store import DepthFile, load_depth, save_depth
from ex4d.depth.temporal import TemporalOptions, flicker, steady
from ex4d_ground.descriptions import MEANINGS, EstimatorInfo, Meaning

__all__ = [
    "DEFAULT_ESTIMATOR",
    "MEANINGS",
    "Alignment",
    "ArrayFrames",
    "ConvertOptions",
    "DepthEstimate",
    "DepthEstimator",
    "DepthFile",
    "DepthOptions",
    "DepthReport",
    "DepthSummary",
    "EdgeOptions",
    "EstimatedDepth",
    "EstimatorInfo",
    "ExternalEstimator",
    "ExternalTool",
    "FrameSource",
    "GuidedFilter",
    "Meaning",
    "MemoryEstimate",
    "StreamedFrames",
    "TemporalOptions",
    "align",
    "align_edges",
    "clamp_far",
    "depth_from_file",
    "disparity_to_depth",
    "estimate_depth",
    "estimate_to_file",
    "file_to_depth",
    "fill_frame",
    "flicker",
    "from_blender_camera",
    "from_film_equivalent",
    "from_lens",
    "get_estimator",
    "list_estimators",
    "load_depth",
    "open_frames",
    "read_lens",
    "resolve_lens",
    "save_depth",
    "sharpen_edges",
    "steady",
    "to_clip",
    "values_to_depth",
]
