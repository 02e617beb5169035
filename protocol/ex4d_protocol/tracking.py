"""The client's book of jobs: what was asked, what the server knows, which items have arrived. No sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import zmq

from ex4d_protocol.checksum import Checksum
from ex4d_protocol.errors import DamagedItem, FrameError
from ex4d_protocol.events import Event, ItemReceived, JobView, ResultsComplete
from ex4d_protocol.framing import Buffer
from ex4d_protocol.messages import FINAL_PHASES, Item, JobState, ResultsEnd
from ex4d_protocol.requests import BlobRef, Request
from ex4d_protocol.uploads import Upload

MAX_ITEM_BYTES = 4 << 30
"""Larger than any item this protocol describes; a server that announces more is not believed."""

Stage = Literal["gathering", "submitting", "confirmed", "asking", "over"]
"""gathering: uploads under way. submitting: SubmitJob sent. confirmed: the server has it. asking: a followed job
or one from before a reconnect, state asked for. over: rejected."""


@dataclass
class TrackedJob:
    """One job as the client sees it."""

    view: JobView
    stage: Stage = "gathering"
    make_request: Callable[[], Request] | None = None
    after: tuple[Upload, ...] = ()
    request: Request | None = None
    blobs: tuple[BlobRef, ...] = ()
    priority: int = 0
    title: str = ""
    fetch: bool = True
    fetching: bool = False
    """GetResults was sent in this connection."""
    fetch_request: int = 0
    """Its request id; Items that answer another are not wanted any more."""
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
    damaged: int = 0
    """How often the next item has come with a wrong checksum."""

    @property
    def final(self) -> bool:
        """Whether the server has ended it."""
        return self.view.state is not None and self.view.state.phase in FINAL_PHASES

    def take_state(self, state: JobState) -> None:
        """Note the server's word."""
        self.view.state = state
        self.view.submitted = True
        self.stage = "confirmed"

    def take_item(self, item: Item, blob: zmq.Frame | Buffer) -> Iterator[Event]:
        """Add one Item message; yields an event when an item is whole. Raises FrameError if it does not fit."""
        data = memoryview(blob.buffer if isinstance(blob, zmq.Frame) else blob)
        if item.attempt != self.attempt:
            self.attempt, self.next_item = item.attempt, 0
            self.drop_parts()
        if item.index < self.next_item:
            return  # delivered already
        if item.index > self.next_item or item.offset != self.assembled or item.size > MAX_ITEM_BYTES:
            raise FrameError(
                f"Item {item.index} of job {item.job_id} came out of order (expected {self.next_item}, "
                f"offset {self.assembled}, got offset {item.offset})."
            )
        if item.checksum:
            self.checksum.add(data)
        whole = self._assemble(item, data)
        if whole is None:
            return
        found = self.checksum.digest()
        self.drop_parts()
        if item.checksum and found != item.checksum:
            self.damaged += 1
            raise DamagedItem(f"Item {item.index} ({item.name}) of job {item.job_id} is damaged: wrong checksum.")
        self.next_item, self.damaged = self.next_item + 1, 0
        key = (item.name, item.frame)
        if key not in self.view.received:
            self.view.received[key] = item.size
            yield ItemReceived(item.job_id, item, whole.toreadonly())

    def _assemble(self, item: Item, data: memoryview) -> memoryview | None:
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

    def drop_parts(self) -> None:
        """Forget the parts of an item that will come again."""
        self.assembly, self.assembled, self.checksum = None, 0, Checksum()

    def take_end(self, end: ResultsEnd) -> Iterator[Event]:
        """Note that no more items come."""
        self.fetching = False
        if not self.view.results_complete:
            self.view.results_complete = True
            yield ResultsComplete(end.job_id, len(self.view.received), end.phase)
