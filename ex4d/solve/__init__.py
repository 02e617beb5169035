"""The camera that filmed a clip, estimated from its pictures and depth."""

from ex4d.solve.bundle import FocalFreedom
from ex4d.solve.solve import Solved, solve_camera
from ex4d.solve.verdict import Verdict

__all__ = ["FocalFreedom", "Solved", "Verdict", "solve_camera"]
