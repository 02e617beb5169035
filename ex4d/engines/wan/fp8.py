"""Linear layers with 8-bit float weights: one scale per output row, and one per token for the activations.

Written on torch alone: plain tensors stream, save and load like any other, which a tensor subclass does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
FP8_MAX = 448.0


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` [..., n] as float8 of the same shape and float32 scales [..., 1], so that x ~ float8 * scale."""
    x = x.float()
    scale = (x.abs().amax(-1, keepdim=True) / FP8_MAX).clamp_min(1e-12)
    return (x / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale


def multiplies_fp8(device: torch.device) -> bool:
    """Whether the device multiplies 8-bit floats itself (NVIDIA Ada, Hopper and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


class Fp8Linear(nn.Module):
    """A linear layer whose weight is float8.

    With ``native`` the product itself runs in float8 on quantised activations; otherwise the weight is expanded for
    each product, which saves memory but no time.
    """

    weight: Tensor  # [out, in] float8
    scale: Tensor  # [out, 1] float32
    bias: Tensor  # [out]

    def __init__(self, in_features: int, out_features: int, *, native: bool, device: torch.device | str = "cpu"):
        super().__init__()
        self.in_features, self.out_features, self.native = in_features, out_features, native
        self.weight = nn.Parameter(
            torch.empty(out_features, in_features, dtype=FP8, device=device), requires_grad=False
        )
        self.scale = nn.Parameter(torch.empty(out_features, 1, device=device), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(out_features, device=device), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:  # [..., in] -> [..., out]
        """``x @ weight.T + bias`` in x's dtype. Gradients flow to ``x`` alone; the weight is frozen."""
        if torch.is_grad_enabled() and x.requires_grad:
            return _FrozenProduct.apply(x, self)
        if not self.native:
            return F.linear(x, self.weight.to(x.dtype) * self.scale.to(x.dtype), self.bias.to(x.dtype))
        return self.multiply(*quantise_rows(x), x.dtype)

    def multiply(
        self,
        rows: Tensor,  # [..., in] float8
        row_scale: Tensor,  # [..., 1] float32
        dtype: torch.dtype,
    ) -> Tensor:  # [..., out]
        """The native product with rows that are quantised already."""
        out = torch.ops.aten._scaled_mm(
            rows.reshape(-1, self.in_features),
            self.weight.t(),
            scale_a=row_scale.reshape(-1, 1),
            scale_b=self.scale.t(),
            bias=self.bias.to(dtype),
            out_dtype=dtype,
            use_fast_accum=True,
        )
        return out.reshape(*rows.shape[:-1], self.out_features)


class _FrozenProduct(torch.autograd.Function):
    """:class:`Fp8Linear` with a gradient for its input: the output's gradient times the expanded weight.

    Only the weight is kept for it, and it is expanded for one product at a time: autograd left to itself would keep
    expanded weights, and cannot look into the 8-bit product.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Fp8Linear) -> Tensor:
        ctx.save_for_backward(layer.weight, layer.scale)
        with torch.no_grad():
            return layer(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        weight, scale = ctx.saved_tensors
        (gradient,) = gradients
        return gradient @ (weight.to(gradient.dtype) * scale.to(gradient.dtype)), None


FP8_NAMES = (
    *(f"attn1.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")),
    *(f"attn2.{name}" for name in ("to_q", "to_out.0")),
    "ffn.net.0.proj",
    "ffn.net.2",
)
"""Layers of a block that are worth 8 bits: the ones used in every step. Embeddings and the output stay as they are."""
FP8_CONDITIONING_NAMES = tuple(f"attn2.{name}" for name in ("to_k", "to_v", "add_k_proj", "add_v_proj"))
"""Those that a shot needs once and training in every step."""


def replace_linears(block: nn.Module, *, native: bool, names: Sequence[str] = FP8_NAMES) -> None:
    """Put empty float8 layers in the places of a block's large linear layers."""
    for name in names:
        linear = block.get_submodule(name)
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"{name} is {type(linear).__name__}; fuse adapters before going to 8 bits.")
        owner, _, leaf = name.rpartition(".")
        new = Fp8Linear(linear.in_features, linear.out_features, native=native, device="meta")
        block.get_submodule(owner)._modules[leaf] = new
