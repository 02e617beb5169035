"""A folder of shots as a job of Flamenco 3: its job type, and the few requests that submit, watch and cancel a job."""

from ex4d_ground.flamenco.manager import JobNews, Manager
from ex4d_ground.flamenco.submission import JOB_TYPE, job_type_source, submission

__all__ = ["JOB_TYPE", "JobNews", "Manager", "job_type_source", "submission"]
