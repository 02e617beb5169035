"""The fused block by the operators' plain functions: its wiring, in 16 and 8 bits, whole and in parts."""

from __future__ import annotations

import pytest
import torch
from block_claims import CHANNELS, DIM, TOKENS, check_block, make_block, make_cross, numbers
from wan_golden import Golden

from ex4d.engines.wan import fused
from ex4d.engines.wan.blocks import Rope, Rows, in_parts
from ex4d.engines.wan.denoiser import count_distinct
from ex4d.engines.wan.fp8 import FP8_NAMES, Fp8Linear
from ex4d.engines.wan.loading import TransformerPlan, load_transformer
from ex4d.weights.components import open_part

CPU = torch.device("cpu")


@pytest.mark.parametrize("ffn_rows", [0, 20])
@pytest.mark.parametrize("fp8", [False, True], ids=["16bit", "8bit"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def test_the_fused_block_is_the_plain_block(dtype: torch.dtype, fp8: bool, ffn_rows: int) -> None:
    check_block(CPU, dtype, fp8=fp8, ffn_rows=ffn_rows)


@pytest.mark.parametrize("distinct", [None, 5], ids=["all text", "counted text"])
@pytest.mark.parametrize("fp8", [False, True], ids=["16bit", "8bit"])
def test_both_halves_compile_to_one_graph_each(fp8: bool, distinct: int | None) -> None:
    """Without a break: the compiler sees the operators, the loop over parts and the optional count."""
    torch._dynamo.reset()
    first, second = (
        torch.compile(half, fullgraph=True, dynamic=False, backend="aot_eager")
        for half in (fused.self_attention, fused.finish)
    )
    block = make_block(CPU, fp8=fp8)
    x = numbers(1, TOKENS, DIM, dtype=torch.bfloat16, device=CPU)
    modulation = numbers(1, 6, DIM, dtype=torch.float32, device=CPU)
    angles = numbers(TOKENS, 1, CHANNELS // 2, dtype=torch.float32, device=CPU)
    rope, cross = Rope(angles.cos(), angles.sin()), make_cross(CPU)
    if distinct is not None:
        cross = cross._replace(distinct=torch.tensor([distinct], dtype=torch.int32))
    with torch.no_grad():
        h = first(block, x, modulation, rope, torch.bfloat16)
        found = second(block, x, h, modulation, cross, 20)
        expected = fused.finish(block, x, h, modulation, cross, 0)
    assert (found - expected).norm() <= 1e-2 * expected.norm()


@pytest.mark.parametrize(("used", "expected"), [(0, 1), (1, 2), (6, 7), (9, 10), (10, 10)])
def test_text_tokens_that_only_repeat_the_last_are_counted(used: int, expected: int) -> None:
    context = torch.zeros(1, 10, 4)
    context[:, :used] = numbers(1, used, 4, dtype=torch.float32, device=CPU)
    assert count_distinct(context).tolist() == [expected]


def test_blocks_without_a_norm_before_cross_attention_are_not_fused() -> None:
    block = make_block(CPU, fp8=False)
    assert fused.fits([block])
    block.norm2 = torch.nn.Identity()
    assert not fused.fits([block])


@pytest.mark.parametrize("size", [0, 1, 7, 48, 100])
def test_parts_give_the_whole(size: int) -> None:
    values = numbers(1, 48, DIM, dtype=torch.float32, device=CPU)
    sizes: list[int] = []

    def run(rows: Rows) -> torch.Tensor:
        assert rows.scale is not None and rows.scale.shape[1] == rows.values.shape[1]
        sizes.append(rows.values.shape[1])
        return rows.values[..., :5] * rows.scale

    scale = values[..., :1].abs()
    found = in_parts(run, Rows(values, scale), size)
    assert torch.equal(found, values[..., :5] * scale)
    assert sum(sizes) == 48 and max(sizes) <= (size or 48)


def test_layers_can_be_left_in_16_bits(chain: Golden) -> None:
    kept = "attn2.to_out.0"
    plan = TransformerPlan(CPU, torch.bfloat16, fp8=True, keep_16bit=(kept,))
    block = load_transformer(open_part(chain.weights, "transformer"), plan).blocks[0]
    for name in FP8_NAMES:
        assert isinstance(block.get_submodule(name), Fp8Linear) == (name != kept), name
    assert block.get_submodule(kept).weight.dtype == torch.bfloat16
