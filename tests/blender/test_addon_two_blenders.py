"""Two Blenders on one backend at once, with live views and takes, on one clip and on two; one is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("one_of_two.py")


class Other:
    """A Blender in a process of its own."""

    def __init__(self, address: str, folder: Path, shade: int) -> None:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, str(SCRIPT), address, str(folder), str(shade)]
        with (folder / "stderr.txt").open("ab") as said:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )

    def tell(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def heard(self) -> dict[str, Any]:
        """Its next answer; what Blender itself says is passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                assert "error" not in answer, answer["error"]
                return answer
        raise AssertionError(f"it ended with code {self.process.wait()}")

    def end(self) -> None:
        """As kill -9 does."""
        with self.process:
            self.process.kill()

    def ask(self, *words: object) -> dict[str, Any]:
        self.tell(*words)
        return self.heard()


@pytest.fixture
def start(backend, address, tmp_path, monkeypatch) -> Iterator[Any]:
    """``start(name, shade)``: another Blender, which shares its journal's place with the others, as on one machine."""
    monkeypatch.setenv("EX4D_BACKEND_DATA_DIR", str(tmp_path / "data"))
    running: list[Other] = []

    def begin(name: str, shade: int) -> Other:
        running.append(Other(address, tmp_path / name, shade))
        return running[-1]

    yield begin
    for each in running:
        each.end()


@pytest.mark.any_blender
@pytest.mark.parametrize("shades", [(0, 0), (0, 60)], ids=["one clip", "two clips"])
def test_two_blenders_see_and_make_their_own_and_the_end_of_one_is_not_the_others(start, shades):
    both = [start(name, shade) for name, shade in zip("ab", shades, strict=True)]
    for each in both:
        assert each.heard() == {"ready": True}
    for each in both:  # at once
        each.tell("look", 0.3)
    first = [each.heard() for each in both]
    assert all(found["same"] and found["seen"] > 0 for found in first), first
    for each in both:
        each.tell("both", 7, 12)
    for each in both:
        assert each.heard() == {"begun": True}
    made = [each.heard() for each in both]
    assert all(found["live"] >= 12 and found["partial"] == [False] for found in made), made
    assert (made[0]["pictures"] == made[1]["pictures"]) == (shades[0] == shades[1])

    killed, left = both
    assert killed.ask("held", 8) == {"held": True}
    left.tell("both", 8, 12)
    assert left.heard() == {"begun": True}
    killed.end()
    after = left.heard()
    assert after["live"] >= 12 and after["partial"] == [False, False]
    assert left.ask("look", 0.5)["same"]

    again = start("a", shades[0])
    assert again.heard() == {"ready": True}
    *_, received = again.ask("whole")["pictures"]
    assert (received == after["pictures"][1]) == (shades[0] == shades[1]) and len(received) == 5
    again.tell("look", 0.3)
    left.tell("look", 0.3)
    assert again.heard()["same"] and left.heard()["same"]
