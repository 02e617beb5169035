"""A small Flamenco Manager: the documented API of job types in a real JavaScript engine, and of jobs over HTTP.

Written from Flamenco's documentation and its OpenAPI description; it is no Manager, and none was there to compare with.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from py_mini_racer import JSEvalException, MiniRacer

# What job compilers are given: author, path, shellSplit, print. Task and Command refuse what the Manager refuses.
API = r"""
const author = {
    Task: function (name, type) {
        name = String(name).trim(); type = String(type).trim();
        if (name === "") throw new Error("author.Task(name, type): name is required");
        if (type === "") throw new Error("author.Task(name, type): type is required");
        const task = { name: name, type: type, commands: [], dependencies: [] };
        Object.defineProperty(task, "addCommand", { value: c => { task.commands.push(c); } });
        Object.defineProperty(task, "addDependency", { value: t => { task.dependencies.push(t.name); } });
        return task;
    },
    Command: (name, parameters) => ({ name: name, parameters: parameters }),
};
const path = { join: (...parts) => parts.join("/").replace(/\/+/g, "/") };
const printed = [];
const print = (...words) => { printed.push(words.join(" ")); };
const shellSplit = text => JSON.parse(splitJson(text));
"""
COMPILE = r"""(function (submitted) {
    const job = JSON.parse(submitted), tasks = [];
    // A task is copied when it is added: what is added to it later is lost, as it is in the Manager.
    Object.defineProperty(job, "addTask", { value: task => { tasks.push(JSON.parse(JSON.stringify(task))); } });
    compileJob(job);
    return JSON.stringify(tasks);
})"""


class JobType:
    """One job compiler script, loaded."""

    def __init__(self, source: str):
        self._source = f"{API}\n{source}"
        self.info: dict[str, Any] = json.loads(self._run([], "JSON.stringify(JOB_TYPE)"))

    def compile(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The tasks of a submitted job. Raises JSEvalException for what the script throws."""
        options = job["settings"].get("options", "")
        call = f"{COMPILE}({json.dumps(json.dumps(job))})"
        return json.loads(self._run(shlex.split(options), call))

    def _run(self, words: list[str], call: str) -> Any:
        # The engine has no way back to Python: the options' words are split before the script asks.
        split = f"const splitJson = () => {json.dumps(json.dumps(words))};"
        return MiniRacer().eval(f"(function () {{ {split}\n{self._source}\n return {call}; }})()")


class FlamencoManager:
    """Answers as a Manager does, and works the tasks off as a Worker does when it is told to."""

    def __init__(self, source: str | None):
        self.type = None if source is None else JobType(source)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.etag = "e1"
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(*manager.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(*manager.post(self.path, body))

            def _answer(self, code: int, found: Any) -> None:
                data = b"" if found is None else json.dumps(found).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/api/v3/jobs/type/ex4d-run" and self.type is not None:
            return 200, {**self.type.info, "name": "ex4d-run", "etag": self.etag}
        job = self.jobs.get(path.removeprefix("/api/v3/jobs/"))
        return (200, job) if job else (404, {"code": 404, "message": "not found"})

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/setstatus"):
            job = self.jobs.get(path.split("/")[-2])
            if job is None:
                return 404, {"code": 404, "message": "no such job"}
            job["status"] = {"cancel-requested": "canceled"}.get(body["status"], body["status"])
            return 204, None
        assert path == "/api/v3/jobs" and {"name", "type", "priority", "submitter_platform"} <= set(body)
        if body.get("type_etag", self.etag) != self.etag:
            return 412, {"code": 412, "message": "job type etag does not match"}
        assert self.type is not None
        try:
            tasks = self.type.compile(body)
        except JSEvalException as error:
            return 400, {"code": 400, "message": str(error).splitlines()[0]}
        job_id = f"job-{len(self.jobs) + 1}"
        times = {"created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "activity": ""}
        steps = {"steps_completed": 0, "steps_total": len(tasks)}
        self.jobs[job_id] = {**body, "id": job_id, "status": "queued", **times, **steps}
        self.tasks[job_id] = tasks
        return 200, self.jobs[job_id]

    def work(self, job_id: str, timeout_s: float = 240) -> None:
        """Work a job's tasks off, each after those it depends on, as a Worker runs the command ``exec``."""
        job, over = self.jobs[job_id], set()
        for task in self.tasks[job_id]:
            assert over.issuperset(task["dependencies"])
            for command in task["commands"]:
                assert command["name"] == "exec"
                line = [command["parameters"]["exe"], *command["parameters"]["args"]]
                if subprocess.run(line, capture_output=True, timeout=timeout_s, check=False).returncode:
                    job.update(status="failed", activity=f"task {task['name']} failed")
                    return
            over.add(task["name"])
            job["steps_completed"] += 1
        job["status"] = "completed"
