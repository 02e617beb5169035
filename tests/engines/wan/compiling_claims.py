"""What ``test_compiling`` runs in a process of its own."""

import pytest

torch = pytest.importorskip("torch")

from ex4d.engines.wan.compiling import compiled_by_shape  # noqa: E402

LIMIT = torch._dynamo.config.recompile_limit


def doubled(extra, x, *, more: float = 0.5):
    """Something to compile."""
    return 2 * x + extra + more


def of(count: int):
    return torch.arange(float(count))


def test_more_sizes_than_torch_allows_one_function() -> None:
    run = compiled_by_shape(doubled, shaped=1, backend="eager")
    for count in range(2, LIMIT + 4):
        assert torch.equal(run(1, of(count)), 2 * of(count) + 1.5)
        assert torch.equal(run(1, of(count), more=0.25), 2 * of(count) + 1.25)
    # What the copies are there for: without them the sizes share one limit.
    alone = torch.compile(doubled, fullgraph=True, dynamic=False, backend="eager")
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        for count in range(2, LIMIT + 4):
            alone(1, of(count))


def test_closures_of_one_function_are_compiled_apart() -> None:
    def times(factor: int):
        return lambda x: x * factor

    two, three = (compiled_by_shape(times(factor), shaped=0, backend="eager") for factor in (2, 3))
    for count in range(2, LIMIT + 4):
        assert torch.equal(two(of(count)), 2 * of(count))
        assert torch.equal(three(of(count)), 3 * of(count))
