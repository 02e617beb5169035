"""Engines: what turns guides into finished frames."""

from ex4d.generate.base import Engine, EngineInfo, GenerateRequest, OnFrame, Setting
from ex4d.generate.costs import Cost, cost
from ex4d.generate.gpu import Gpu, find_gpu
from ex4d.generate.leadin import LeadIn, with_lead_in
from ex4d.generate.registry import engine_names, get_engine, list_engines

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
