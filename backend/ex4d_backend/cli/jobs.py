"""``ex4d jobs``: the jobs of one client on a backend, or of all for who runs it."""

import json
import time
from typing import Annotated

import msgspec
import typer

from ex4d.cli.console import say
from ex4d.cli.options import require_between, spread
from ex4d_backend.cli.link import OperatorConnection, connected
from ex4d_ground.errors import InputError
from ex4d_ground.texts import one_line
from ex4d_protocol import messages as m
from ex4d_protocol.client import Client

app = typer.Typer(
    help="See, follow and stop jobs on a backend. A job is named by its id or the beginning of it.",
    no_args_is_help=True,
    add_completion=False,
)

_LONGEST_WAIT_S = 86400.0
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job, or enough of its beginning.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
@spread
def list_jobs(
    link: OperatorConnection,
    unacknowledged: Annotated[
        bool, typer.Option("--unacknowledged", help="Only those whose results are still on the backend.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, oldest first."""
    with connected(link) as client:
        jobs = client.ask(m.ListJobs(unacknowledged_only=unacknowledged)).jobs
    if as_json:
        say(json.dumps([as_dict(job) for job in jobs], indent=1))
        return
    if not jobs:
        say("No jobs.")
    for job in jobs:
        owner = f"{job.owner[:12]:<12}  " if link.everyone else ""
        line = f"{job.job_id[:12]:<12}  {owner}{job.phase:<9}  {progress_of(job):<22}  {job.kind:<13}  {job.title}"
        say(one_line(line.rstrip()))  # titles and names are what a client says


@app.command("show")
@spread
def show(job: JobArgument, link: OperatorConnection, as_json: AsJson = False) -> None:
    """Show one job: its state, progress and, if it failed, why."""
    with connected(link) as client:
        state = client.ask(m.GetJob(job_id=find_job(client, job)))
    if as_json:
        say(json.dumps(as_dict(state), indent=1))
        return
    for name, value in as_dict(state).items():
        if value not in ("", 0) or name in ("items", "share"):
            say(one_line(f"{name + ':':<16}{value}"))


@app.command("cancel")
@spread
def cancel(
    job: JobArgument,
    link: OperatorConnection,
    wait_s: Annotated[float, typer.Option("--wait", help="Seconds to wait until it has stopped.")] = 10.0,
) -> None:
    """Stop one job and no other."""
    require_between(wait_s, 0, _LONGEST_WAIT_S, "--wait")
    with connected(link) as client:
        job_id = find_job(client, job)
        if client.ask(m.CancelJob(job_id=job_id)).already_final:
            say(f"Job {job_id} had ended already.")
            return
        end = time.monotonic() + wait_s
        state = client.ask(m.GetJob(job_id=job_id))
        while state.phase not in m.FINAL_PHASES and time.monotonic() < end:
            client.wait_readable(0.1)
            state = client.ask(m.GetJob(job_id=job_id))
    say(f"Job {job_id} {'is being cancelled' if state.phase not in m.FINAL_PHASES else 'is ' + state.phase}.")


@app.command("logs")
@spread
def logs(job: JobArgument, link: OperatorConnection) -> None:
    """Print the end of a job's log."""
    with connected(link) as client:
        text = client.ask(m.GetJobLog(job_id=find_job(client, job))).text.rstrip("\n")
        say("\n".join(map(one_line, text.split("\n"))))


def find_job(client: Client, given: str) -> str:
    """The whole id of the job that ``given`` begins. Raises InputError if there is none or more than one."""
    begun = [j.job_id for j in client.ask(m.ListJobs()).jobs if j.job_id.startswith(given)]
    if given in begun:
        return given
    if len(begun) == 1:
        return begun[0]
    what = f"{len(begun)} jobs seen here begin" if begun else "No job seen here begins"
    raise InputError(f"{what} with {given!r}; 'ex4d jobs list' shows them.")


def as_dict(job: m.JobState) -> dict[str, object]:
    """Every field, defaults included, but for the message's own name."""
    return {name: getattr(job, name) for name in msgspec.structs.asdict(job)}


def progress_of(job: m.JobState) -> str:
    """One short clause on where a job is."""
    if job.phase == "queued":
        return f"{job.queue_position} ahead"
    if job.phase == "running":
        return f"{job.share:.0%} {job.stage}"[:22]
    return f"{job.items} items" if job.phase == "done" else job.message[:22]
