"""The process that downloads weights, one package at a time; started by the server when somebody asks for one.

A cancel must be heard within a second, but a line that stalls is waited for in a read of its own. So the thread that
hears the server gives the download a moment and then ends the process: what has arrived lies on disk, and the next
fetch goes on from there.
"""

import os
import threading
import time

from ex4d_backend.child import ServerConnection, child_arguments, connect_to_server
from ex4d_backend.child_messages import UMASK_VARIABLE, JobEnded, Ready, RunJob, StopJob, ToChild
from ex4d_backend.recording import JobContext
from ex4d_backend.worker import ServerThread, run_job
from ex4d_ground.errors import SettingError
from ex4d_protocol.requests import FetchWeights, Request

STOP_S = 0.4
"""What a download is given to stop by itself."""


class FetchThread(ServerThread):
    """The thread that hears the server; it ends the process if a cancelled download does not end by itself."""

    def __init__(self, server: ServerConnection) -> None:
        super().__init__(server)
        self.ended = threading.Event()
        """Of the running job: set when it is over."""

    def _obey(self, message: ToChild) -> None:
        super()._obey(message)
        if isinstance(message, StopJob) and self.current is not None and not self.ended.wait(STOP_S):
            self._server.send(JobEnded(message.job_id, "cancelled", "Cancelled; what has arrived is kept."))
            time.sleep(0.1)  # let the socket's thread send it
            os._exit(0)


class WeightsRunner:
    """Runs the one kind of job there is here."""

    def run(self, request: Request, context: JobContext) -> None:
        """Fetch the package. Raises the library's errors, Cancelled among them."""
        from ex4d.weights.catalogue import find_package
        from ex4d.weights.fetch import fetch

        if not isinstance(request, FetchWeights):
            raise SettingError(f"{type(request).__name__} is no job of the process that downloads weights.")
        package = find_package(request.package)
        context.log(f"{package.name} from {package.repository}: {package.licence_text}")
        private = os.umask(int(os.environ.get(UMASK_VARIABLE, "77"), 8))
        try:
            folder = fetch(package, **context.watch)
        finally:
            os.umask(private)
        context.log(f"fetched to {folder}")


def main(argv: list[str] | None = None) -> None:
    """Entry point of ``python -m ex4d_backend.fetch_process``; started by the server only."""
    parser = child_arguments("ex4d_backend.fetch_process")
    parser.add_argument("--device", required=True)
    connection = connect_to_server(parser.parse_args(argv))
    server = FetchThread(connection)
    server.start()
    server.send(Ready(token=connection.token))
    runner = WeightsRunner()
    while True:
        order = server.jobs.get()
        if order is None:
            break
        if isinstance(order, RunJob):
            server.ended.clear()
            ended = run_job(runner, server, order)
            server.current = None
            server.ended.set()
            server.send(ended)
    time.sleep(0.05)  # let the server's thread pass the last message on
    os._exit(0)


if __name__ == "__main__":
    main()
