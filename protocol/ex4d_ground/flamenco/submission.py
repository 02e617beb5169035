"""What a Flamenco Manager is sent: the settings of the job type that stands beside this file."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

from ex4d_ground.errors import InputError
from ex4d_ground.farms import FarmJob, task_path

JOB_TYPE = "ex4d-run"
"""The name of the job type, which is that of its file."""
_PLATFORMS = {"win32": "windows"}
"""As Go calls them; other names are the same."""


def job_type_source() -> str:
    """The job type's JavaScript, for the Manager's folder ``scripts``."""
    return Path(__file__).with_name(f"{JOB_TYPE}.js").read_text("utf-8")


def submission(job: FarmJob, *, etag: str, task_type: str = "blender", priority: int = 50) -> dict[str, Any]:
    """A ``SubmittedJob`` of Flamenco's API. Raises InputError for a shot's name that the settings cannot hold.

    ``etag`` is the job type's, as the Manager has it: so settings of another version of the type are refused there.
    """
    for shot in job.shots:
        task_path("", shot)
        if re.search(r"[,\n]", shot) or shot != shot.strip():
            raise InputError(f"The shot {shot!r} cannot be submitted: commas separate names; rename its folder.")
    return {
        "name": job.name,
        "type": JOB_TYPE,
        "type_etag": etag,
        "priority": priority,
        "submitter_platform": _PLATFORMS.get(sys.platform, sys.platform),
        "metadata": {"shots": str(len(job.shots))},
        "settings": {
            "shots_folder": str(job.folder),
            "shots": ", ".join(job.shots),
            "windows": job.windows,
            "options": shlex.join(job.options),
            "task_type": task_type,
            "command": job.command,
        },
    }
