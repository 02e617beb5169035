"""Model weights: where they live, how they are fetched and checked, how the wan engine's parts are built from them."""

from ex4d.weights.layout import WanWeights, weights_root

__all__ = ["WanWeights", "weights_root"]
