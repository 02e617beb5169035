"""Which samples a step takes: shuffled by the seed alone, so that any step can be asked for at any time.

A batch takes samples of one size. In an epoch every sample of a bucket comes once; what is left over when the bucket
does not divide by the batch is filled up from its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch

from ex4d.train.dataset import SampleInfo
from ex4d.train.objective import generator


class Order:
    """The samples of each step of ``global_batch`` clips, over all processes."""

    def __init__(self, samples: Sequence[SampleInfo], global_batch: int, seed: int):
        self._seed, self._size = seed, global_batch
        buckets: dict[tuple[int, int, int], list[SampleInfo]] = {}
        for sample in sorted(samples, key=lambda s: s.id):
            buckets.setdefault(sample.bucket, []).append(sample)
        self._buckets = [buckets[key] for key in sorted(buckets)]
        self.steps_per_epoch = sum(-(-len(bucket) // global_batch) for bucket in self._buckets)
        self._epoch = lru_cache(2)(self._shuffled)

    def at(self, step: int) -> list[SampleInfo]:
        """The global batch of ``step`` (from 0), in order."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._epoch(epoch)[place]

    def _shuffled(self, epoch: int) -> list[list[SampleInfo]]:
        chance = generator(self._seed, "order", epoch)
        batches = []
        for bucket in self._buckets:
            order = [bucket[i] for i in torch.randperm(len(bucket), generator=chance).tolist()]
            for start in range(0, len(order), self._size):
                batches.append([order[(start + i) % len(order)] for i in range(self._size)])
        return [batches[i] for i in torch.randperm(len(batches), generator=chance).tolist()]
