"""What the commands say and how they stop: messages, warnings, progress bars, cancel on a signal.

Results go to standard output; everything about the run goes to standard error.
"""

import io
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ex4d.compiled.notice import announced
from ex4d.progress import CancelToken, OnProgress, Progress, Watch
from ex4d_ground import stages
from ex4d_ground.texts import one_line


def forgiving_output() -> None:
    """What a stream's encoding cannot write (cp1252, ASCII) is escaped, so that no result is lost for a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def can_write(text: str) -> bool:
    """Whether standard output's encoding has these characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str) -> None:
    """One line of result on standard output; of words from elsewhere nothing commands the terminal."""
    sys.stdout.write(f"{_shown(text)}\n")


def note(text: str) -> None:
    """One line about the run on standard error; of words from elsewhere nothing commands the terminal."""
    sys.stderr.write(f"{_shown(text)}\n")
    sys.stderr.flush()


def _shown(text: str) -> str:
    return "\n".join(map(one_line, text.split("\n")))


def warn(text: str) -> None:
    """One warning on standard error."""
    note(f"Warning: {text}")


@contextmanager
def watched() -> Iterator[Watch]:
    """Progress bars and cancel on a signal, as long functions take them.

    Memory that ran out is told at once, and that something has to be compiled first.
    """
    with _cancel_on_signals() as cancel, _progress_bars() as show:

        def tell(step: Progress) -> None:
            if step.stage == stages.DEPTH_MEMORY:
                warn(step.message)
            elif step.stage == stages.PREPARING or (step.stage == stages.PLACE and step.message):
                note(step.message)
            else:
                show(step)

        with announced(tell):
            yield {"on_progress": tell, "cancel": cancel}


@contextmanager
def _progress_bars() -> Iterator[OnProgress]:
    """Bars on a terminal, one per stage; elsewhere (a log, a farm) one line when a stage is done."""
    if not sys.stderr.isatty():
        yield _progress_lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, object] = {}

        def show(step: Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(one_line(step.stage.capitalize()), total=step.total)
            bars.update(tasks[step.stage], completed=step.done, total=step.total)  # type: ignore[arg-type]

        yield show


def _progress_lines(step: Progress) -> None:
    if step.total > 0 and step.done == step.total:
        note(f"{step.stage[:1].upper()}{step.stage[1:]}: {step.done}/{step.total}")


@contextmanager
def _cancel_on_signals() -> Iterator[CancelToken]:
    """Ctrl-C and SIGTERM set the token, so work ends at its next check; a second one interrupts at once."""
    token = CancelToken()
    if threading.current_thread() is not threading.main_thread():
        yield token
        return

    def ask(signum: int, _frame: object) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        note("Stopping ...")
        token.cancel()

    previous = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield token
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def frame_ranges(frames: Sequence[int]) -> str:
    """0-based frames for people, who count from 1: [2, 3, 4, 8] becomes "3-5, 9"."""
    frames = [frame + 1 for frame in frames]
    parts: list[list[int]] = []
    for frame in frames:
        if parts and frame == parts[-1][1] + 1:
            parts[-1][1] = frame
        else:
            parts.append([frame, frame])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
