"""Wan's video VAE run chunk by chunk: progress, cancel and finished frames while it works, tiles when memory is short.

The VAE is causal in time: the first frame alone, then four frames per latent. diffusers' encoder and decoder keep the
past of every convolution in a list they are handed; holding that list here is what makes streaming possible.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor

from ex4d.engines.group import Group
from ex4d.engines.wan.blending import Blender
from ex4d.engines.wan.constants import SPATIAL, TEMPORAL
from ex4d.engines.wan.strips import Strips
from ex4d.progress import Watch, check, report
from ex4d_ground import stages
from ex4d_ground.errors import ShapeError


@dataclass(frozen=True)
class Tiling:
    """Square tiles in pixels; neighbours share ``overlap`` and are blended there. Multiples of 8."""

    size: int = 384
    overlap: int = 96

    def spans(self, length: int) -> list[tuple[int, int]]:
        """Start and end of every tile along one side of ``length`` pixels; the last one ends flush."""
        if length <= self.size:
            return [(0, length)]
        stride = self.size - self.overlap
        starts = [*range(0, length - self.size, stride), length - self.size]
        return [(start, start + self.size) for start in starts]


class WanVae:
    """diffusers' AutoencoderKLWan with streaming, tiling and the model's latent normalisation."""

    def __init__(
        self,
        model: Any,
        *,
        device: torch.device,
        dtype: torch.dtype,
        tiling: Tiling | None = None,
        group: Group | None = None,
        deals_videos: bool = True,
    ):
        """With a ``group`` its processes share what is to be done; all call the same methods alike.

        With ``deals_videos`` those of :meth:`encode_all` are dealt to them, which is faster than strips of each, since
        nothing is exchanged but latents. It takes the memory of a whole picture.
        """
        self.model, self.device, self.dtype, self.tiling = model, device, dtype, tiling
        self._group, self._deals = group, deals_videos
        self._strips = None if group is None else Strips(group, model)
        shape = (1, -1, 1, 1, 1)
        self._mean = torch.tensor(model.config.latents_mean).view(shape).to(device)
        self._std = torch.tensor(model.config.latents_std).view(shape).to(device)
        self._convs = {"encoder": _count_convs(model.encoder), "decoder": _count_convs(model.decoder)}

    def encode_all(
        self,
        videos: Mapping[str, Callable[[], Tensor]],  # by stage, all of one shape; see encode()
        **watch: Unpack[Watch],
    ) -> list[Tensor]:
        """Encode several videos, each of which is made when it is needed. Raises ShapeError, Cancelled.

        In a group each process takes one of its own as long as two are left: the others' progress is not reported.
        """
        items, found = list(videos.items()), list[Tensor]()
        while items:
            turn = items[: self._group.size] if self._group and self._deals and len(items) > 1 else items[:1]
            items = items[len(turn) :]
            if self._group is None or len(turn) == 1:
                found += [self.encode(make(), stage=stage, **watch) for stage, make in turn]
                continue
            # Who has none left encodes the last one, too: everybody must check for a cancel equally often.
            stage, make = turn[min(self._group.rank, len(turn) - 1)]
            with self._alone():
                own = self.encode(make(), stage=stage, **watch)
            found += self._group.everyones(own)[: len(turn)]
        return found

    def encode(
        self,
        video: Tensor,  # [1, 3, N, H, W] float, nominally -1..1; N = 4n + 1, H and W multiples of 8
        *,
        stage: str = "encoding",
        **watch: Unpack[Watch],
    ) -> Tensor:  # [1, 16, n + 1, H / 8, W / 8] float32 on the device
        """The mean of the latents' distribution, normalised per channel. Raises ShapeError, Cancelled."""
        _, _, count, height, width = video.shape
        if count % TEMPORAL != 1 or height % SPATIAL or width % SPATIAL:
            raise ShapeError(f"The VAE takes 4n+1 frames with sides in eights, got {count} of {width}x{height}.")
        tiles = self._tiles(height, width)
        blender = Blender((1, 16, (count - 1) // TEMPORAL + 1, height // SPATIAL, width // SPATIAL), self.device)
        chunks = [(0, 1)] + [(i, i + TEMPORAL) for i in range(1, count, TEMPORAL)]
        with torch.no_grad():
            for done, (top, bottom, left, right) in enumerate(tiles):
                cache: list[Any] = [None] * self._convs["encoder"]
                parts = []
                with self._shared(bottom - top, right - left) as strips:
                    for index, (start, stop) in enumerate(chunks):
                        check(watch.get("cancel"))
                        chunk = video[:, :, start:stop, top:bottom, left:right]
                        chunk = chunk if strips is None else strips.own(chunk, SPATIAL)
                        chunk = chunk.to(self.device, self.dtype)
                        parts.append(self.model.encoder(chunk, feat_cache=cache, feat_idx=[0]))
                        self._wait()
                        at = done * len(chunks) + index + 1
                        report(watch.get("on_progress"), stage, at, len(tiles) * len(chunks))
                    moments = self.model.quant_conv(torch.cat(parts, dim=2))
                    mean = moments.chunk(2, dim=1)[0].float()
                    mean = mean if strips is None else strips.whole(mean)
                blender.add(mean, top // SPATIAL, left // SPATIAL, self._ramp(SPATIAL))
            return (blender.result() - self._mean) / self._std

    def decode(
        self,
        latents: Tensor,  # [1, 16, n + 1, h, w] normalised
        **watch: Unpack[Watch],
    ) -> Iterator[Tensor]:  # [1, 3, 1 or 4, H, W] float32, -1..1
        """Yield the frames in order as they are decoded, one first and then four at a time.

        With tiles, all tiles of the clip are decoded before the first frames come. In a group the frames are the
        leader's, and the others' are empty. Raises Cancelled.
        """
        latents = latents.to(self.device, torch.float32) * self._std + self._mean
        height, width = latents.shape[3] * SPATIAL, latents.shape[4] * SPATIAL
        tiles = self._tiles(height, width)
        if len(tiles) == 1:
            yield from self._stream(latents, watch, 0, 1)
            return
        count = (latents.shape[2] - 1) * TEMPORAL + 1
        blender = Blender((1, 3, count, height, width), torch.device("cpu"))
        for done, (top, bottom, left, right) in enumerate(tiles):
            part = latents[..., top // SPATIAL : bottom // SPATIAL, left // SPATIAL : right // SPATIAL]
            frames = [f.cpu() for f in self._stream(part, watch, done, len(tiles))]
            if self._leads:
                blender.add(torch.cat(frames, dim=2), top, left, self._ramp(1))
        whole = blender.result() if self._leads else torch.empty(1, 3, count, 0, 0)
        yield whole[:, :, :1]
        for start in range(1, count, TEMPORAL):
            yield whole[:, :, start : start + TEMPORAL]

    def _stream(self, latents: Tensor, watch: Watch, tile: int, tiles: int) -> Iterator[Tensor]:
        cache: list[Any] = [None] * self._convs["decoder"]
        count, *sides = latents.shape[2:]
        with torch.no_grad():
            x = self.model.post_quant_conv(latents.to(self.dtype))
        for index in range(count):
            check(watch.get("cancel"))
            with torch.no_grad(), self._shared(*(side * SPATIAL for side in sides)) as strips:
                chunk = x[:, :, index : index + 1]
                chunk = chunk if strips is None else strips.own(chunk)
                frames = self.model.decoder(chunk, feat_cache=cache, feat_idx=[0], first_chunk=index == 0)
                frames = frames.float().clamp(-1, 1)
                frames = frames if strips is None else strips.for_leader(frames)
            self._wait()
            report(watch.get("on_progress"), stages.DECODING, tile * count + index + 1, tiles * count)
            yield frames

    def _tiles(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        if self.tiling is None:
            return [(0, height, 0, width)]
        rows, columns = self.tiling.spans(height), self.tiling.spans(width)
        return [(*row, *column) for row in rows for column in columns]

    @contextmanager
    def _shared(self, height: int, width: int) -> Iterator[Strips | None]:
        """Inside, a picture of so many pixels is dealt in strips, if there is a group."""
        if self._strips is None:
            yield None
            return
        with self._strips.of(height // SPATIAL, width // SPATIAL):
            yield self._strips

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, this process has its pictures to itself."""
        strips, self._strips = self._strips, None
        try:
            yield
        finally:
            self._strips = strips

    @property
    def _leads(self) -> bool:
        return self._group is None or self._group.leads

    def _ramp(self, scale: int) -> int:
        return self.tiling.overlap // scale if self.tiling else 0

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()


def _count_convs(module: Any) -> int:
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

    return sum(isinstance(m, WanCausalConv3d) for m in module.modules())
