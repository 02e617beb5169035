"""What the training's kernels must do; run by test_train_kernels.py, in Triton's interpreter or on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ex4d.engines.wan.blocks import rms_rotate
from ex4d.train import kernels, operators

EPS = 1e-6
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


def _assert_near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    far = (found.float() - expected.float()).norm() / expected.float().norm()
    assert far < (1e-5 if dtype == torch.float32 else 5e-3)


DOTTED = [torch.float32] if DEVICE.type == "cpu" else [torch.float32, torch.bfloat16]
"""The interpreter multiplies bfloat16 by its bits."""


@pytest.mark.parametrize("dtype", DOTTED)
@pytest.mark.parametrize(("rows", "columns", "rank"), [(70, 130, 4), (64, 256, 16), (5, 48, 36)])
def test_a_low_rank_product_is_added_in_place(rows: int, columns: int, rank: int, dtype: torch.dtype) -> None:
    y, wide = _random(rows, columns, seed=0, dtype=dtype), _random(rows, 2 * rank, seed=1, dtype=dtype)
    up = _random(columns, rank, seed=2, dtype=dtype)
    low = wide[:, rank:]  # a part of a wider one, as the layers that share an input have them
    expected = y.double() + low.double() @ up.double().t()
    assert kernels.add_low_rank(y, low, up.t()) is y
    _assert_near(y, expected, dtype)
    down = _random(rank, columns, seed=3, dtype=dtype)
    expected = y.double() + low.double() @ down.double()
    _assert_near(kernels.add_low_rank(y, low, down), expected, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("batch", "heads", "channels"), [(1, 2, 16), (2, 3, 12), (2, 5, 128)])
def test_the_gradient_of_norm_and_rotation_is_autograds(
    batch: int, heads: int, channels: int, dtype: torch.dtype
) -> None:
    wide, tokens = heads * channels, 3
    q, k = (_random(batch, tokens, wide, seed=s, dtype=dtype).requires_grad_() for s in (0, 1))
    weights = [_random(wide, seed=s) for s in (2, 3)]
    angles = _random(tokens, 1, channels // 2, seed=4) * 3
    given = *weights, angles.cos(), angles.sin()
    gradients = [_random(batch, tokens, wide, seed=s, dtype=dtype) for s in (5, 6)]
    out = rms_rotate(q, k, *given, heads, EPS)
    expected = torch.autograd.grad(out, (q, k), gradients)
    q, k = q.detach(), k.detach()
    for found in (
        kernels.rms_rotate_backward(*gradients, q, k, *given, heads=heads, eps=EPS),
        operators.rms_rotate_backward(*gradients, q, k, *given, heads, EPS),
    ):
        for one, other in zip(found, expected, strict=True):
            _assert_near(one, other, dtype)
