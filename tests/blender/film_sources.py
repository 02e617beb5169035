"""Film footage for the add-on's tests, written by an interpreter that has PyAV: Blender's own has it not.

python film_sources.py steps TRANSFER OUT.mp4    grey steps of SIGNALS in 10 bits, tagged BT.2020 with that transfer
python film_sources.py prores OUT.mov            the same in ProRes, BT.709, 24000/1001, with time code, reel and sound
python film_sources.py dpx FOLDER                the same as 10-bit DPX from 1001 on, with time code and rate
python film_sources.py exr FOLDER                an ACEScg half float plate from 1001 on, with time code, reel and rate
python film_sources.py off FOLDER FOLDER OUT.npy share of the pixels whose mask in the second is 1, and the
                                                 largest difference between both there
python film_sources.py luma FILE OUT.npy         the luma of every frame of a video, in steps of 10 bits
"""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

FRAMES, HEIGHT, WIDTH = 12, 64, 96
SIGNALS = (0.15, 0.3, 0.4, 0.5, 0.58, 0.7)
"""Between black (0) and white (1), from left to right."""
RATE = Fraction(24000, 1001)
TIMECODE, REEL, SOUND_RATE = "10:00:00:00", "A012C004", 48_000
SAMPLES = round(FRAMES / RATE * SOUND_RATE)
"""Of the sound that is as long as the pictures."""
_TAGS = {"pq": (9, 9, 16), "hlg": (9, 9, 18), "bt709": (1, 1, 1)}
"""Matrix, primaries and transfer by ISO/IEC 23091-2."""


