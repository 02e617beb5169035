"""*Web Page* among the exports of a take: made by a real backend, written beside what is there."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("ex4d.web", reason="the library is not installed beside this Blender")


def test_a_take_is_exported_as_a_page_twice(ready, tmp_path):
    scene, out = ready.context.scene, tmp_path / "out"
    ready.ops.ex4d.generate(engine="preview")
    for _ in range(2):
        ready.ops.ex4d.export_take(index=0, kind="WEB", directory=str(out))
    assert sorted(path.name for path in out.iterdir()) == ["take_001_web", "take_001_web_2"]
    text = (out / "take_001_web" / "index.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', text)
    assert found is not None
    facts = json.loads(found[1])
    assert [source["name"] for source in facts["sources"]] == ["Shot", "Take 001"]
    count = scene.ex4d.takes[0].num_frames
    assert facts["sources"][0]["frames"] == scene.ex4d.shot.ex4d.num_frames
    assert facts["replays"][0]["frames"] == list(range(count))
