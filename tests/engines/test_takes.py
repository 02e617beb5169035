from __future__ import annotations

import json
from dataclasses import replace

import av
import numpy as np
import pytest
from full_disk import no_file_beyond
from PIL import Image

from ex4d import Clip, Take
from ex4d.progress import CancelToken
from ex4d.takes import contact_sheet, read_take, save_take, take_metadata
from ex4d.trajectory import preset
from ex4d_ground.cameras import Intrinsics
from ex4d_ground.errors import Cancelled, ClipError, InputError, OutputError, SettingError, ShapeError
from ex4d_ground.takes import read_take_info

LENS = Intrinsics(40.3, 41.7, 31.0, 25.0, 64, 48)


@pytest.fixture
def take() -> Take:
    rng = np.random.default_rng(5)
    move = preset("vertigo_in", num_frames=6, intrinsics=LENS, near_depth=2.0)
    clip = Clip(
        rng.integers(0, 255, (6, 48, 64, 3), dtype=np.uint8), np.ones((6, 48, 64), np.float32), LENS, name="plate"
    )
    return Take(
        frames=rng.integers(0, 255, (6, 48, 64, 3), dtype=np.uint8),
        fps=24.0,
        engine="preview",
        settings={"fill": "background", "softness": 0.3},
        seed=1234,
        trajectory=move,
        coverage=np.linspace(1, 0.1, 6),
        metadata=take_metadata(clip, licences={"engine": "Apache-2.0"}),
    )


def listing(folder) -> list[str]:
    return sorted(p.name for p in folder.rglob("*"))


def test_a_take_round_trips_with_everything_needed_to_make_it_again(take, tmp_path):
    folder = save_take(tmp_path / "takes", take)
    again = read_take(folder)
    np.testing.assert_array_equal(again.frames, take.frames)
    for field in ("world_from_camera", "intrinsics", "source_time"):
        np.testing.assert_array_equal(getattr(again.trajectory, field), getattr(take.trajectory, field))
    assert (again.trajectory.width, again.trajectory.height, again.trajectory.name) == (64, 48, "vertigo_in")
    for field in ("fps", "engine", "settings", "seed", "metadata"):
        assert getattr(again, field) == getattr(take, field)
    np.testing.assert_allclose(again.coverage, take.coverage, atol=1e-6)


def test_a_take_is_numbered_pngs_a_description_and_a_movie_beside_it(take, tmp_path):
    folder = save_take(tmp_path, take)
    assert folder.name == "take_001"
    assert listing(folder) == [f"frame_{i:04d}.png" for i in range(1, 7)] + ["take.json"]
    assert listing(tmp_path) == sorted(["take_001", "take_001.mp4", *listing(folder)])


def test_a_preview_says_so_in_every_file(take, tmp_path):
    folder = save_take(tmp_path, take)
    document = read_take_info(folder)
    assert document.watermark == "engine=preview" and document.preview is True
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.info["engine"] == "preview" and image.info["seed"] == "1234"
    with av.open(str(folder.with_suffix(".mp4"))) as movie:
        assert "engine=preview" in movie.metadata["comment"]
        assert sum(1 for _ in movie.decode(video=0)) == 6


def test_the_clip_s_hash_tells_clips_apart(take):
    frames = np.zeros((2, 48, 64, 3), np.uint8)
    depth = np.ones((2, 48, 64), np.float32)
    a = take_metadata(Clip(frames, depth, LENS))["clip"]["sha256"]
    b = take_metadata(Clip(frames, depth * np.float32(2), LENS))["clip"]["sha256"]
    assert len(a) == 64 and a != b and a == take_metadata(Clip(frames.copy(), depth, LENS))["clip"]["sha256"]


def test_the_next_free_number_is_taken_and_nothing_is_overwritten(take, tmp_path):
    (tmp_path / "take_004.mp4").write_bytes(b"mine")
    (tmp_path / "take_002").mkdir()
    assert save_take(tmp_path, take, video=False).name == "take_005"
    assert save_take(tmp_path, take).name == "take_006"
    assert (tmp_path / "take_004.mp4").read_bytes() == b"mine" and listing(tmp_path / "take_002") == []


