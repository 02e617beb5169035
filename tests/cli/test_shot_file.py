"""``ex4d run SHOT``: the unit of a farm, a folder that says all that its take needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ex4d.cli.app import main
from ex4d.shots import take
from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.shot_files import SHOT_FILE, read_shot, shot_names, write_shot
from ex4d_ground.takes import read_take_info


def make_shot(folder: Path, shot, **options: object) -> Path:
    """A folder with the small clip and a shot's file that names it."""
    folder.mkdir(parents=True)
    shutil.copy(shot.video, folder / "plate.mp4")
    shutil.copy(shot.depth, folder / "depth.npz")
    own = {"input_video": "plate.mp4", "depth": "depth.npz", "cam": "orbit_left", "engine": "preview", **options}
    write_shot(folder, own)
    return folder


def test_a_shot_is_run_by_its_folder_and_found_again_wherever_it_lies(ex4d, shot, tmp_path: Path) -> None:
    folder = make_shot(tmp_path / "shots" / "010", shot, amount=5, seed=7, num_frames=4, set={"softness": 0.3})
    done = ex4d("run", folder)
    assert done.code == 0, done.err
    info = read_take_info(folder / "take_001")
    assert (info.seed, info.num_frames, info.settings["softness"]) == (7, 4, 0.3)
    assert ex4d("run", folder / SHOT_FILE).out.strip() == str(folder / "take_001")
    folder.parent.rename(tmp_path / "elsewhere")
    again = ex4d("run", tmp_path / "elsewhere" / "010")
    assert (again.code, again.out.strip()) == (0, str(tmp_path / "elsewhere" / "010" / "take_001"))


def test_the_take_is_found_where_another_machine_has_mounted_the_camera_file(ex4d, shot, tmp_path: Path) -> None:
    out = tmp_path / "camera"
    assert ex4d("recon", *shot.source, "--cam", "30", "--output_dir", out, "--save_camera").code == 0
    camera = next(out.glob("camera_*.npz"))
    folder = make_shot(tmp_path / "here" / "010", shot, cam=camera.name)
    shutil.copy(camera, folder)
    assert ex4d("run", folder).code == 0
    folder.parent.rename(tmp_path / "there")
    assert ex4d("run", tmp_path / "there" / "010").out.strip().endswith("take_001")


def test_what_the_command_line_gives_goes_before_the_file(ex4d, shot, tmp_path: Path) -> None:
    folder = make_shot(tmp_path / "010", shot, seed=7, num_frames=3)
    assert ex4d("run", folder, "--seed", 8, "--output_dir", tmp_path / "out").code == 0
    assert read_take_info(tmp_path / "out" / "take_001").seed == 8
    assert not (folder / "take_001").exists()


def test_a_shot_that_another_machine_has_made_meanwhile_is_not_written_twice(
    ex4d, shot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_shot(tmp_path / "010", shot, num_frames=3)
    made, others = take.run_engine, []

    def slow(*given, **more):
        monkeypatch.setattr(take, "run_engine", made)
        others.append(main(["run", str(folder)]))  # all of another run, while this one works
        return made(*given, **more)

    monkeypatch.setattr(take, "run_engine", slow)
    done = ex4d("run", folder)
    assert (done.code, others) == (0, [0]), done.err
    assert sorted(path.name for path in folder.glob("take*")) == ["take_001", "take_001.mp4"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "is no shot"),
        ('{"format": "ex4d-shot", "options": {}}', "no usable"),
        ('{"format": "ex4d-shot", "version": 2, "options": {}}', "has version 2"),
        ('{"format": "ex4d-shot", "version": 1}', 'lacks "options"'),
        ('{"format": "ex4d-shot", "version": 1, "options": {"sed": 1}}', "no option 'sed'; it has amount"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"set": [1]}}', "set is an object"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"seed": {}}}', "seed is a text, a number"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"cam": ["30"]}}', "cam is a text, a number"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"fps": true}}', "fps is a text or a number, got true"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"cam": false}}', "cam is a text or a number, got false"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"export": {}}}', "export is a list of texts, got {}"),
        (
            '{"format": "ex4d-shot", "version": 1, "options": {"input_video": ".", "cam": "30", "engine": "preview", '
            '"export": "gif"}}',
            "There is no export 'gif'",
        ),
        (
            '{"format": "ex4d-shot", "version": 1, "options": {"input_video": ".", "cam": "30", "seed": "x"}}',
            "valid int",
        ),
        ('{"format": "ex4d-shot", "version": 1, "options": {"input_video": "no.mp4", "cam": "30"}}', "010/no.mp4"),
        ('{"format": "ex4d-shot", "version": 1, "options": {"cam": "30"}}', "input_video"),
    ],
)
def test_a_file_that_is_no_shot_is_wrong_input_in_a_sentence(ex4d, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "010").mkdir()
    (tmp_path / "010" / SHOT_FILE).write_text(text, encoding="utf-8")
    done = ex4d("run", tmp_path / "010")
    assert done.code == 2
    assert says in " ".join(done.err.replace("│", " ").split())
    assert [path.name for path in (tmp_path / "010").iterdir()] == [SHOT_FILE]


def test_nothing_is_no_shot_and_says_what_is_one(ex4d, tmp_path: Path) -> None:
    done = ex4d("run", tmp_path / "020")
    assert done.code == 2
    assert f"There is no shot {tmp_path / '020'}" in done.last
    with pytest.raises(InputError, match="holds no shots"):
        shot_names(tmp_path)


def test_shots_are_listed_by_number_and_never_replaced(tmp_path: Path) -> None:
    for name in ("10", "9", "sh 2"):
        write_shot(tmp_path / name, {"cam": "30"})
    (tmp_path / "notes").mkdir()
    assert shot_names(tmp_path) == ["9", "10", "sh 2"]
    with pytest.raises(OutputError, match="there already"):
        write_shot(tmp_path / "9", {})
    assert json.loads((tmp_path / "9" / SHOT_FILE).read_text())["options"] == {"cam": "30"}
    assert read_shot(tmp_path / "9").options == {"cam": "30"}
