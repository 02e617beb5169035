"""Pictures of other kinds and EXR passes reach the library through the wire, and what was done comes back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest

from ex4d_protocol.client import Client
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.requests import BuildMesh, ClipSpec, Media

H, W = 24, 32


def sent(client: Client, kind, *paths: Path) -> Media:
    return Media(kind=kind, blobs=tuple(client.wait_uploaded(client.upload(path), 120).ref for path in paths))


@pytest.mark.comes_in("Images", "JPEG, TIFF, EXR or DPX frames at the backend", "read as the library reads them")
def test_jpegs_with_an_exr_pass_become_a_mesh_and_the_sky_is_said(make_backend, connect, tmp_path):
    client = connect(make_backend().start())
    depth = np.full((H, W), 4, np.float32)
    depth[:6] = np.inf
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), np.full((H, W, 3), 90, np.uint8))
        passes = {"Front.Depth.Z": depth, "Back.Depth.Z": depth + 1}
        OpenEXR.File({"type": OpenEXR.scanlineimage}, passes).write(str(tmp_path / f"{i}.exr"))
    video = sent(client, "image_sequence", *(tmp_path / f"{i}.jpg" for i in range(2)))
    passes = sent(client, "exr_sequence", *(tmp_path / f"{i}.exr" for i in range(2)))
    unclear = client.submit(BuildMesh(clip=ClipSpec(video=video, depth=passes)))
    with pytest.raises(JobFailed, match=r"several depth channels \(Back\.Depth\.Z, Front\.Depth\.Z\)"):
        client.wait_job(unclear, 120)
    items = []
    clear = client.submit(BuildMesh(clip=ClipSpec(video=video, depth=passes, depth_channel="Back.Depth.Z")))
    client.wait_job(clear, 120, on_event=items.append)
    info = next(e.json() for e in items if getattr(e, "name", "") == "clip_info")
    assert info["near_depth"] == 5
    assert [note for note in info["notes"] if "is sky (stored as infinity)" in note]


def test_millimetres_without_a_scale_are_refused(make_backend, connect, tmp_path):
    client = connect(make_backend().start())
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"c{i}.png"), np.zeros((H, W, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f"d{i}.png"), np.full((H, W), 4000, np.uint16))
    video, depth = (sent(client, "png_sequence", *(tmp_path / f"{c}{i}.png" for i in range(2))) for c in "cd")
    with pytest.raises(JobFailed, match=r"whole numbers .*whose unit is not known"):
        client.wait_job(client.submit(BuildMesh(clip=ClipSpec(video=video, depth=depth))), 120)
