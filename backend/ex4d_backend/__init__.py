"""The backend: a server process with a job store, and one worker process per device."""
