"""The decorators of compiled loops, and where their compiled code is kept.

It is looked for among what came with the package (:mod:`ex4d.compiled.shipped`), then in numba's own cache folder of
this user, and compiled into the latter where neither has it. Either is believed only if all sources are the same
(:mod:`ex4d.compiled.sources`), and numba and llvmlite are; numba sees to the processor and to Python's version.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.registry import cpu_target

from ex4d.compiled import notice, shipped
from ex4d.compiled.sources import source_stamp

R = TypeVar("R")
KERNELS: list[Any] = []
"""All of the modules imported so far, as numba's dispatchers."""
MAY_BORROW = hasattr(cpu_target.options, "_nrt")
"""Whether this numba has its option, which no manual names, to leave references uncounted; else loops are slower."""


def kernel(function: Callable[..., R]) -> Callable[..., R]:
    """Compile a function: without the interpreter lock, dividing by zero as numpy does, its code kept for the next run.

    Arguments have one type each, whoever calls: a second signature is compiled anew, and does not come along.
    """
    return _compiled(function, counted=True)


def inlined(function: Callable[..., R]) -> Callable[..., R]:
    """The same as :func:`borrowing` for a helper that becomes part of the loops it is called in."""
    return _compiled(function, counted=False, forceinline=True)


def borrowing(function: Callable[..., R]) -> Callable[..., R]:
    """The same for a loop, or a helper, that neither makes arrays nor returns any: those it is given are its caller's.

    So none of them has to be counted, which numba does with locked instructions at calls and slices: a fifth of the
    time of drawing an HD guide. What makes an array does not compile.
    """
    return _compiled(function, counted=False)


def _compiled(function: Callable[..., R], *, counted: bool, forceinline: bool = False) -> Callable[..., R]:
    # Said also where it is numba's own choice: else a loop would have what the one has that calls it first.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": forceinline}
    if MAY_BORROW:
        options["_nrt"] = counted
    dispatcher: Any = njit(**options)(function)
    if dispatcher is not function:  # else compiling is switched off, by NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(function)  # where cache=True would put numba's own
        KERNELS.append(dispatcher)
    return dispatcher


class KernelCache(FunctionCache):
    """Numba's cache of one function, read after what came along, and fresh only while all sources are the same."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self.module, self.name = function.__module__, self._impl.filename_base
        """The function's module, and what the names of its files begin with."""
        stamp = source_stamp(self.module), llvmlite.__version__
        self._cache_file = IndexDataCacheFile(self._cache_path, self.name, stamp)
        folder = shipped.folder_of(self.module)
        self._shipped = None if folder is None else IndexDataCacheFile(str(folder), self.name, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for a signature; None if it has to be compiled, which is then said to who listens."""
        target_context.refresh()
        data = None if self._shipped is None else self._shipped.load(self._index_key(sig, shipped.Target()))
        if data is not None:
            return self._impl.rebuild(target_context, data)
        found = super().load_overload(sig, target_context)
        if found is None:
            notice.tell()
        return found
