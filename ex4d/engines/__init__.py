"""Engines: what turns guides into finished frames."""

from ex4d.engines.base import Engine, GenerateRequest, OnFrame
from ex4d.engines.gpu import Gpu, find_gpu
from ex4d.engines.leadin import LeadIn, with_lead_in
from ex4d.engines.registry import cost, engine_names, get_engine, list_engines
from ex4d_ground.costs import Cost
from ex4d_ground.descriptions import EngineInfo, Setting

__all__ = [
    "Cost",
    "Engine",
    "EngineInfo",
    "GenerateRequest",
    "Gpu",
    "LeadIn",
    "OnFrame",
    "Setting",
    "cost",
    "engine_names",
    "find_gpu",
    "get_engine",
    "list_engines",
    "with_lead_in",
]
