"""One job of a client: what is known of it, and its items put together from the parts that they come in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ex4d_protocol import messages as m
from ex4d_protocol.checksum import Checksum
from ex4d_protocol.errors import DamagedItem, FrameError
from ex4d_protocol.events import ItemReceived, JobView
from ex4d_protocol.framing import Blob, bytes_of
from ex4d_protocol.requests import BlobRef, Request
from ex4d_protocol.uploads import Upload

MAX_ITEM_BYTES = 4 << 30
"""Larger than any item this protocol describes; a server that announces more is not believed."""

Stage = Literal["gathering", "submitting", "confirmed", "asking", "over"]
"""gathering: uploads under way. submitting: SubmitJob sent. confirmed: the server has it. asking: a followed job
or one from before a reconnect, state asked for. over: rejected."""


@dataclass
class TrackedJob(JobView):
    """What people may know of a job, and what is needed to carry it on."""

    stage: Stage = "gathering"
    request: Request | Callable[[], Request] | None = None
    """None for a followed job. A callable makes it once the uploads in ``after`` are hashed."""
    after: tuple[Upload, ...] = ()
    blobs: tuple[BlobRef, ...] = ()
    fits: m.Welcome | None = None
    """The server that was found new enough for the request."""
    adapted: Request | None = None
    """The request as that server understands it."""
    priority: int = 0
    title: str = ""
    fetch: bool = True
    frees: bool = False
    """Whether the server may delete items as they arrive here."""
    fetch_request: int = 0
    """The request id of the latest GetResults; Items that answer another are not wanted any more."""
    cancel_wanted: bool = False
    ack_wanted: bool = False
    resubmissions: int = 0
    next_item: int = 0
    attempt: int = 1
    assembly: memoryview | None = None
    """Where an item that comes in several parts is put together, ``assembled`` bytes of it so far."""
    assembled: int = 0
    checksum: Checksum = field(default_factory=Checksum)
    """Of the parts so far, so that no call has a whole large item to check."""
    owed_credit: int = 0
    """Item messages taken since credit was last given back."""
    lost: dict[int, str] = field(default_factory=dict)
    """Items that cannot be had, and why."""
    damaged: int = 0
    """How often the next item has come with a wrong checksum."""

    @property
    def final(self) -> bool:
        """Whether the server has ended it."""
        return self.state is not None and self.state.phase in m.FINAL_PHASES

    def take_item(self, item: m.Item, blob: Blob) -> ItemReceived | None:
        """Add one Item message; the item if it is whole and new. Raises FrameError if it does not fit, DamagedItem."""
        data = bytes_of(blob)
        if item.attempt != self.attempt:
            self.attempt, self.next_item = item.attempt, 0
            self.lost.clear()
            self.drop_parts()
        if item.index < self.next_item:
            return None  # delivered already
        if item.index > self.next_item or item.offset != self.assembled or item.size > MAX_ITEM_BYTES:
            raise FrameError(
                f"Item {item.index} of job {item.job_id} came out of order (expected {self.next_item}, "
                f"offset {self.assembled}, got offset {item.offset})."
            )
        if item.checksum:
            self.checksum.add(data)
        whole = self._assemble(item, data)
        if whole is None:
            return None
        checksum = self.checksum.digest()
        self.drop_parts()
        if item.checksum and checksum != item.checksum:
            self.damaged += 1
            raise DamagedItem(f"Item {item.index} ({item.name}) of job {item.job_id} is damaged: wrong checksum.")
        self.next_item, self.damaged = self.next_item + 1, 0
        key = (item.name, item.frame)
        if key in self.received:
            return None
        self.received[key] = item.size
        return ItemReceived(item.job_id, item, whole.toreadonly())

    def _assemble(self, item: m.Item, data: memoryview) -> memoryview | None:
        if item.offset + data.nbytes > item.size:
            raise FrameError(f"Item {item.index} of job {item.job_id} is longer than the {item.size} bytes announced.")
        if data.nbytes == item.size:
            return data
        if not data.nbytes:
            raise FrameError(f"A part of item {item.index} of job {item.job_id} is empty.")
        if self.assembly is None:
            # Not cleared first: the pages are touched once, by the data itself.
            self.assembly = np.empty(item.size, np.uint8).data
        if self.assembly.nbytes != item.size:
            raise FrameError(f"Item {item.index} of job {item.job_id} changed its size between two parts.")
        self.assembly[self.assembled : self.assembled + data.nbytes] = data
        self.assembled += data.nbytes
        return self.assembly if self.assembled == item.size else None

    def lose(self, index: int, reason: str) -> None:
        """The item cannot be had; the next one is expected."""
        if index == self.next_item:
            self.lost[index] = reason
            self.next_item, self.damaged = index + 1, 0
            self.drop_parts()

    def drop_parts(self) -> None:
        """Forget the parts of an item that will come again."""
        self.assembly, self.assembled, self.checksum = None, 0, Checksum()
