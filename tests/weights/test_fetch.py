"""``ex4d weights fetch`` and ``verify`` against a hub on the loopback device: whole, resumed, refused, damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")
sys.path.insert(0, str(Path(__file__).parent))

from fake_hub import Hub, serve

from ex4d.progress import CancelToken, Progress
from ex4d.weights.catalogue import PACKAGES, find_package, find_packages
from ex4d.weights.fetch import Record, check_space, fetch
from ex4d.weights.verify import verify_files
from ex4d_ground.errors import Cancelled, OutputError, SettingError, WeightsError
from ex4d_ground.remedies import fetch_weights

TURBO = find_package("turbo")
NAME = TURBO.patterns[0]
CONTENT = os.urandom(3_000_000)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(TURBO.repository, {NAME: CONTENT, "README.md": b"for people", "other.safetensors": b"x" * 5000}) as hub:
        yield hub


def test_fetch_brings_what_is_needed_and_nothing_else(hub: Hub, tmp_path: Path) -> None:
    seen: list[Progress] = []
    folder = fetch(TURBO, tmp_path, endpoint=hub.address, on_progress=seen.append)
    assert (folder / NAME).read_bytes() == CONTENT
    assert set(hub.sent) == {NAME}
    assert TURBO.is_there(tmp_path)
    record = Record.read(folder)
    assert record is not None and [f.name for f in record.files] == [NAME]
    counts = [p.done for p in seen if p.stage == "fetching turbo"]
    assert counts == sorted(counts) and counts[-1] == 3


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch(TURBO, tmp_path, endpoint=hub.address)
    hub.sent.clear()
    fetch(TURBO, tmp_path, endpoint=hub.address)
    assert hub.sent == {}


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    cancel, content = CancelToken(), os.urandom(1 << 16) * 500

    def stop_on_the_way(progress: Progress) -> None:
        if progress.stage == "fetching turbo" and progress.done >= 10:
            cancel.cancel()

    with serve(TURBO.repository, {NAME: content}) as hub:
        with pytest.raises(Cancelled):
            fetch(TURBO, tmp_path, endpoint=hub.address, on_progress=stop_on_the_way, cancel=cancel)
        assert not TURBO.is_there(tmp_path)
        hub.sent.clear()
        fetch(TURBO, tmp_path, endpoint=hub.address)
        assert (TURBO.path(tmp_path) / NAME).read_bytes() == content
        assert hub.sent[NAME] <= len(content) - 10_000_000


def test_a_killed_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = os.urandom(1 << 16) * 500
    half = TURBO.path(tmp_path) / f".{NAME}.partial"
    code = "import sys; from pathlib import Path; from ex4d.weights.catalogue import find_package as f\n"
    code += "from ex4d.weights.fetch import fetch; fetch(f('turbo'), Path(sys.argv[1]), endpoint=sys.argv[2])"
    with serve(TURBO.repository, {NAME: content}) as hub:
        hub.stall_after = 20_000_000
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), hub.address]) as process:
            while not half.is_file() or half.stat().st_size < 10_000_000:
                assert process.poll() is None
                time.sleep(0.05)
            process.kill()
        assert not TURBO.is_there(tmp_path)
        arrived, hub.stall_after = half.stat().st_size, None
        hub.sent.clear()
        fetch(TURBO, tmp_path, endpoint=hub.address)
        assert (TURBO.path(tmp_path) / NAME).read_bytes() == content
        assert hub.sent[NAME] == len(content) - arrived


def test_what_arrives_damaged_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    half = TURBO.path(tmp_path) / f".{NAME}.partial"
    half.parent.mkdir()
    half.write_bytes(b"\0" * 1000)  # the beginning of something else
    with pytest.raises(WeightsError, match="SHA-256") as caught:
        fetch(TURBO, tmp_path, endpoint=hub.address)
    assert "run: ex4d weights fetch turbo" in caught.value.text("cli")
    assert not half.exists() and not TURBO.is_there(tmp_path)
    assert (fetch(TURBO, tmp_path, endpoint=hub.address) / NAME).read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = 1_200_000
    assert (fetch(TURBO, tmp_path, endpoint=hub.address) / NAME).read_bytes() == CONTENT
    assert hub.sent[NAME] == len(CONTENT)


def test_too_small_a_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"needs 80\.0 GB .* 2\.0 GB are free .* EX4D_WEIGHTS"):
        check_space(find_package("wan"), tmp_path / "not" / "yet", 80_000_000_000, free=2_000_000_000)
    check_space(find_package("wan"), tmp_path, 1_000_000, free=2_000_000_000)


def test_an_unreachable_hub_and_an_unknown_repository_are_sentences(tmp_path: Path) -> None:
    with serve("somebody/else", {}) as hub, pytest.raises(WeightsError, match=TURBO.repository):
        fetch(TURBO, tmp_path, endpoint=hub.address)
    with pytest.raises(WeightsError, match="cannot be fetched"):
        fetch(TURBO, tmp_path, endpoint="http://127.0.0.1:9")
    assert not TURBO.is_there(tmp_path)


def test_verify_names_what_is_damaged_short_or_missing(hub: Hub, tmp_path: Path) -> None:
    path = fetch(TURBO, tmp_path, endpoint=hub.address) / NAME
    assert verify_files(TURBO, tmp_path) == []
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert verify_files(TURBO, tmp_path, hashes=False) == []
    assert "is damaged" in verify_files(TURBO, tmp_path)[0].problem
    path.write_bytes(CONTENT[:1000])
    assert "has 1000 bytes instead of 3000000" in verify_files(TURBO, tmp_path, hashes=False)[0].problem
    path.unlink()
    assert verify_files(TURBO, tmp_path)[0].remedy == fetch_weights("turbo")


def test_every_package_is_known_by_name_and_the_usual_ones_are_the_default() -> None:
    assert [p.name for p in find_packages([])] == ["wan", "ex4d"]
    assert find_packages([p.name for p in PACKAGES]) == list(PACKAGES)
    with pytest.raises(SettingError, match=r"no weights 'sdxl'; choose one of wan, "):
        find_packages(["sdxl"])
