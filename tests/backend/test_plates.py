"""What a plate carries, through a real backend: its numbers, colours, frame numbers, time code and sound."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from msgspec.structs import replace

from ex4d.clip import write_video
from ex4d.clip.images import read_plate
from ex4d.export import export_take
from ex4d.trajectory import static
from ex4d.types import Sound
from ex4d_backend.cli.received import write_received_take
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.options import MeshOptions
from ex4d_ground.stereo import Eyes
from ex4d_ground.takes import decode_take
from ex4d_protocol.client import Client
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.events import ItemReceived
from ex4d_protocol.requests import (
    BlobRef,
    ClipSpec,
    ExportTake,
    Generate,
    Media,
    MeshSpec,
    Request,
    TrajectorySpec,
    VideoReading,
)
from tests.colour.plates import FRAMES, box_depth, smooth_light, write_plate

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


def send(client: Client, part: Path | bytes) -> BlobRef:
    return client.wait_uploaded(client.upload(part), 60).ref


def run(client: Client, request: Request) -> dict[tuple[str, int], bytes]:
    items: dict[tuple[str, int], bytes] = {}

    def keep(event: object) -> None:
        if isinstance(event, ItemReceived):
            items[event.name, event.frame] = bytes(event.data)

    client.wait_job(client.submit(request), 180, on_event=keep)
    return items


def still(width: int, height: int) -> TrajectorySpec:
    return TrajectorySpec.pack(static(num_frames=FRAMES, intrinsics=Intrinsics.from_fov(width, height, 54.0)))


@pytest.fixture(scope="module")
def half_light() -> np.ndarray:
    return smooth_light().astype(np.float16)


@pytest.fixture
def plate_spec(client: Client, tmp_path: Path, half_light: np.ndarray) -> ClipSpec:
    """An ACEScg half float plate that counts from 1001, and its depth, sent to the backend."""
    header = {"timeCode": OpenEXR.TimeCode(10, 0, 0, 0, 0, *[0] * 13), "framesPerSecond": Fraction(24000, 1001)}
    folder = write_plate(tmp_path / "sh010", half_light, header=header)
    np.save(tmp_path / "depth.npy", box_depth())
    blobs = tuple(send(client, path) for path in sorted(folder.iterdir()))
    return ClipSpec(
        video=Media(kind="image_sequence", blobs=blobs),
        depth=Media(kind="npy", blobs=(send(client, tmp_path / "depth.npy"),)),
        fov_deg=54.0,
        reading=VideoReading(usual_fps=12.0, start_frame=1001),
        name="sh010",
    )


def generate(client: Client, clip: ClipSpec, size: tuple[int, int], layers: str) -> dict[tuple[str, int], bytes]:
    mesh = MeshSpec(options=MeshOptions(mode="solid"))
    how = {"engine": "preview", "layers": layers}
    return run(client, Generate(clip=clip, trajectory=still(*size), mesh=mesh, **how))  # type: ignore[arg-type]


def export_of(client: Client, items: dict[tuple[str, int], bytes], kind: str, **more: object) -> ExportTake:
    refs = {name: tuple(send(client, items[name, i]) for i in range(FRAMES)) for name in ("frame", "layers")}
    take = send(client, items["take", -1])
    return ExportTake(take=take, frames=refs["frame"], layers=refs["layers"], kind=kind, **more)  # type: ignore[arg-type]


def test_a_stereo_take_of_a_plate_has_both_eyes_and_their_layers(
    client: Client, plate_spec: ClipSpec, half_light: np.ndarray, tmp_path: Path
) -> None:
    height, width = half_light.shape[1:3]
    eyes = Eyes.of(0.1, 3.0)
    mesh = MeshSpec(options=MeshOptions(mode="solid"))
    made = Generate(clip=plate_spec, trajectory=still(width, height), mesh=mesh, engine="preview", layers="plate")
    items = run(client, replace(made, eyes=eyes))
    names = {name: sum(each == name for each, _ in items) for name in ("frame", "right", "layers", "right_layers")}
    assert names == dict.fromkeys(names, FRAMES)
    assert decode_take(items["take", -1], "it").eyes == eyes
    right = {name: tuple(send(client, items[name, i]) for i in range(FRAMES)) for name in ("right", "right_layers")}
    (exported,) = run(client, export_of(client, items, "mp4", **right)).values()
    assert b"st3d" in exported
    one = run(client, export_of(client, items, "exr", eyes="right", **right))
    (tmp_path / "one.exr").write_bytes(one["file", 0])
    (tmp_path / "kept.exr").write_bytes(items["right_layers", 0])
    pixels, kept = (read_plate(tmp_path / name)[0] for name in ("one.exr", "kept.exr"))
    assert np.array_equal(pixels, kept)
    assert not np.array_equal(pixels, half_light[0])
    with pytest.raises(JobFailed, match="of its right eye 0 pictures"):
        run(client, export_of(client, items, "mp4"))
    received = tmp_path / "items"
    received.mkdir()
    for (name, frame), data in items.items():
        ending = {"frame": "png", "right": "png", "take": "json"}.get(name, "exr" if "layers" in name else "npy")
        (received / (f"{name}.{ending}" if frame < 0 else f"{name}_{frame + 1:04d}.{ending}")).write_bytes(data)
    take = write_received_take(tmp_path / "shot", received, {})
    assert (take / "right" / "plate" / f"frame_{FRAMES:04d}.exr").read_bytes() == items["right_layers", FRAMES - 1]


@pytest.mark.comes_in(
    "Images", "half float EXR, through a backend", "bit by bit in the take's layers and its EXR export"
)
def test_a_half_plate_comes_back_bit_by_bit(
    client: Client, plate_spec: ClipSpec, half_light: np.ndarray, tmp_path: Path
) -> None:
    height, width = half_light.shape[1:3]
    items = generate(client, plate_spec, (width, height), "plate")
    info = decode_take(items["take", -1], "it")
    assert (info.footage.start_frame, info.footage.rate, info.footage.timecode) == (1001, "24000/1001", "10:00:00:00")
    assert (info.layers, info.layer_colour, info.fps) == ("plate", True, pytest.approx(24000 / 1001))
    assert info.colour is not None and (info.colour.primaries, info.colour.transfer) == ("ap1", "linear")
    exported = run(client, export_of(client, items, "exr"))
    assert sorted(exported) == [("file", i) for i in range(FRAMES)]
    for source in (exported, items):
        for i in range(FRAMES):
            path = tmp_path / "one.exr"
            path.write_bytes(source["file" if source is exported else "layers", i])
            pixels, _ = read_plate(path)
            assert np.array_equal(pixels.view(np.uint16), half_light[i].view(np.uint16))
    with OpenEXR.File(str(tmp_path / "one.exr")) as file:
        assert file.header()["imageCounter"] == 1001 + FRAMES - 1
    received = tmp_path / "items"
    received.mkdir()
    for (name, frame), data in items.items():  # as 'ex4d remote' receives it
        ending = {"frame": "png", "layers": "exr", "take": "json"}.get(name, "npy")
        (received / (f"{name}.{ending}" if frame < 0 else f"{name}_{frame + 1:04d}.{ending}")).write_bytes(data)
    take = write_received_take(tmp_path / "shot", received, {})
    again, _ = read_plate(export_take(take, "exr", tmp_path)[2])
    assert np.array_equal(again.view(np.uint16), half_light[2].view(np.uint16))


def test_a_take_of_eight_bits_has_layers_only_if_all_are_asked_for(client: Client, send_clip) -> None:
    spec = send_clip(client)
    names = {layers: {name for name, _ in generate(client, spec, (48, 40), layers)} for layers in ("plate", "all")}
    assert names == {"plate": {"coverage", "frame", "take"}, "all": {"coverage", "frame", "take", "layers"}}


def test_an_export_that_cannot_be_is_refused_with_a_sentence(client: Client, send_clip) -> None:
    items = generate(client, send_clip(client), (48, 40), "all")
    good = export_of(client, items, "exr")
    for wrong, said in (
        (replace(good, kind="gif"), "no export 'gif'"),
        (replace(good, frames=good.frames[:1]), "1 pictures and 3 layers were sent"),
        (replace(good, take=good.frames[0]), "take's description"),
        (replace(good, kind="dnxhr"), "256x120"),
    ):
        with pytest.raises(JobFailed, match=said):
            run(client, wrong)


@needs_ffmpeg
@pytest.mark.comes_in(
    "Video", "sound, through a backend", "in exported movies from the frame that the take begins with"
)
def test_sound_and_time_code_are_in_the_movie_that_a_backend_exports(client: Client, tmp_path: Path) -> None:
    source = "sine=frequency=440:sample_rate=48000:duration=0.5"
    tone = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", str(tmp_path / "tone.mov")]
    subprocess.run(tone, check=True)
    frames = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3)).astype(np.uint8)
    write_video(tmp_path / "a.mov", frames, fps=24, sound=Sound(tmp_path / "tone.mov"))
    np.save(tmp_path / "depth.npy", np.full((12, 64, 96), 4, np.float32))
    video, depth = (send(client, tmp_path / name) for name in ("a.mov", "depth.npy"))
    clip = ClipSpec(video=Media(kind="video", blobs=(video,)), depth=Media(kind="npy", blobs=(depth,)))
    items = generate(client, clip, (96, 64), "all")
    info = decode_take(items["take", -1], "it")
    assert info.footage.sound
    made = run(client, export_of(client, items, "prores", sound=video))
    (tmp_path / "b.mov").write_bytes(made["file", -1])
    command = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,duration_ts,sample_rate,r_frame_rate"]
    said = subprocess.run([*command, "-of", "json", str(tmp_path / "b.mov")], capture_output=True, check=True).stdout
    picture, sound = json.loads(said)["streams"][:2]
    assert picture["r_frame_rate"] == "24/1"
    assert (sound["codec_type"], sound["sample_rate"]) == ("audio", "48000")
    assert int(sound["duration_ts"]) == pytest.approx(48000 * FRAMES / 24, abs=1024)


@needs_ffmpeg
def test_fields_are_refused_where_the_client_says_so(client: Client, tmp_path: Path) -> None:
    source = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=50:duration=0.2"]
    weave = ["-vf", "tinterlace=interleave_top,setfield=tff", "-c:v", "mpeg2video", "-flags", "+ildct+ilme"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *weave, str(tmp_path / "tape.mkv")], check=True)
    np.save(tmp_path / "depth.npy", np.full((FRAMES, 64, 96), 4, np.float32))
    video, depth = (send(client, tmp_path / name) for name in ("tape.mkv", "depth.npy"))
    media = {"video": Media(kind="video", blobs=(video,)), "depth": Media(kind="npy", blobs=(depth,))}
    refusing = ClipSpec(**media, num_frames=FRAMES, reading=VideoReading(fields="refuse"))
    with pytest.raises(JobFailed, match=r"^tape\.mkv is interlaced: each frame holds two moments\."):
        generate(client, refusing, (96, 64), "none")
    assert ("take", -1) in generate(client, replace(refusing, reading=None), (96, 64), "none")


def test_a_colour_space_that_there_is_not_is_refused_in_the_clients_words(client: Client, plate_spec: ClipSpec) -> None:
    pytest.importorskip("PyOpenColorIO")
    config = send(
        client, b"ocio_profile_version: 2\nroles: {default: raw}\ncolorspaces:\n  - !<ColorSpace> {name: raw}\n"
    )
    reading = VideoReading(colour_space="V-Gamut", ocio=replace(config, name="studio.ocio"))
    named = replace(plate_spec, reading=reading)
    with pytest.raises(JobFailed, match=r"no colour space 'V-Gamut' in studio\.ocio; it has: raw\.") as refused:
        run(client, Generate(clip=named, trajectory=still(96, 72), engine="preview"))
    assert "blobs" not in str(refused.value)
