"""A hub that lies: nothing is written outside or beyond what was stated, nothing is read of this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub")
sys.path.insert(0, str(Path(__file__).parent))

from fake_hub import Hub, serve

from ex4d.weights.catalogue import PACKAGES, find_package
from ex4d.weights.fetch import fetch
from ex4d_ground.errors import Ex4dError

WAN = find_package("wan")
CONTENT = b"#!/bin/sh\necho here\n" * 100
NAME = "config.json"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(WAN.repository, {NAME: CONTENT}) as hub:
        yield hub


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def named(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda model: model.update(siblings=[{"rfilename": name, "size": len(CONTENT)}])


def sized(size: Any) -> Callable[[dict[str, Any]], object]:
    return lambda model: model.update(siblings=[{"rfilename": NAME, "size": size}])


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "up": named("google/umt5-xxl/../../../../out.sh"),
    "up, by a pattern": named("diffusion_pytorch_model/../../../out.sh"),
    "absolute": named("/diffusion_pytorch_model/out.sh"),
    "backslash": named("google/umt5-xxl/..\\..\\out.sh"),
    "drive": named("google/umt5-xxl/C:out.sh"),
    "hidden": named("google/umt5-xxl/.bashrc"),
    "control": named("diffusion_pytorch_model\x1b[31m\x00"),
    "newline": named("google/umt5-xxl/a\nb"),
    "empty part": named("google/umt5-xxl//a"),
    "negative": sized(-5),
    "text": sized("abc"),
    "yes": sized(True),
    "beyond the catalogue": sized(2**62),
    "revision": lambda model: model.update(sha="../../../evil"),
    "no revision": lambda model: model.update(sha=None),
    "hash": lambda model: model.update(
        siblings=[{"rfilename": NAME, "size": 5, "lfs": {"sha256": "../x", "size": 5, "pointerSize": 1}}]
    ),
    "nothing in it": lambda model: model.update(siblings=[]),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_cannot_be_right_is_refused_before_anything_is_fetched(hub, tmp_path, lie):
    hub.tell = LIES[lie]
    with pytest.raises(Ex4dError) as caught:
        fetch(WAN, tmp_path / "root", endpoint=hub.address)
    assert str(caught.value).endswith(".") and "\x1b" not in str(caught.value) and "\n" not in str(caught.value)
    assert hub.sent == {} and everything(tmp_path) == []


@pytest.mark.parametrize("answer", [b"<html>", b"[" * 200_000, b"", b"3", b'{"id": 7}', b"\xff\xfe"])
def test_an_answer_that_is_none_is_one_sentence(hub, tmp_path, answer):
    hub.answer = answer
    with pytest.raises(Ex4dError) as caught:
        fetch(WAN, tmp_path / "root", endpoint=hub.address)
    assert str(caught.value).endswith(".") and everything(tmp_path) == []


def test_more_than_stated_is_thrown_away_while_it_comes(hub, tmp_path):
    hub.tell, hub.endless = sized(10), True
    with pytest.raises(Ex4dError, match="longer than the 10 bytes stated"):
        fetch(WAN, tmp_path / "root", endpoint=hub.address)
    assert everything(tmp_path) == [] and hub.sent[NAME] < 64 << 20


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,xyz"])
@pytest.mark.parametrize("when", ["asked where", "asked for"])
def test_only_the_web_is_asked(hub, tmp_path, address, when):
    hub.redirect, hub.redirects = address, "HEAD" if when == "asked where" else "GET"
    with pytest.raises(Ex4dError) as caught:
        fetch(WAN, tmp_path / "root", endpoint=hub.address)
    assert str(caught.value).endswith(".") and everything(tmp_path) == []


def test_from_https_nobody_is_sent_to_http() -> None:
    import urllib.request

    from ex4d.weights.download import _Redirects

    request = urllib.request.Request("https://hub.example/a")
    follow = _Redirects().redirect_request
    assert follow(request, None, 302, "", {}, "https://cdn.example/a") is not None
    with pytest.raises(Ex4dError, match="no safe address"):
        follow(request, None, 302, "", {}, "http://cdn.example/a")


def test_a_hash_of_the_catalogue_decides_whatever_the_hub_says(hub, tmp_path):
    good = replace(WAN, patterns=(NAME,), essential=(), hashes={NAME: hashlib.sha256(CONTENT).hexdigest()})
    fetch(good, tmp_path / "good", endpoint=hub.address)
    other = replace(good, hashes={NAME: hashlib.sha256(os.urandom(8)).hexdigest()})
    with pytest.raises(Ex4dError, match="another SHA-256"):
        fetch(other, tmp_path / "bad", endpoint=hub.address)
    assert everything(tmp_path / "bad") == []


def test_the_catalogues_own_patterns_name_files_that_are_accepted() -> None:
    from ex4d.weights.fetch import _PART

    for package in PACKAGES:
        for pattern in package.patterns:
            name = pattern.replace("*", "x")
            assert all(_PART.fullmatch(part) for part in name.split("/")), pattern
