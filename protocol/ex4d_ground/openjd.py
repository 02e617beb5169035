"""A folder of shots as a job of Open Job Description (2023-09), for Deadline Cloud and any other OpenJD worker.

A bundle is a folder: ``template.json`` with a task for each shot, ``parameter_values.json``, ``asset_references.json``.
The specification: github.com/OpenJobDescription/openjd-specifications.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ex4d_ground.errors import InputError, OutputError
from ex4d_ground.farms import FarmJob, task_path
from ex4d_ground.files import staged_folder

SPECIFICATION = "jobtemplate-2023-09"
MOST_VALUES = 1024
"""Values of a task parameter, by the specification; more shots are further steps."""
MIB = 1024
NOTIFY_S = 60
"""Between SIGTERM and the kill: a step of the model is to end, and a file to be written."""


def job_template(job: FarmJob) -> dict[str, Any]:
    """The template, ready for JSON. Raises InputError for a shot's name that it cannot hold."""
    shots = "Folder of the shots, each a folder with shot.json in it. The takes go there, too."
    return {
        "specificationVersion": SPECIFICATION,
        "name": job.name[:128],
        "description": "One take for each shot, by 'ex4d run'.",
        "parameterDefinitions": [
            {
                "name": "Shots",
                "type": "PATH",
                "objectType": "DIRECTORY",
                "dataFlow": "INOUT",
                "description": shots,
                "userInterface": {"control": "CHOOSE_DIRECTORY", "label": "Folder of shots"},
            },
            {
                "name": "Command",
                "type": "STRING",
                "default": job.command,
                "description": "The program, as the workers find it.",
                "userInterface": {"control": "LINE_EDIT", "label": "Command"},
            },
        ],
        "steps": list(_steps(job)),
    }


def write_bundle(job: FarmJob, folder: Path) -> Path:
    """Write the bundle into a folder that is made. Raises InputError, and OutputError if there is such a folder."""
    if folder.exists():
        raise OutputError(f"{folder} is there already; choose another folder for the bundle, or remove it.")
    values = [{"name": "Shots", "value": str(job.folder)}, {"name": "Command", "value": job.command}]
    outside = job.outside()
    inputs = {
        "filenames": [str(path) for path in outside if not path.is_dir()],
        "directories": [str(path) for path in outside if path.is_dir()],
    }
    assets = {"inputs": inputs, "outputs": {"directories": []}, "referencedPaths": []}
    files = {
        "template.json": job_template(job),
        "parameter_values.json": {"parameterValues": values},
        "asset_references.json": {"assetReferences": assets},
    }
    with staged_folder(folder) as staged:
        for name, content in files.items():
            text = json.dumps(content, indent=1, ensure_ascii=False)
            (staged / name).write_text(f"{text}\n", encoding="utf-8")
    return folder


def _steps(job: FarmJob) -> Iterator[dict[str, Any]]:
    for shot in job.shots:
        task_path("", shot)
    for what, texts in (("shot", job.shots), ("option", job.options)):
        for text in texts:
            if "{{" in text:
                raise InputError(f"The {what} {text!r} cannot be in a job template, where {{{{ begins an expression.")
    parts = [job.shots[i : i + MOST_VALUES] for i in range(0, len(job.shots), MOST_VALUES)]
    for number, shots in enumerate(parts, 1):
        before = ""
        of = f" {number}" if len(parts) > 1 else ""
        for place, more in enumerate(job.stages, 1):
            name = f"Window {place}{of}" if more else f"Takes{of}"
            step = {"name": name, "parameterSpace": _space(shots), "script": _script(job, more)}
            if needs := _requirements(job):
                step["hostRequirements"] = {"amounts": needs}
            if before:
                step["dependencies"] = [{"dependsOn": before}]
            before = name
            yield step


def _space(shots: tuple[str, ...]) -> dict[str, Any]:
    return {"taskParameterDefinitions": [{"name": "Shot", "type": "STRING", "range": list(shots)}]}


def _script(job: FarmJob, more: tuple[str, ...]) -> dict[str, Any]:
    run = {
        "command": "{{Param.Command}}",
        "args": ["run", task_path("{{Param.Shots}}", "{{Task.Param.Shot}}"), *more, *job.options],
        "cancelation": {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": NOTIFY_S},
    }
    return {"actions": {"onRun": run}}


def _requirements(job: FarmJob) -> list[dict[str, Any]]:
    amounts = (
        ("amount.worker.gpu", float(job.gpus)),
        ("amount.worker.gpu.memory", job.gpu_memory_gib * MIB),
        ("amount.worker.memory", job.memory_gib * MIB),
    )
    return [{"name": name, "min": math.ceil(least)} for name, least in amounts if least]
