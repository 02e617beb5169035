"""What lies under a take's 8-bit frames: the frame in the plate's own numbers, what of it the source shows, its depth.

Engines work on the 8-bit view. Where a take keeps the source's own pixels, the plate's numbers take their place, bit by
bit; at a soft rim their share of them does; elsewhere stands what the engine's levels mean in the plate's space.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ex4d.engines.composite import rim_weight
from ex4d.frames import Frames
from ex4d.guides.deep import DeepGuides, as_plate, of_signals
from ex4d.shots.draw import RenderedShot
from ex4d.types import Layer, Layers
from ex4d_ground.arrays import Bool, Float32, UInt8
from ex4d_ground.descriptions import EngineInfo

COMPOSITE, FEATHER = "composite", "feather"
"""Settings of engines that can put the source's pixels back into what a model painted."""


def layers_of(shot: RenderedShot, frames: Frames, info: EngineInfo, settings: Mapping[str, Any]) -> Layers:
    """The layers of a take whose 8-bit ``frames`` [N, H, W, 3] an engine made of ``shot`` with these settings."""
    guides, trim = shot.guides_with_lead_in, shot.plan.trim
    deep = DeepGuides(
        shot.mesh,
        shot.plan.trajectory,
        guides,
        options=shot.drawing.options,
        source_first_frame=shot.plan.source_first_frame,
        objects=[each.after(trim) for each in shot.drawing.objects],
    )

    def layer(i: int) -> Layer:
        j = i + trim
        mask = guides.mask[j]
        weight = kept_share(mask, info, settings)
        colour = None if deep.plate is None else merged(frames[i], guides.colour[j], deep, j, weight)
        return Layer(colour, mask, deep.depth(j), weight)

    plate = shot.clip.plate
    return Layers(layer, None if plate is None else plate.view)


def kept_share(mask: Bool, info: EngineInfo, settings: Mapping[str, Any]) -> Float32:  # [H, W] 0..1
    """How much of each pixel of a finished frame is the source's own."""
    if info.is_preview:
        return mask.astype(np.float32)
    if settings.get(COMPOSITE):
        return rim_weight(mask, int(settings.get(FEATHER, 0)))
    return np.zeros(mask.shape, np.float32)


def merged(
    frame: UInt8,  # [H, W, 3] finished
    guide: UInt8,  # [H, W, 3]
    deep: DeepGuides,
    j: int,
    weight: Float32,  # [H, W] share of the source's own pixels in the frame
) -> NDArray:  # [H, W, 3] of the plate's dtype
    """The finished frame in the plate's numbers."""
    plate = deep.plate
    if plate is None:
        raise ValueError("there is no plate")
    kind = plate.frames.dtype
    whole, part = weight >= 1, (weight > 0) & (weight < 1)
    out = np.empty(frame.shape, kind)
    if not whole.all():
        out[~whole] = of_signals(plate.view.undone(frame[~whole]), kind)
    if not (whole.any() or part.any()):
        return out
    own = deep[j]
    out[whole] = own[whole]
    if part.any():  # the plate's numbers, less what the view has lost of them, in their share
        lost = own[part].astype(np.float32) - of_signals(plate.view.undone(guide[part]), kind).astype(np.float32)
        out[part] = as_plate(out[part].astype(np.float32) + weight[part][:, None] * lost, kind)
    return out
