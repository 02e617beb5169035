"""What a take would cost on this server: the library's reckoning, for the first device."""

from __future__ import annotations

from collections.abc import Sequence

from ex4d.generate import Gpu, cost
from ex4d_protocol import messages as m


def answer_cost(query: m.CostQuery, devices: Sequence[m.DeviceSpec]) -> m.CostReply:
    """Answer at once: the driver is not asked, so the whole memory of the device counts as free.

    Raises SettingError for an unknown engine or a bad setting.
    """
    gpus = [device for device in devices if device.kind == "cuda" and device.memory_bytes]
    gpu = Gpu(gpus[0].name, gpus[0].memory_bytes, gpus[0].memory_bytes) if gpus else None
    found = cost(
        query.engine,
        frames=query.num_frames,
        width=query.width,
        height=query.height,
        settings=query.settings,
        gpu=gpu,
        look=False,
    )
    return m.CostReply(
        engine=found.engine,
        num_frames=found.frames,
        windows=found.windows,
        passes=found.passes,
        tiles=found.tiles,
        forwards=found.forwards,
        plan=found.plan,
        peak_bytes=found.peak_bytes or 0,
        device_bytes=found.gpu_bytes,
        seconds=found.seconds or 0.0,
        problem=found.problem,
        text=found.text,
    )
