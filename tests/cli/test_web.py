"""``ex4d web``: a page from the command line, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

from msgspec import structs

from ex4d_ground.takes import TAKE_FILE, read_take_info


def facts_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text)
    assert found is not None
    return json.loads(found[1])


def test_a_shot_and_a_take_become_one_page(ex4d, shot, tmp_path: Path) -> None:
    move = ["--cam", "orbit_left", "--amount", 10, "--num_frames", 3]
    assert ex4d("preview", *shot.source, *move, "--output_dir", tmp_path / "takes").code == 0
    take = tmp_path / "takes" / "take_001"
    info = structs.replace(read_take_info(take), objects=[{"name": "Lamp </script>", "vertices": "", "faces": ""}])
    (take / TAKE_FILE).write_text(info.encoded(), encoding="utf-8")
    done = ex4d("web", *shot.source, *move, "--take", take, "--output_dir", tmp_path / "page")
    assert done.code == 0, done.err
    assert "guide objects are left out of the page: Lamp </script>" in done.err
    page = tmp_path / "page" / "index.html"
    assert str(page) in done.out
    facts = facts_of(page)
    assert [source["name"] for source in facts["sources"]] == ["Shot", "Take 001"]
    assert [source["frames"] for source in facts["sources"]] == [3, 3]
    assert [replay["frames"] for replay in facts["replays"]] == [[0, 1, 2], [0, 1, 2]]
    assert any("Lamp" in note for note in facts["notes"])
    assert all(0 < angle <= 45 for angle in facts["limits"].values())
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == text.count("<script"), "a name ended a script"
    assert "Permission is hereby granted" in text, "the licence of three.js travels along"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    again = ex4d("web", *shot.source, *move, "--output_dir", tmp_path / "page")
    assert again.code == 3
    assert "there already; choose another folder" in again.err


def test_what_cannot_become_a_page_is_refused_in_a_sentence(ex4d, shot, tmp_path: Path) -> None:
    move = ["--cam", "static", "--output_dir", tmp_path / "page"]
    endless = ex4d("web", *shot.source, *move, "--mode", "endless")
    assert endless.code == 2
    assert "drop --parity and --mode endless" in endless.err
    huge = ex4d("web", *shot.source, *move, "--side", 5000)
    assert huge.code == 2
    assert "from 48 to 2048 pixels, got 5000" in huge.err
    nothing = ex4d("web", *shot.source, *move, "--take", tmp_path)
    assert nothing.code == 2
    assert "no take folder" in nothing.err
    assert not (tmp_path / "page").exists()


def test_a_page_in_the_way_is_told_before_the_shot_is_read(ex4d, shot, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("another's")
    done = ex4d("web", *shot.source, "--cam", "static", "--output_dir", tmp_path)
    assert done.code == 3
    assert "Focal length" not in done.err
    assert (tmp_path / "index.html").read_text() == "another's"


def test_a_larger_clip_is_made_smaller_as_a_whole(ex4d, shot, tmp_path: Path) -> None:
    done = ex4d("web", *shot.source, "--cam", "static", "--side", 48, "--output_dir", tmp_path / "page")
    assert done.code == 0, done.err
    (source,) = facts_of(tmp_path / "page" / "index.html")["sources"]
    assert source["size"] == [48, 34]
    fx, _, cx, cy = source["lenses"][0]
    assert (cx, cy) == (24, 17)
    assert 40 < fx < 55
