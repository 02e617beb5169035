"""A folder of shots as a job of Open Job Description: checked by its own tools, and run by them as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from openjd.model import create_job, decode_job_template, preprocess_job_parameters

from ex4d.cli.app import main
from ex4d_ground.errors import InputError, OutputError, SettingError
from ex4d_ground.farms import FarmJob
from ex4d_ground.openjd import job_template, write_bundle
from ex4d_ground.takes import read_take_info

RUN_S = 240


def openjd(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openjd", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)


def test_openjd_checks_the_bundle_and_runs_its_three_shots(shots: Path, command: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    assert main(["farm", "openjd", str(shots), "--output", str(bundle), "--command", str(command)]) == 0
    checked = openjd("check", bundle / "template.json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    values = {
        each["name"]: each["value"]
        for each in json.loads((bundle / "parameter_values.json").read_text())["parameterValues"]
    }
    done = openjd("run", bundle / "template.json", "--job-param", json.dumps(values), "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    takes = [read_take_info(shots / name / "take_001") for name in ("010", "020", "sh 030")]
    assert [take.seed for take in takes] == [0, 1, 2]
    assert len(list(shots.glob("*/take_*.mp4"))) == 3


def test_a_shot_that_cannot_be_made_fails_its_task_with_its_sentence(
    shots: Path, command: Path, tmp_path: Path
) -> None:
    write_bundle(FarmJob.of(shots, command=str(command), options=("--amount", "5000")), tmp_path / "bundle")
    done = openjd("run", tmp_path / "bundle" / "template.json", "--job-param", f"Shots={shots}")
    assert done.returncode != 0
    assert "exited with code: 2" in done.stdout
    assert "--amount of orbit_left must be between" in done.stdout


def instantiated(job: FarmJob):
    """The job that a scheduler makes of the template."""
    template = decode_job_template(template=json.loads(json.dumps(job_template(job))))
    values = preprocess_job_parameters(
        job_template=template,
        job_parameter_values={"Shots": str(job.folder)},
        job_template_dir=job.folder,
        current_working_dir=job.folder,
        allow_job_template_dir_walk_up=True,
    )
    return create_job(job_template=template, job_parameter_values=values)


def test_windows_are_steps_that_wait_for_each_other_and_a_host_needs_what_is_asked(shots: Path) -> None:
    job = FarmJob.of(shots, windows=3, gpus=2, gpu_memory_gib=36, memory_gib=24.5)
    made = instantiated(job)
    assert [step.name for step in made.steps] == ["Window 1", "Window 2", "Takes"]
    assert [[each.dependsOn for each in step.dependencies or []] for step in made.steps] == [
        [],
        ["Window 1"],
        ["Window 2"],
    ]
    amounts = {str(each.name): int(each.min) for each in made.steps[0].hostRequirements.amounts}
    assert amounts == {"amount.worker.gpu": 2, "amount.worker.gpu.memory": 36 * 1024, "amount.worker.memory": 25088}
    arguments = [[str(each) for each in step.script.actions.onRun.args] for step in made.steps]
    assert [each[2:] for each in arguments] == [["--windows", "1"], ["--windows", "2"], []]


def test_more_shots_than_a_step_may_hold_are_further_steps(tmp_path: Path) -> None:
    names = tuple(f"{i:04}" for i in range(1500))
    made = instantiated(FarmJob(tmp_path, names, windows=2))
    assert [step.name for step in made.steps] == ["Window 1 1", "Takes 1", "Window 1 2", "Takes 2"]
    ranges = [list(step.parameterSpace.taskParameterDefinitions["Shot"].range) for step in made.steps]
    assert tuple(map(str, ranges[1] + ranges[3])) == names


def test_a_gpu_is_asked_for_where_the_engine_runs_on_one(shots: Path, tmp_path: Path) -> None:
    arguments = ["farm", "openjd", str(shots), "--output"]
    assert main([*arguments, str(tmp_path / "preview")]) == 0
    assert "hostRequirements" not in (tmp_path / "preview" / "template.json").read_text()
    path = shots / "020" / "shot.json"
    record = json.loads(path.read_text())
    record["options"] |= {"engine": "wan", "set": {"mode": "fp8"}}
    path.write_text(json.dumps(record))
    assert main([*arguments, str(tmp_path / "wan")]) == 0
    step = json.loads((tmp_path / "wan" / "template.json").read_text())["steps"][0]
    amounts = {each["name"]: each["min"] for each in step["hostRequirements"]["amounts"]}
    assert amounts["amount.worker.gpu"] == 1
    assert 8 * 1024 <= amounts["amount.worker.gpu.memory"] <= 24 * 1024
    assert main([*arguments, str(tmp_path / "less"), "--gpu_memory", "0"]) == 0
    assert "gpu.memory" not in (tmp_path / "less" / "template.json").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--option=--num_frame=2"], "refuses --option --num_frame=2: No such option"),
        (["--option=seed=3"], "refuses --option seed=3"),
        (["--option="], "What --option is given is empty"),
        (["--option=--seed=x"], "refuses --option --seed=x"),
        (["--option=--help"], "refuses --option --help"),
        (["--option=--cam={{Param.Command}}"], "where {{ begins an expression"),
        (["--gpu_memory", "24"], "--gpu_memory 24 is a GPU's, and a task needs none"),
        (["--gpu_memory", "nan"], "--gpu_memory nan"),
        (["--gpus", "1", "--gpu_memory", "nan"], "must be from 0 to 100,000, got nan"),
        (["--gpus", "99999999999999999999"], "must be from 0 to 100,000, got 1e+20"),
        (["--memory", "-1"], "must be from 0 to 100,000, got -1"),
    ],
)
def test_what_every_task_would_fail_of_is_refused_here(given, said, shots: Path, tmp_path: Path, capsys) -> None:
    assert main(["farm", "openjd", str(shots), "--output", str(tmp_path / "bundle"), *given]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"camm": "30"}, "there is no option 'camm'"),
        ({"num_frames": "all"}, "refuses the shot"),
        ({"num_frames": 2.5}, "Invalid value for '--num_frames'"),
        ({"depth": ""}, "depth is empty"),
    ],
)
def test_a_shot_that_a_task_would_refuse_is_refused_before_the_farm_has_it(
    option, said, shots: Path, tmp_path: Path, capsys
) -> None:
    path = shots / "020" / "shot.json"  # not the first one
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"options": record["options"] | option}))
    assert main(["farm", "openjd", str(shots), "--output", str(tmp_path / "bundle"), "--option=--seed=3"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert said in told and "020" in told and "refuses --option" not in told
    assert not (tmp_path / "bundle").exists()


def test_options_of_all_shots_are_those_of_the_command(shots: Path, tmp_path: Path) -> None:
    more = ["--option=--num-frames", "--option=2", "--option=--set=softness=0.1"]
    assert main(["farm", "openjd", str(shots), "--output", str(tmp_path / "bundle"), *more]) == 0
    action = json.loads((tmp_path / "bundle" / "template.json").read_text())["steps"][0]["script"]["actions"]["onRun"]
    assert action["args"][-3:] == ["--num-frames", "2", "--set=softness=0.1"]


def test_plates_that_lie_elsewhere_are_named_so_that_a_farm_brings_them(shots: Path, tmp_path: Path) -> None:
    plate = (shots / "010" / "plate.mp4").rename(tmp_path / "plate.mp4")
    path = shots / "010" / "shot.json"
    path.write_text(path.read_text().replace('"plate.mp4"', json.dumps(str(plate))))
    write_bundle(FarmJob.of(shots), tmp_path / "bundle")
    assets = json.loads((tmp_path / "bundle" / "asset_references.json").read_text())["assetReferences"]
    assert assets["inputs"] == {"filenames": [str(plate)], "directories": []}


def test_what_a_template_cannot_hold_is_refused(
    shots: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="begins an expression"):
        job_template(FarmJob(shots, ("{{a}}",)))
    with pytest.raises(InputError, match="no name of a shot"):
        job_template(FarmJob(shots, ("../010",)))
    with pytest.raises(SettingError, match="between 1 and 64, got 0"):
        FarmJob(shots, ("010",), windows=0)
    write_bundle(FarmJob.of(shots), tmp_path / "bundle")
    with pytest.raises(OutputError, match="there already"):
        write_bundle(FarmJob.of(shots), tmp_path / "bundle")
    assert main(["farm", "openjd", str(tmp_path / "none"), "--output", str(tmp_path / "b")]) == 2
    assert "The folder of shots" in capsys.readouterr().err
