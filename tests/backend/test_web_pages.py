"""Web pages made by a backend: of a shot, with a take that a client sends along."""

from __future__ import annotations

import json
import re

import pytest

from backend.conftest import FRAMES, poses
from backend.test_plates import run, send
from ex4d_protocol.errors import JobFailed
from ex4d_protocol.requests import Generate, WebPage


def facts_of(page: bytes) -> dict:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', page.decode())
    assert found is not None
    return json.loads(found[1])


def test_a_shot_and_a_take_come_back_as_one_page(client, send_clip):
    clip = send_clip(client)
    made = run(client, Generate(clip=clip, trajectory=poses(FRAMES), engine="preview"))
    take = send(client, made["take", -1])
    frames = tuple(send(client, made["frame", i]) for i in range(FRAMES))
    ((name, _), page), *more = run(client, WebPage(clip=clip, take=take, take_number=7, frames=frames)).items()
    assert (name, more) == ("page", [])
    facts = facts_of(page)
    assert [source["name"] for source in facts["sources"]] == ["Shot", "Take 007"]
    assert facts["replays"][0]["frames"] == [0] * FRAMES, "that move stops the clip"
    with pytest.raises(JobFailed, match=f"The take has {FRAMES} frames, but 1 pictures were sent"):
        run(client, WebPage(clip=clip, take=take, frames=frames[:1]))


def test_a_shot_alone_is_a_page_as_well(client, send_clip):
    items = run(client, WebPage(clip=send_clip(client), side=48))
    (source,) = facts_of(items["page", -1])["sources"]
    assert max(source["size"]) == 48
