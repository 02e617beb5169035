"""An installed wheel knows where it came from, and what it lacks is installed from there."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from ex4d_ground import origin
from ex4d_ground.errors import MissingExtraError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``installed(url)``: our distribution as an installer leaves it, found before the checkout's."""

    def install(url: str) -> None:
        info = tmp_path / "site" / "ex4d-0.1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ex4d\nVersion: 0.1.0\n", encoding="utf-8")
        (info / "direct_url.json").write_text(json.dumps({"url": url, "archive_info": {}}), encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return install


def test_an_extra_is_installed_from_the_wheel_that_is_there(installed, tmp_path: Path) -> None:
    wheel = tmp_path / "Ann's wheels" / "ex4d-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"")
    installed(wheel.as_uri())
    assert origin.wheel() == wheel
    remedy = MissingExtraError("Depth", "depth").remedy
    assert remedy is not None and remedy.action == "run_command"
    words = shlex.split(str(remedy.values["command"]))
    assert words == [sys.executable, "-m", "pip", "install", f"{wheel}[depth]"]
    wheel.unlink()
    assert origin.wheel() is None
    gone = MissingExtraError("Depth", "depth").remedy
    assert gone is not None and gone.values["command"] == "pip install '.[depth]'"


@pytest.mark.parametrize("url", ["", "https://example.org/ex4d.whl", "file:///nowhere/ex4d.whl", "file:///tmp", "%%%"])
def test_what_came_from_elsewhere_is_no_wheel(installed, url: str) -> None:
    installed(url)
    assert origin.wheel() is None
