"""``--rasterizer``: what draws the guides is chosen by name, and the take says what it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from ex4d.takes import read_take_info

from .conftest import Shot


@pytest.mark.parametrize("command", ["recon", "preview", "coverage", "run", "demo"])
def test_an_unknown_rasterizer_is_told_with_the_ones_there_are(ex4d, shot: Shot, tmp_path: Path, command: str) -> None:
    source = () if command == "demo" else (*shot.source, "--cam", "30")
    outcome = ex4d(command, *source, "--output_dir", tmp_path / "out", "--rasterizer", "embree")
    assert outcome.code == 2
    assert all(name in outcome.err for name in ("embree", "auto", "cpu", "triton", "nvdiffrast"))
    assert not (tmp_path / "out").exists()


def test_the_take_and_the_messages_say_what_drew_the_guides(ex4d, shot: Shot, tmp_path: Path) -> None:
    for index, more in enumerate(((), ("--rasterizer", "cpu"))):
        outcome = ex4d("preview", *shot.source, "--cam", "30", "--output_dir", tmp_path, *more)
        assert "Guides: drawn by the rasterizer 'cpu'." in outcome.err
        assert read_take_info(tmp_path / f"take_00{index + 1}").rasterizer == "cpu"


@pytest.mark.parametrize("name", ["triton", "nvdiffrast"])
def test_a_rasterizer_that_cannot_run_here_is_an_error_and_not_replaced(
    ex4d, shot: Shot, tmp_path: Path, name: str
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("it can run here")
    outcome = ex4d("recon", *shot.source, "--cam", "30", "--output_dir", tmp_path / "out", "--rasterizer", name)
    assert outcome.code == 1
    # Whether its program is installed, too, is of no use to say.
    assert outcome.last == f"Error: {name} needs a CUDA device, none was found; use --rasterizer cpu."
    assert not (tmp_path / "out").exists()
