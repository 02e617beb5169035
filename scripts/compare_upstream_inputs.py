"""``ex4d recon --parity`` beside EX-4D's own ``recon.py`` on clips of usual sizes: sizes, lens, camera, guides, mesh.

    python scripts/compare_upstream_inputs.py --upstream FOLDER --output benchmarks/results/upstream_inputs.json

FOLDER is a checkout of EX-4D (commit b456a41). Its program needs an NVIDIA GPU, torch, torchvision, nvdiffrast,
trimesh, imageio, OpenCV, matplotlib, einops and tqdm. DepthCrafter is not run: in its place both programs get the same
made-up depth, of whatever size the published program asks for. Its guides are taken before they are coded as video.
The clips have no tag of how their colours are coded, which that program would ignore. With ``--frames_only`` no GPU is
needed: only the frames are compared that both programs read.

Exit code 1 if anything is out of the bars of tests/golden/README.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import types
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

FRAMES = 100


def made_up_depth(count: int, height: int, width: int) -> np.ndarray:  # [T, H, W] float32
    """A slanted room with a ball and a pole that move: soft slopes, sharp edges, things of two and of many pixels."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = (x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5
    frames = []
    for t in range(count):
        z = np.minimum(14 + 3 * x, 2.2 / np.maximum(y + 0.08, 0.08)) + 0.1 * np.sin(40 * x + t / 7)
        ball = 1 - ((x - 0.25 * np.sin(t / 15)) ** 2 * (width / height) ** 2 + (y - 0.05) ** 2) / 0.03
        z = np.where(ball > 0, np.minimum(z, 5.5 - np.sqrt(np.maximum(ball, 0))), z)
        z = np.where(np.abs(x + 0.3 - t / 400) < 2 / width, np.minimum(z, 4.0), z)
        frames.append(z.astype(np.float32))
    return np.stack(frames)


