from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from ex4d.cli.eval import app
from ex4d_ground.errors import ClipError


def test_guides_prints_the_table_and_writes_both_files(card_scene, tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["guides", str(card_scene), "--output_dir", str(out), "--perturb", "drift"])
    assert done.exit_code == 0, done.output
    assert "solid, drift" in done.output and str(out / "report.html") in done.output
    assert set(json.loads((out / "eval.json").read_text())["variants"]) == {"solid, drift", "published"}


def test_a_folder_without_scenes_is_a_clear_error_and_writes_nothing(tmp_path):
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["guides", str(tmp_path), "--output_dir", str(out)])
    assert isinstance(done.exception, ClipError)
    assert not out.exists()


def test_results_names_what_was_not_computed(card_scene, tmp_path):
    video = card_scene / "source" / "frames"
    done = CliRunner().invoke(app, ["results", str(video), str(video), "--output_dir", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "psnr: 100.0000" in done.output
    assert "LPIPS: not computed" in done.output


@pytest.mark.parametrize("command", ["guides", "ablation", "results"])
def test_every_command_has_help(command):
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
