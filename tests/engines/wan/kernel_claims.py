"""What test_kernels.py runs where Triton interprets (or has a GPU): each operator against the plain functions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from block_claims import check_block
from torch import Tensor

from ex4d.engines.wan import blocks as plain
from ex4d.engines.wan import cross_kernel, fused, kernels
from ex4d.engines.wan.fp8 import quantise_rows

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
INTERPRETED = DEVICE.type == "cpu"
"""The interpreter cuts bfloat16 off where a GPU rounds, and loses carries when it rounds to float8."""
EPS = 1e-6
COLUMNS = [40, 128, 1100]
DTYPES = [torch.bfloat16, torch.float32]


def _random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))
    return numbers.to(device=DEVICE, dtype=dtype)


def _assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal but for the order of sums, which may move a value to the next number of its dtype."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    step = {torch.bfloat16: 2**-7, torch.float32: 4e-6}[found.dtype]
    torch.testing.assert_close(found, expected, rtol=step, atol=step * 0.1)
    if found.dtype == torch.bfloat16 and not INTERPRETED:
        assert (found != expected).float().mean() < 0.02


def _assert_same_rows(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    assert found[0].dtype == expected[0].dtype and found[0].shape == expected[0].shape
    torch.testing.assert_close(found[1], expected[1], rtol=2**-7, atol=0)
    # The plain functions round to bfloat16 before, which takes about one value in thirty to its neighbour.
    different = (found[0].float() != expected[0].float()).float().mean()
    assert different < (0.15 if INTERPRETED else 0.08)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_norm_is_the_plain_norm(columns: int, dtype: torch.dtype) -> None:
    x, shift, scale = _random(1, 3, columns, dtype=dtype), _random(columns), _random(columns, seed=1)
    exact = plain.modulated_norm(x, shift, scale, EPS)
    _assert_same(kernels.norm(x, 1 + scale, shift, EPS, torch.float32), exact)
    expected = exact.bfloat16()
    _assert_same(kernels.norm(x, 1 + scale, shift, EPS, torch.bfloat16), expected)
    _assert_same_rows(kernels.norm_quantise(x, 1 + scale, shift, EPS), quantise_rows(expected))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_residual_and_norm_are_the_plain_ones(columns: int, dtype: torch.dtype, gated: bool) -> None:
    x, more = _random(1, 3, columns, dtype=dtype), _random(1, 3, columns, dtype=torch.bfloat16, seed=1)
    gate, gain, offset = (_random(columns, seed=seed) for seed in (2, 3, 4))
    total = (x.float() + more.float() * (gate if gated else 1)).to(dtype)
    given = (x, more, gate if gated else None, gain, offset, EPS)
    found_total, found = kernels.add_norm(*given, torch.bfloat16)
    normed = F.layer_norm(found_total.float(), (columns,), gain, offset, EPS).bfloat16()
    _assert_same(found_total, total)
    _assert_same(found, normed)
    found_total, rows, scales = kernels.add_norm_quantise(*given)
    _assert_same(found_total, total)
    _assert_same_rows((rows, scales), quantise_rows(normed))


@pytest.mark.parametrize("columns", COLUMNS)
def test_quantised_rows_are_the_plain_ones(columns: int) -> None:
    x, more = (_random(2, 3, columns, dtype=torch.bfloat16, seed=seed) * 4 for seed in (0, 1))
    x[0, 1] = 0
    _assert_same_rows(kernels.quantise(x), quantise_rows(x))
    _assert_same_rows(kernels.add_quantise(x, more), quantise_rows(x + more))
    _assert_same_rows(kernels.gelu_quantise(x), quantise_rows(F.gelu(x, approximate="tanh")))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "channels"), [(2, 16), (3, 12), (5, 128)])
def test_rms_norm_and_rotation_are_the_plain_ones(heads: int, channels: int, dtype: torch.dtype) -> None:
    norms = [torch.nn.RMSNorm(heads * channels, EPS, device=DEVICE) for _ in range(2)]
    for seed, norm in enumerate(norms):
        norm.weight.data = _random(heads * channels, seed=seed)
    inputs = [_random(1, 3, heads * channels, dtype=dtype, seed=seed) for seed in (2, 3)]
    angles = _random(3, 1, channels // 2) * 3
    rope = plain.Rope(angles.cos(), angles.sin())
    found = kernels.rms_rotate(*inputs, norms[0].weight, norms[1].weight, rope.cos, rope.sin, heads, EPS)
    for x, norm, rotated in zip(inputs, norms, found, strict=True):
        normed = plain.rms_norm(x, norm.weight, EPS)
        expected = plain.rotate(normed.unflatten(2, (heads, -1)), rope).flatten(2).to(dtype)
        _assert_same(rotated, expected)
        _assert_same(kernels.rms(x, norm.weight, heads, EPS), normed.to(dtype))


@pytest.mark.parametrize("distinct", [1, 7, 30, 70])
@pytest.mark.parametrize(("heads", "channels"), [(2, 16), (3, 24)])
def test_counted_padding_is_the_padding_attended_to(heads: int, channels: int, distinct: int) -> None:
    tokens, text, image = 37, 70, 19
    q = _random(1, tokens, heads * channels) * 2
    keys = [_random(1, n, heads * channels, seed=i) for i, n in enumerate((text, text, image, image))]
    for t in keys[:2]:
        t[:, distinct:] = t[:, distinct - 1 : distinct].clone()
    split = [t.unflatten(2, (heads, -1)).transpose(1, 2) for t in keys]
    count = torch.tensor([distinct], dtype=torch.int32, device=DEVICE)
    rows = q.unflatten(2, (heads, -1)).transpose(1, 2)
    expected = plain.attend(rows, *split[:2]) + plain.attend(rows, *split[2:])
    found = cross_kernel.cross_attend(q, *split, count)
    # A GPU multiplies float32 with 10 bits of mantissa in Triton's default.
    torch.testing.assert_close(found, expected, rtol=2e-5 if INTERPRETED else 5e-3, atol=2e-5 if INTERPRETED else 5e-3)
    if not INTERPRETED:
        half = cross_kernel.cross_attend(q.bfloat16(), *(t.bfloat16() for t in split), count)
        assert (half.float() - expected).norm() <= 1e-2 * expected.norm()


@pytest.mark.parametrize("fp8", [False, True], ids=["16bit", "8bit"])
@pytest.mark.parametrize("dtype", DTYPES, ids=["bfloat16", "float32"])
def test_a_block_of_kernels_is_the_plain_block(dtype: torch.dtype, fp8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The operators run kernels on CUDA tensors alone; the interpreter's are on the CPU.
    monkeypatch.setattr(fused, "operators", kernels)
    check_block(DEVICE, dtype, fp8=fp8, ffn_rows=0, interpreted=INTERPRETED)
