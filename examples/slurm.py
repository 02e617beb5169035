"""A folder of shots on a Slurm cluster, through submitit: an array job with one shot a task.

python examples/slurm.py /show/shots --partition gpu --gpus 1 --memory 64 --hours 2
python examples/slurm.py shots --cluster local        # the same on this machine, without Slurm

Needs ``pip install '.[slurm]'``. With ``--windows N`` a long shot is a chain: N arrays, where each task waits for the
same shot's task of the array before. A task that the cluster preempts or stops for its time is queued again and goes on
where it was. Exit code 0: every take is there.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import submitit
from submitit.helpers import DelayedSubmission

from ex4d_ground.errors import Ex4dError
from ex4d_ground.farms import FarmJob, task_path


class RunShot:
    """One task: a command, and what becomes of it when the cluster takes the machine away."""

    def __init__(self, command: Sequence[str]):
        self.command = list(command)

    def __call__(self) -> None:
        code = subprocess.run(self.command, check=False).returncode
        if code:
            raise RuntimeError(f"{shlex.join(self.command)} ended with exit code {code}")

    def checkpoint(self) -> DelayedSubmission:
        """Queue it again as it is: the shot's folder holds what was finished."""
        return DelayedSubmission(self)


def main(argv: Sequence[str] | None = None) -> int:
    """Submit the shots, wait for them, and say which have failed."""
    given = parser().parse_args(argv)
    try:
        job = FarmJob.of(given.shots, windows=given.windows, command=given.command, options=tuple(given.option))
    except Ex4dError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    logs = Path(given.logs or job.folder / "slurm")
    tasks = submit(job, given, logs)
    failed = [shot for shot, parts in tasks.items() if any(part.exception() is not None for part in parts)]
    for shot in failed:
        print(f"{shot} failed; its output is in {tasks[shot][-1].paths.stderr}", file=sys.stderr)
    print(f"{len(job.shots) - len(failed)} of {len(job.shots)} shots are made.")
    return int(bool(failed))


def submit(job: FarmJob, given: argparse.Namespace, logs: Path) -> dict[str, list[submitit.Job[None]]]:
    """One array for each link of the chain; a shot's tasks, by its name."""
    executor = submitit.AutoExecutor(folder=logs, cluster=given.cluster)
    needs = {"gpus_per_node": given.gpus or None, "mem_gb": given.memory or None, "cpus_per_task": given.cpus}
    needs |= {"slurm_partition": given.partition, "slurm_array_parallelism": given.at_once}
    needs |= {"name": job.name.replace(" ", "_"), "timeout_min": round(given.hours * 60)}
    executor.update_parameters(**{name: value for name, value in needs.items() if value is not None})
    tasks: dict[str, list[submitit.Job[None]]] = {shot: [] for shot in job.shots}
    before: list[submitit.Job[None]] = []
    for more in job.stages:
        if before and executor.cluster == "slurm":
            # Of two arrays of one length "aftercorr" ties the tasks together one by one.
            executor.update_parameters(slurm_dependency=f"aftercorr:{before[0].job_id.partition('_')[0]}")
        else:  # submitit's other executors know no dependencies
            for part in before:
                part.wait()
        with executor.batch():
            before = [executor.submit(RunShot(line)) for line in lines_of(job, more)]
        for shot, part in zip(job.shots, before, strict=True):
            tasks[shot].append(part)
    print(f"{len(job.shots)} shots are submitted; their output is in {logs}")
    return tasks


def lines_of(job: FarmJob, more: Sequence[str]) -> Iterator[list[str]]:
    """One command for each shot."""
    for shot in job.shots:
        yield [job.command, "run", task_path(str(job.folder), shot), *more, *job.options]


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("shots", help="folder of the shots, each a folder with shot.json")
    found.add_argument("--cluster", default="slurm", choices=("slurm", "local"), help="local runs them here")
    found.add_argument("--windows", type=int, default=1, help="tasks that a long shot is cut into")
    found.add_argument("--command", default="ex4d", help="the program, as the nodes find it")
    found.add_argument("--option", action="append", default=[], help="an option of 'ex4d run' for all shots; repeat")
    found.add_argument("--partition", help="Slurm's partition")
    found.add_argument("--gpus", type=int, default=0, help="GPUs of a task")
    found.add_argument("--memory", type=float, default=0, help="main memory of a task, GB")
    found.add_argument("--cpus", type=int, help="processor cores of a task")
    found.add_argument("--hours", type=float, default=4, help="a task that takes longer is stopped and queued again")
    found.add_argument("--at_once", type=int, help="at most so many tasks at a time")
    found.add_argument("--logs", help="folder for the tasks' output; SHOTS/slurm unless given")
    return found


if __name__ == "__main__":
    sys.exit(main())