def write_clip(path: Path, width: int, height: int) -> None:
    """100 frames of moving gradients and edges as H.264."""
    import av

    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(FRAMES):
            stripes = 60 * (((x + 3 * t) // 40 + y // 40) % 2)
            parts = x * 160 // width + stripes, y * 160 // height + stripes, 90 + 30 * np.sin(x / 60)
            frame = av.VideoFrame.from_ndarray(np.stack(parts, -1).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_as_published(upstream: Path, video: Path) -> np.ndarray:
    """The frames that EX-4D's reader gives its program."""
    sys.path.insert(0, str(upstream))
    if "imageio" not in sys.modules and find_spec("imageio") is None:  # imported there, and not used for this
        sys.modules["imageio"] = types.ModuleType("imageio")
    from utils.dc_utils import read_video_frames  # pyright: ignore[reportMissingImports]

    return read_video_frames(str(video), process_length=49, max_res=1024)[0]


def run_published(upstream: Path, video: Path, cam: str, out: Path) -> None:
    """Run EX-4D's ``recon.py`` in this process, its depth made up and its videos kept as arrays."""
    import runpy

    import imageio.v3  # pyright: ignore[reportMissingImports]
    import torch

    class DepthCrafterDemo:
        def __init__(self, **_: Any) -> None:
            pass

        def infer(self, frames: np.ndarray, *_: Any, **__: Any) -> tuple[Any, None]:
            depth = made_up_depth(*frames.shape[:3])
            np.save(out / "depth.npy", depth)
            return torch.from_numpy(depth)[:, None], None

    stand_in = types.ModuleType("utils.depth_utils")
    stand_in.DepthCrafterDemo = DepthCrafterDemo  # type: ignore[attr-defined]
    sys.modules["utils.depth_utils"] = stand_in
    imageio.v3.imwrite = lambda path, video, **_: np.save(Path(path).with_suffix(".npy"), video)
    sys.path.insert(0, str(upstream))
    options = ["--input_video", str(video), "--output_dir", str(out), "--cam", cam, "--save_camera", "--save_mesh"]
    sys.argv = ["recon.py", *options]
    runpy.run_path(str(upstream / "recon.py"), run_name="__main__")


def run_ours(video: Path, depth: Path, cam: str, rasterizer: str, out: Path) -> float:
    """Run ``ex4d recon --parity``; seconds that it took."""
    options = ["--input_video", video, "--depth", depth, "--cam", cam, "--rasterizer", rasterizer, "--output_dir", out]
    command = [sys.executable, "-m", "ex4d.cli.app", "recon", *map(str, options)]
    began = time.perf_counter()
    extras = ["--parity", "--lossless", "--save_camera", "--save_mesh"]
    subprocess.run([*command, *extras], check=True, cwd=ROOT, env=_environment())
    return time.perf_counter() - began


def _environment() -> dict[str, str]:
    import os

    paths = [str(ROOT), str(ROOT / "protocol"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def compare(theirs: Path, ours: Path, cam: str) -> dict[str, Any]:
    """What both programs wrote, side by side, and whether it is within the bars."""
    import trimesh

    colour, mask = np.load(theirs / f"color_{cam}.npy"), np.load(theirs / f"mask_{cam}.npy")
    with np.load(ours / f"guides_{cam}.npz") as archive:
        rgba = archive["rgba"]
    found: dict[str, Any] = {"published_shape": list(colour.shape), "shape": list(rgba.shape)}
    if colour.shape[:3] != rgba.shape[:3]:
        return {**found, "within_bars": False}
    a, b = rgba[..., 3] > 127, mask.reshape(rgba.shape[:3]) > 127
    different, either = (a ^ b)[1:].sum((1, 2)), (a | b)[1:].sum((1, 2))
    overlap = 1 - different / np.maximum(either, 1)
    error = [np.abs(rgba[t, ..., :3].astype(int) - colour[t])[a[t] & b[t]].mean() for t in range(1, len(a))]
    with np.load(theirs / f"camera_{cam}.npz") as p, np.load(ours / f"camera_{cam}.npz") as q:
        lens = float(np.abs(p["intrinsics"] - q["intrinsics"]).max())
        pose = float(np.abs(p["extrinsics"] - q["extrinsics"]).max())
    meshes: list[Any] = [trimesh.load(folder / "DW-Mesh.ply", process=False) for folder in (theirs, ours)]
    vertices = [np.asarray(mesh.vertices) for mesh in meshes]
    found |= {
        "intrinsics_error": lens,
        "pose_error": pose,
        "mask_overlap_worst": float(overlap.min()),
        "mask_overlap_mean": float(overlap.mean()),
        "mask_pixels_worst": int(different.max()),
        "colour_error_worst": float(np.nanmax(error)),
        "frame_0_error": float(np.abs(rgba[0, ..., :3].astype(int) - colour[0]).mean()),
        "faces_equal": bool(np.array_equal(meshes[0].faces, meshes[1].faces)),
        "vertex_error": float(np.abs(vertices[0] - vertices[1]).max())
        if vertices[0].shape == vertices[1].shape
        else -1,
        "alphas_255": [bool((np.asarray(mesh.visual.vertex_colors)[:, 3] == 255).all()) for mesh in meshes],
    }
    found["within_bars"] = bool(
        found["mask_overlap_worst"] >= 0.99
        and found["mask_overlap_mean"] >= 0.997
        and found["colour_error_worst"] <= 1.0
        and lens <= 1e-3
        and pose <= 1e-4
        and found["faces_equal"]
        and found["vertex_error"] <= 1e-4  # float32, up to 100 times 1.024
        and found["alphas_255"] == [True, True]
    )
    return found


def compare_frames(upstream: Path, video: Path) -> dict[str, Any]:
    """The frames that both programs read."""
    from ex4d.shots.parity import read_published

    theirs, ours = read_as_published(upstream, video), read_published(video, num_frames=None).frames
    found: dict[str, Any] = {"published_shape": list(theirs.shape), "shape": list(ours.shape)}
    if theirs.shape == ours.shape:
        error = np.abs(theirs.astype(int) - ours)
        found |= {"error_mean": float(error.mean()), "error_worst": int(error.max())}
    return {**found, "within_bars": theirs.shape == ours.shape and found["error_mean"] <= 1.0}


def machine(frames_only: bool) -> dict[str, Any]:
    """What it was run on."""
    found: dict[str, Any] = {"python": platform.python_version(), "numpy": np.__version__}
    if not frames_only:
        import torch

        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
        found |= {"torch": torch.__version__, "device": device}
    return found


def main() -> int:
    """Compare, print, and write the result; the exit code says whether all is within the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of EX-4D")
    parser.add_argument("--output", type=Path, help="JSON to write")
    parser.add_argument("--cam", default="180,90", help="presets, separated by commas")
    parser.add_argument("--sizes", default="1280x720,640x360,1920x1080", help="of the clips, separated by commas")
    parser.add_argument("--rasterizer", default="cpu,triton,nvdiffrast", help="ours to compare, separated by commas")
    parser.add_argument("--frames_only", action="store_true", help="compare the frames read, without a GPU")
    parser.add_argument("--published", nargs=3, metavar=("VIDEO", "CAM", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.published:
        video, cam, out = given.published
        run_published(given.upstream.resolve(), Path(video), cam, Path(out))
        return 0
    result: dict[str, Any] = {"machine": machine(given.frames_only), "clips": {}}
    with tempfile.TemporaryDirectory(prefix="ex4d-") as folder:
        for width, height in (map(int, size.split("x")) for size in given.sizes.split(",")):
            name, video = f"{width}x{height}", Path(folder) / f"{width}x{height}.mp4"
            write_clip(video, width, height)
            rows = result["clips"][name] = {"frames": compare_frames(given.upstream.resolve(), video)}
            print(name, "frames", json.dumps(rows["frames"]), flush=True)
            for cam in [] if given.frames_only else given.cam.split(","):
                theirs = Path(folder) / f"{name}-{cam}"
                theirs.mkdir()
                command = [
                    sys.executable,
                    __file__,
                    "--upstream",
                    given.upstream.resolve(),
                    "--published",
                    video,
                    cam,
                    theirs,
                ]
                subprocess.run([str(part) for part in command], check=True, env=_environment())
                for rasterizer in given.rasterizer.split(","):
                    ours = Path(folder) / f"{name}-{cam}-{rasterizer}"
                    seconds = run_ours(video, theirs / "depth.npy", cam, rasterizer, ours)
                    rows[f"{cam}/{rasterizer}"] = {**compare(theirs, ours, cam), "seconds": round(seconds, 2)}
                    print(name, cam, rasterizer, json.dumps(rows[f"{cam}/{rasterizer}"]), flush=True)
                    _write(given.output, result)
    _write(given.output, result)
    return 0 if all(row["within_bars"] for rows in result["clips"].values() for row in rows.values()) else 1


def _write(path: Path | None, result: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
