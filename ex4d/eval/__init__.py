"""Evaluation: how much of what a guide or a result shows is true, measured on scenes with several cameras."""

from ex4d.eval.dataset import Scene, Target, find_scenes, load_scene, save_scene_info, save_view
from ex4d.eval.extras import Extras, scene_extras, thickness_spread
from ex4d.eval.geometry import FrameScore, TargetScore, VariantScores, evaluate_variants
from ex4d.eval.limits import LimitScore, best_thickness, scene_limits
from ex4d.eval.memory import MemoryScore, known_over_time, known_views, memory_scores
from ex4d.eval.metrics import MaskScores, mask_scores, psnr, ssim
from ex4d.eval.perturb import PERTURBATIONS, perturbed
from ex4d.eval.report import html_report, markdown_tables
from ex4d.eval.results import ResultScores, compare_results, write_results
from ex4d.eval.run import Evaluation, evaluate, write_evaluation
from ex4d.eval.stability import Stability, flow_stability
from ex4d.eval.summary import angle_table, merged, summarise
from ex4d.eval.variants import Variant, default_ablation, main_variants
from ex4d.eval.visibility import Truth, true_visibility

__all__ = [
    "PERTURBATIONS",
    "Evaluation",
    "Extras",
    "FrameScore",
    "LimitScore",
    "MaskScores",
    "MemoryScore",
    "ResultScores",
    "Scene",
    "Stability",
    "Target",
    "TargetScore",
    "Truth",
    "Variant",
    "VariantScores",
    "angle_table",
    "best_thickness",
    "compare_results",
    "default_ablation",
    "evaluate",
    "evaluate_variants",
    "find_scenes",
    "flow_stability",
    "html_report",
    "known_over_time",
    "known_views",
    "load_scene",
    "main_variants",
    "markdown_tables",
    "mask_scores",
    "memory_scores",
    "merged",
    "perturbed",
    "psnr",
    "save_scene_info",
    "save_view",
    "scene_extras",
    "scene_limits",
    "ssim",
    "summarise",
    "thickness_spread",
    "true_visibility",
    "write_evaluation",
    "write_results",
]
