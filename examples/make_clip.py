"""Render the example clip: video, true z-depth and camera, with Blender's Cycles on the CPU.

    python examples/make_clip.py [--out examples] [--samples 48] [--preview FRAME.png]

Needs the `blender` extra (bpy). See examples/README.md for what the files hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from scenes import courtyard, render

SIZE, FRAMES, FPS, SEED = 512, 49, 15, 7
MANTISSA_BITS = 13
"""Depth keeps this many bits after the leading one: a relative error of at most 2**-14."""


def write_video(path: Path, frames: list[np.ndarray], crf: int) -> None:
    """H.264, 4:2:0, with a keyframe every twelve frames so that players can scrub."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": str(crf), "preset": "veryslow", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.codec_context.color_primaries = stream.codec_context.color_trc = stream.codec_context.colorspace = 1
        for frame in frames:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
                )
            )
        container.mux(stream.encode())


def rounded(depth: np.ndarray) -> np.ndarray:
    """Depth with its mantissa rounded to MANTISSA_BITS, still float32: small once compressed, and exact to say."""
    drop = 23 - MANTISSA_BITS
    bits = depth.astype(np.float32).view(np.uint32).astype(np.uint64)
    return (((bits + (1 << (drop - 1))) >> drop) << drop).astype(np.uint32).view(np.float32)


def write_depth(path: Path, depth: np.ndarray) -> None:
    """An .npz that np.load reads as it is, compressed with LZMA: a still background costs nothing after frame 0."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive, archive.open("depth.npy", "w", force_zip64=True) as f:
        np.lib.format.write_array(f, np.ascontiguousarray(depth), allow_pickle=False)


def write_camera(path: Path, camera) -> None:
    fx, fy, cx, cy = render.intrinsics(camera, SIZE, SIZE)
    info = {
        "width": SIZE, "height": SIZE, "fps": FPS, "frames": FRAMES,
        "fx": fx, "fy": fy, "cx": cx, "cy": cy, "fov_deg": courtyard.FOV_DEG,
        "note": "pixels; origin at the image's top-left corner; depth is distance along the camera's axis in metres",
    }  # fmt: skip
    path.write_text(json.dumps(info, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--crf", type=int, default=16, help="H.264 quality; lower is better")
    parser.add_argument("--preview", type=int, default=None, help="render only this frame, as a PNG")
    args = parser.parse_args()
    camera, update = courtyard.build(SEED)
    quality = render.Quality(samples=args.samples)
    render.setup(SIZE, SIZE, quality)
    if args.preview is not None:
        update(args.preview / (FRAMES - 1))
        import cv2

        image = render.render_colour(camera, quality)
        cv2.imwrite(str(args.out / f"preview_{args.preview:02d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        return
    frames, depth = [], []
    for i in range(FRAMES):
        update(i / (FRAMES - 1))
        frames.append(render.render_colour(camera, quality))
        depth.append(rounded(render.render_depth(camera)))
        print(f"frame {i + 1} of {FRAMES}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    write_video(args.out / "clip.mp4", frames, args.crf)
    write_depth(args.out / "depth.npz", np.stack(depth))
    write_camera(args.out / "camera.json", camera)


if __name__ == "__main__":
    main()
