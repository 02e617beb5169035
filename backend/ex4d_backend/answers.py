"""What requests on the control socket are answered at once."""

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from ex4d_backend import devices
from ex4d_backend.client_errors import Refusal
from ex4d_backend.client_sessions import ClientSession
from ex4d_backend.pool import Pool
from ex4d_backend.ray_workers.pool import RayPool
from ex4d_backend.scheduler import JobScheduler
from ex4d_protocol import messages as m

log = logging.getLogger("ex4d_backend.answers")


def answer_to(
    session: ClientSession, message: Any, scheduler: JobScheduler, pool: Pool | RayPool, health: Callable[[], m.Health]
) -> msgspec.Struct:
    """The answer; operators may ask about everybody's jobs. Raises Refusal."""
    owner = session.owner
    whose = None if session.operator else owner
    match message:
        case m.Ping():
            return m.Pong()
        case m.SubmitJob():
            return scheduler.submit(owner, message)
        case m.CancelJob():
            if session.operator:
                log.info("the operator cancels job %s", message.job_id)
            return scheduler.cancel(whose, message.job_id)
        case m.GetJob():
            return scheduler.state(scheduler.find(whose, message.job_id), with_owner=session.operator)
        case m.ListJobs():
            return scheduler.list(whose, unacknowledged_only=message.unacknowledged_only)
        case m.GetJobLog():
            return scheduler.log_tail(whose, message.job_id)
        case m.AckResults():
            return scheduler.acknowledge(owner, message.job_id)
        case m.PresetQuery():
            return devices.answer_preset(message)
        case m.CostQuery():
            return devices.answer_cost(message, [worker.spec() for worker in pool.workers])
        case m.GetHealth():
            return health()
    kind = type(message).__name__
    raise Refusal("bad_message", f"{kind} belongs on the data socket, not on the control socket.")
