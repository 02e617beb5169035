"""What the project's own interpreter says of a test's data, for a Blender whose interpreter lacks the library.

python reference.py guides IN.npz OUT.npz     the library's guides of a clip through a camera move
python reference.py video FILE OUT.npz        a video's frames, codec, profile, pixel format and rate
python reference.py read FILE OUT.npz         a video's first frame as clips have it
python reference.py pictures FILE... OUT.npz  each picture's pixels, unchanged
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np


def guides(source: str) -> dict[str, np.ndarray]:
    """``visible`` [T, H, W], ``mask`` [N, H, W] and ``colour`` [N, H, W, 3]."""
    from ex4d.dwmesh import DWMesh
    from ex4d.guides import render_guides
    from ex4d.types import Clip
    from ex4d_ground.cameras import Intrinsics, Trajectory

    with np.load(source) as given:
        frames, height, width = given["depth"].shape
        focal = float(given["focal_px"])
        lens = Intrinsics(focal, focal, width / 2, height / 2, width, height)
        mesh = DWMesh(Clip(given["frames"], given["depth"], lens))
        size = (int(given["width"]), int(given["height"]))
        move = Trajectory(given["world_from_camera"], given["intrinsics"], given["source_time"], *size)
    rendered = render_guides(mesh, move)
    visible = np.stack([mesh.vertex_visible(t).reshape(height, width) for t in range(frames)])
    return {"visible": visible, "mask": rendered.mask, "colour": rendered.colour}


def video(path: str) -> dict[str, np.ndarray]:
    """``frames`` [T, H, W, 3] and the facts of the stream."""
    import av

    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        codec = stream.codec_context
        facts = {"codec": codec.name, "profile": codec.profile or "", "pixels": codec.pix_fmt or ""}
        rate = float(stream.average_rate or 0)
    return {"frames": np.stack(frames), "rate": np.array(rate)} | {k: np.array(v) for k, v in facts.items()}


def read(path: str) -> dict[str, np.ndarray]:
    """``first`` [H, W, 3], the first frame as a clip has it."""
    from ex4d.clip.video import open_video

    with open_video(Path(path)) as (_info, frames):
        return {"first": next(frames)}


def pictures(*paths: str) -> dict[str, np.ndarray]:
    """``picture_0`` and so on, as OpenCV reads them."""
    os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"
    import cv2

    read = {f"picture_{i}": cv2.imread(path, cv2.IMREAD_UNCHANGED) for i, path in enumerate(paths)}
    return {name: picture for name, picture in read.items() if picture is not None}


if __name__ == "__main__":
    kind, *sources, target = sys.argv[1:]
    np.savez(target, **{"guides": guides, "video": video, "read": read, "pictures": pictures}[kind](*sources))
