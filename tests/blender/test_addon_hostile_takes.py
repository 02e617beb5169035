"""Descriptions of takes beside a .blend that somebody else wrote: none stops Blender, none hides the takes after it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_addon_compare import save_take, takes_folder  # noqa: F401  a fixture

GOOD = {"engine": "preview", "seed": 7, "settings": {}, "coverage": [0.5] * 5}


def text(**changes) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


ONE_ROW = {"width": 8, "height": 8, "world_from_camera": [[1]], "intrinsics": [], "source_time": []}
HOSTILE = {
    "empty": b"",
    "cut": b'{"engine": "prev',
    "no text": bytes(range(256)),
    "a list": b"[]",
    "a number": b"3",
    "deep": b"[" * 200_000,
    "deep inside": b'{"engine": "x", "settings": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    "another format": b'{"format": "mine", "engine": "x"}',
    "a later version": text(version=99),
    "seed of 63 bits": text(seed=2**62),
    "negative seed": text(seed=-5),
    "seed beyond": b'{"engine": "preview", "seed": 1' + b"0" * 400 + b"}",
    "seed as text": text(seed="7"),
    "many frames": text(num_frames=10**15),
    "negative frames": text(num_frames=-3),
    "coverage beyond": b'{"engine": "preview", "coverage": [1e308, 1e308, 1e308]}',
    "coverage not a number": b'{"engine": "preview", "coverage": [NaN]}',
    "engine of a megabyte": text(engine="e" * 1_000_000),
    "engine with zeros": text(engine="a\u0000b"),
    "settings as a list": text(settings=[1]),
    "settings nested": text(settings={"a": {"b": [1, 2, {"c": None}]}}),
    "metadata as text": text(metadata="x", version="0.1"),
    "camera of one row": text(camera=ONE_ROW),
    "surrogate": b'{"engine": "\\ud800"}',
    "a mark at the start": b"\xef\xbb\xbf" + text(),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("file", ["take.json", "partial.json"])
def test_a_hostile_description_hides_nothing(blender, shot, moving_camera, takes_folder, name, file, quiet):  # noqa: F811
    for number in (1, 3):
        save_take(takes_folder / f"take_00{number}", value=9, document=GOOD)
    save_take(takes_folder / "take_002", value=9, document=GOOD)
    (takes_folder / "take_002" / "take.json").unlink()
    (takes_folder / "take_002" / file).write_bytes(HOSTILE[name])
    before = {path: path.read_bytes() for path in takes_folder.rglob("*") if path.is_file()}
    blender.ops.wm.save_mainfile()
    blender.ops.wm.open_mainfile(filepath=blender.data.filepath)
    takes = {take.name: take for take in blender.context.scene.ex4d.takes}
    assert {"take_001", "take_003"} <= set(takes), "they are listed by opening the file"
    assert all(take.plane is not None for take in takes.values())
    if "take_002" in takes:
        blender.ops.ex4d.show_take(index=list(takes).index("take_002"))
    assert {path: path.read_bytes() for path in takes_folder.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_pipe_or_a_folder_in_its_place_is_not_waited_for(blender, shot, moving_camera, takes_folder):  # noqa: F811
    for number, name in ((1, "take.json"), (2, "partial.json")):
        save_take(takes_folder / f"take_00{number}", value=9, document=GOOD)
        (takes_folder / f"take_00{number}" / "take.json").unlink()
        os.mkfifo(takes_folder / f"take_00{number}" / name)
    (takes_folder / "take_003" / "take.json").mkdir(parents=True)
    save_take(takes_folder / "take_004", value=9, document=GOOD)
    blender.ops.ex4d.find_takes()
    assert [take.name for take in blender.context.scene.ex4d.takes] == ["take_004"]


def test_a_description_beyond_reason_is_not_read(tmp_path: Path, monkeypatch):
    from ex4d_ground import takes
    from ex4d_ground.errors import ClipError

    monkeypatch.setattr(takes, "MAX_BYTES", 10)
    (tmp_path / "take.json").write_bytes(text())
    with pytest.raises(ClipError, match="more than any take's description"):
        takes.read_take_info(tmp_path)
