"""What a take will cost, as an answer: windows, passes, memory, and roughly how long it takes."""

from ex4d_ground.records import Count, Name, Record, Text
from ex4d_ground.remedies import Remedy

GIB = 1 << 30


class Cost(Record, frozen=True):
    """The answer of :func:`ex4d.engines.cost`; whatever cannot be said without guessing is None or ""."""

    engine: Name
    frames: Count
    """As asked for; a lead-in is not in it."""
    width: Count
    height: Count
    windows: Count = 1
    """Runs of at most ``window`` frames, each sharing some with the one before; 1 for engines without windows."""
    passes: Count = 1
    """2 if the picture is first made smaller and then refined in tiles, else 1."""
    tiles: Count = 1
    """Parts the picture is refined in, 1 if it is made whole."""
    forwards: Count = 0
    """Runs of the model in all; 0 for engines without one."""
    gpu: Name = ""
    """The GPU's name, "" if there is none."""
    gpus: Count = 1
    """So many of them make it together; memory and its peak are those of each."""
    gpu_bytes: Count = 0
    """Its memory; 0 if there is none."""
    free_bytes: Count = 0
    plan: Name = ""
    """Where the weights go: "resident", "fp8" or "offload"; "" if the engine needs no GPU, or none would do."""
    peak_bytes: Count | None = None
    """Expected peak on the GPU; None where no plan was made."""
    seconds: float | None = None
    """Rough time with the model loaded; None for a GPU whose speed is not known here."""
    memory_bytes: Count | None = None
    """Main memory that clip, guides and frames take at most, roughly, without the model; None where it is not known."""
    disk_bytes: Count | None = None
    """Scratch disk that they take while they are worked on; None where it is not known."""
    problem: Text = ""
    """Why it cannot run here as asked; "" if it can."""
    remedy: Remedy | None = None
    """What to do about the problem."""

    @property
    def text(self) -> str:
        """All of it in one line, for people."""
        parts = [f"{self.frames} frame{'' if self.frames == 1 else 's'} of {self.width}x{self.height}"]
        if self.forwards:
            parts.append(f"{self.windows} window{'' if self.windows == 1 else 's'}")
        if self.passes > 1:
            parts.append(f"two passes, the second in {self.tiles} tiles")
        if self.peak_bytes is not None:
            each = f" of each of {self.gpus} GPUs" if self.gpus > 1 else ""
            parts.append(f"{self.plan}, about {self.peak_bytes / GIB:.1f} of {self.gpu_bytes / GIB:.0f} GiB{each}")
        if self.seconds is not None:
            parts.append(f"roughly {rough_time(self.seconds)}")
        if self.memory_bytes is not None:
            disk = f" and {self.disk_bytes / GIB:.1f} of scratch disk" if self.disk_bytes else ""
            parts.append(f"about {self.memory_bytes / GIB:.1f} GiB of memory{disk}")
        if self.problem:
            parts.append(self.problem)
        return "; ".join(parts)


def rough_time(seconds: float) -> str:
    """A time as roughly as it is known: "10 s", "4 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds)) if seconds < 10 else round(seconds / 10) * 10} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
