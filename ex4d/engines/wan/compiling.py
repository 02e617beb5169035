"""Compiled programs for clips of any number of sizes.

``torch.compile`` with fixed shapes makes one program for every shape it meets, keeps them all with the function's code
and gives up with an error at the ninth (``torch._dynamo.config.recompile_limit``). A process that stays warm meets more
sizes than that: other clips, windows that end early, buckets of training clips, other numbers of GPUs. So each shape
gets a copy of the function's code, whose programs are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor


def compiled_by_shape(
    function: Callable[..., Tensor], *, shaped: int, backend: str = "inductor"
) -> Callable[..., Tensor]:
    """``function`` compiled as a whole, with fixed shapes, apart for each shape of its argument number ``shaped``.

    ``function`` is a plain Python function. Two calls of this give programs that know nothing of each other either.
    """
    programs: dict[torch.Size, Callable[..., Tensor]] = {}

    def run(*args: Any, **kwargs: Any) -> Tensor:
        shape = args[shaped].shape
        if shape not in programs:
            programs[shape] = torch.compile(_copy(function), fullgraph=True, dynamic=False, backend=backend)
        return programs[shape](*args, **kwargs)

    return run


def _copy(function: Any) -> FunctionType:
    """The same function with a code object of its own, by which torch knows what it has compiled."""
    code = function.__code__.replace()
    copy = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
