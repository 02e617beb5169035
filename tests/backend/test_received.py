"""What a backend sends becomes files below the folder that was named, and never mixes with what lies there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from ex4d_backend.cli.received import write_item
from ex4d_ground.files import free_path, plain_name


@pytest.mark.parametrize(
    "name",
    ["../../from_server", "/etc/from_server", "..\\..\\x", "C:x", "", ".", "..", ".bashrc", "a\x00b", "CON", "nul"],
)
@pytest.mark.parametrize("frame", [-1, 3])
def test_a_name_from_the_backend_never_leads_out_of_the_folder(tmp_path: Path, name: str, frame: int) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    item = SimpleNamespace(name=name, frame=frame, data=b"{}", item=SimpleNamespace(encoding="json"))
    path = write_item(folder, item)  # pyright: ignore[reportArgumentType] - a stand-in for what a server sends
    assert path.parent == folder and path.read_bytes() == b"{}"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]
    assert not path.name.startswith(".") and path.stem.upper() not in ("CON", "NUL")


def test_plain_names_stay_as_they_are() -> None:
    for name in ("take", "colour", "clip_info", "shot_v1.2", "Ünïcode 映像"):
        assert plain_name(name) == name


def test_the_next_free_name_is_found(tmp_path: Path) -> None:
    path = tmp_path / "demo.blend"
    assert free_path(path) == path
    path.touch()
    (tmp_path / "demo_002.blend").touch()
    assert free_path(path) == tmp_path / "demo_003.blend"
