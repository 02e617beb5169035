"""Loops that make no array count no references to those they are given."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError

from ex4d.compiled import kernel as decorators


def compiled(function: Any, decorator: Any, *, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function compiled anew, without being kept or listed."""
    monkeypatch.setattr(decorators, "KernelCache", lambda _: decorators.FunctionCache(function))
    monkeypatch.setattr(decorators, "KERNELS", [])
    dispatcher = decorator(function)
    dispatcher._cache.disable()
    return dispatcher


def sums(rows: Any, out: Any) -> None:
    for j in range(len(rows)):
        row = rows[j, 1:]
        for i in range(len(row)):
            out[j] += row[i]


def test_a_borrowing_loop_counts_no_references_and_does_the_same(monkeypatch):
    rows, found, counted = np.arange(12.0).reshape(3, 4), np.zeros(3), np.zeros(3)
    borrowing = compiled(sums, decorators.borrowing, monkeypatch=monkeypatch)
    counting = compiled(sums, decorators.kernel, monkeypatch=monkeypatch)
    borrowing(rows, found)
    counting(rows, counted)
    np.testing.assert_array_equal(found, rows[:, 1:].sum(axis=1))
    np.testing.assert_array_equal(found, counted)
    codes = ["".join(each.inspect_llvm().values()) for each in (counting, borrowing)]
    assert ["@NRT_" in code for code in codes] == [True, False]


def test_a_borrowing_loop_leaves_its_arrays_with_their_owner(monkeypatch):
    borrowing = compiled(sums, decorators.borrowing, monkeypatch=monkeypatch)
    rows, out = np.ones((3, 4)), np.zeros(3)
    before = [sys.getrefcount(each) for each in (rows, out)]
    for _ in range(100):
        borrowing(rows, out)
    assert [sys.getrefcount(each) for each in (rows, out)] == before
    assert (out == 300).all()


def test_a_borrowing_loop_that_makes_an_array_does_not_compile(monkeypatch):
    def makes(out: Any) -> None:
        out[:] = np.empty(len(out))

    with pytest.raises(TypingError, match="array"):
        compiled(makes, decorators.borrowing, monkeypatch=monkeypatch)(np.zeros(3))
    compiled(makes, decorators.kernel, monkeypatch=monkeypatch)(np.zeros(3))


def test_a_kernel_that_a_borrowing_loop_calls_may_make_arrays(monkeypatch):
    def middle(values: Any) -> float:
        return np.sort(values)[len(values) // 2]

    inner = compiled(middle, decorators.kernel, monkeypatch=monkeypatch)

    def outer(values: Any, out: Any) -> None:
        out[0] = inner(values)

    out = np.zeros(1)
    compiled(outer, decorators.borrowing, monkeypatch=monkeypatch)(np.array([3.0, 1.0, 2.0]), out)
    assert out[0] == 2.0


def test_a_numba_without_that_option_counts_and_does_the_same(monkeypatch):
    monkeypatch.setattr(decorators, "MAY_BORROW", False)
    borrowing = compiled(sums, decorators.borrowing, monkeypatch=monkeypatch)
    found = np.zeros(3)
    borrowing(np.ones((3, 4)), found)
    assert (found == 3).all() and "@NRT_" in "".join(borrowing.inspect_llvm().values())