def test_when_the_disk_gives_out_nothing_half_written_stays(take, tmp_path):
    first = save_take(tmp_path, take)
    before = listing(tmp_path)
    with no_file_beyond(1000), pytest.raises(OutputError, match="Cannot write"):
        save_take(tmp_path, take)
    with no_file_beyond(1000), pytest.raises(OutputError) as refused:
        save_take(tmp_path / "new", take)
    assert str(refused.value).startswith(f"Cannot write {tmp_path / 'new'}: the file would grow")
    assert listing(tmp_path) == before
    np.testing.assert_array_equal(read_take(first).frames, take.frames)


def test_a_folder_that_is_a_file_is_an_output_error(take, tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        save_take(tmp_path / "f", take)


def test_cancel_leaves_nothing(take, tmp_path):
    token = CancelToken()
    seen = []

    def stop(progress) -> None:
        seen.append(progress.done)
        if progress.done == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        save_take(tmp_path / "takes", take, on_progress=stop, cancel=token)
    assert seen == [1, 2, 3] and listing(tmp_path) == []


def test_metadata_that_is_no_json_is_refused_before_anything_is_written(take, tmp_path):
    for bad in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises(InputError, match="JSON"):
            save_take(tmp_path / "takes", replace(take, metadata=bad))
    with pytest.raises(ShapeError, match="5 and"):
        save_take(tmp_path, replace(take, trajectory=preset("30", num_frames=5, intrinsics=LENS, near_depth=1.0)))
    assert listing(tmp_path) == []


def test_a_damaged_take_names_the_file(take, tmp_path):
    folder = save_take(tmp_path, take, video=False)
    (folder / "frame_0003.png").unlink()
    with pytest.raises(ClipError, match=r"frame_0003\.png is missing"):
        read_take(folder)
    (folder / "frame_0003.png").write_bytes(b"nonsense")
    with pytest.raises(ClipError, match=r"frame_0003\.png is damaged"):
        read_take(folder)
    document = json.loads((folder / "take.json").read_text())
    (folder / "take.json").write_text(json.dumps(document | {"version": 99}))
    with pytest.raises(ClipError, match="version 99"):
        read_take(folder)
    document.pop("camera")
    (folder / "take.json").write_text(json.dumps(document))
    with pytest.raises(ClipError, match="lacks camera"):
        read_take(folder)
    with pytest.raises(ClipError, match="no take folder"):
        read_take(tmp_path)


def test_a_contact_sheet_shows_every_part_at_its_place(take, tmp_path):
    red, blue = np.array([200, 20, 20], np.uint8), np.array([20, 20, 200], np.uint8)
    shape = take.frames.shape
    source, result = np.broadcast_to(red, shape), np.broadcast_to(blue, shape)
    mask = np.zeros(shape[:3], bool)
    mask[:, :, 32:] = True
    path = tmp_path / "sheet.png"
    contact_sheet(source, np.broadcast_to(red, shape), mask, result, path, columns=3, tile_width=128, title="A move")
    with Image.open(path) as image:
        page = np.asarray(image)
    is_red = (page == red).all(-1).sum()
    is_blue = (page == blue).all(-1).sum()
    tile = 128 * 96
    assert is_blue == 3 * tile
    assert 3 * tile * 1.45 < is_red < 3 * tile * 1.55  # the source and the seen half of the guide
    assert page.max() > 200 and page[:5].max() < 60  # text on a dark page


def test_a_contact_sheet_refuses_what_does_not_fit(take, tmp_path):
    mask = np.ones(take.frames.shape[:3], bool)
    with pytest.raises(ShapeError, match="6, 6, 6 and 5"):
        contact_sheet(take.frames, take.frames, mask, take.frames[:5], tmp_path / "s.png")
    with pytest.raises(SettingError, match="0 to 5"):
        contact_sheet(take.frames, take.frames, mask, take.frames, tmp_path / "s.png", frames=[0, 6])