def steps() -> np.ndarray:  # [HEIGHT, WIDTH]
    """The signal of every pixel."""
    return np.repeat(np.array(SIGNALS), WIDTH // len(SIGNALS))[None].repeat(HEIGHT, axis=0)


def luma_codes() -> np.ndarray:  # [HEIGHT, WIDTH] uint16
    """The same as luma of limited range, in steps of 10 bits."""
    return np.rint(64 + 876 * steps()).astype(np.uint16)


def _movie(path: str, codec: str, pixels: str, kind: str, options: dict[str, str], rate: Fraction) -> None:
    import av

    with av.open(path, "w", options={"write_tmcd": "1"} if path.endswith(".mov") else {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = _TAGS[kind]
        context.color_range = 1
        sound = None
        if path.endswith(".mov"):
            stream.metadata.update({"timecode": TIMECODE, "reel_name": REEL})
            container.metadata.update({"timecode": TIMECODE, "reel_name": REEL})
            sound = container.add_stream("pcm_s16le", rate=SOUND_RATE, layout="mono")
        for _ in range(FRAMES):
            frame = av.VideoFrame(WIDTH, HEIGHT, pixels)
            frame.colorspace, frame.color_range = _TAGS[kind][0], 1
            frame.color_primaries, frame.color_trc = _TAGS[kind][1:]
            for i, plane in enumerate(frame.planes):
                row = np.full((plane.height, plane.line_size // 2), 512, np.uint16)
                if i == 0:
                    row[:, :WIDTH] = luma_codes()
                plane.update(row.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            tone = np.rint(12_000 * np.sin(2 * np.pi * 440 * np.arange(SAMPLES) / SOUND_RATE)).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
            heard.sample_rate, heard.pts = SOUND_RATE, 0
            container.mux(sound.encode(heard))
            container.mux(sound.encode(None))


def write_steps(transfer: str, path: str) -> None:
    """Without loss: what is read is what was written."""
    options = {"x265-params": "log-level=error:lossless=1:bframes=0"}
    _movie(path, "libx265", "yuv420p10le", transfer, options, Fraction(25))


def write_prores(path: str) -> None:
    """422 HQ, its quantiser at its finest."""
    _movie(path, "prores_ks", "yuv422p10le", "bt709", {"profile": "3", "qscale": "1"}, RATE)


def write_dpx(folder: str) -> None:
    """With the television header of SMPTE 268M, which FFmpeg leaves empty."""
    target = Path(folder)
    target.mkdir()
    grey = np.rint(steps() * 1023) * (65535 / 1023)
    stored = np.rint(grey).astype("<u2")[..., None].repeat(3, axis=-1)[None].repeat(FRAMES, axis=0)
    command = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{WIDTH}x{HEIGHT}", "-i", "-"]
    command += ["-pix_fmt", "gbrp10be", "-start_number", "1001", str(target / "sh020.%04d.dpx")]
    subprocess.run(command, input=stored.tobytes(), check=True)
    for number, path in enumerate(sorted(target.iterdir())):
        whole = path.read_bytes()
        pixels_at = int.from_bytes(whole[4:8], "big")
        data = bytearray(whole[:pixels_at].ljust(2048, b"\0") + whole[pixels_at:])
        data[4:8] = (2048).to_bytes(4, "big")
        data[1920:1924] = bytes((0x10, 0x00, 0x00, int(f"{number:02d}", 16)))
        data[1940:1944] = struct.pack(">f", 23.976)
        path.write_bytes(data)


def scene_light() -> np.ndarray:  # [FRAMES, HEIGHT, WIDTH, 3] float16
    """Light from a little below 0 to 4 times white."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / HEIGHT
    return np.stack(
        [np.stack([4 * x / 1.5 - 0.05, y + 0.01 * t, 0.5 + 0.4 * np.sin(3 * x + 2 * y)], -1) for t in range(FRAMES)]
    ).astype(np.float16)


def write_exr_plate(folder: str) -> None:
    """As a plate store has them."""
    import OpenEXR

    from ex4d.clip.exr_writing import write_exr
    from ex4d_ground.colour import PRIMARIES

    Path(folder).mkdir()
    for i, frame in enumerate(scene_light()):
        header = {"chromaticities": PRIMARIES["ap1"], "framesPerSecond": RATE, "reelName": REEL}
        header["timeCode"] = OpenEXR.TimeCode(10, 0, 0, i, 0, *[0] * 13)
        channels = {letter: frame[..., k] for k, letter in enumerate("RGB")}
        write_exr(Path(folder) / f"sh030.{1001 + i}.exr", channels, header=header)


def write_off(ours: str, theirs: str, target: str) -> None:
    """Half floats are compared bit by bit: any difference of a bit counts as infinite if the number is the same."""
    import OpenEXR

    worst, seen, count = 0.0, 0, 0
    for one, other in zip(sorted(Path(ours).glob("*.exr")), sorted(Path(theirs).glob("*.exr")), strict=True):
        with OpenEXR.File(str(one)) as a, OpenEXR.File(str(other), separate_channels=True) as b:
            plate = a.channels()["RGB"].pixels
            mask = b.channels()["mask"].pixels == 1
            made = np.stack([b.channels()[letter].pixels for letter in "RGB"], -1)
        assert plate.dtype == made.dtype == np.float16
        same = (plate.view(np.uint16) == made.view(np.uint16))[mask]
        off = np.abs(plate.astype(np.float64) - made)[mask]
        worst = max(worst, float(np.where(same, 0.0, np.maximum(off, np.finfo(np.float16).tiny)).max()))
        seen, count = seen + int(mask.sum()), count + mask.size
    np.save(target, np.array([seen / count, worst]))


def write_luma(path: str, target: str) -> None:
    """Whatever the depth it is stored in."""
    import av

    found = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            plane, bits = frame.planes[0], frame.format.components[0].bits
            values = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
            found.append(values.astype(np.float64) / (1 << (bits - 10)))
    np.save(target, np.stack(found))


if __name__ == "__main__":
    kind, *arguments = sys.argv[1:]
    kinds = {"steps": write_steps, "prores": write_prores, "dpx": write_dpx, "exr": write_exr_plate}
    (kinds | {"off": write_off, "luma": write_luma})[kind](*arguments)
