"""Live views of several clients: what one may take of the process that draws them."""

from __future__ import annotations

import time

import pytest

from backend.conftest import poses
from ex4d_backend.limits import TIME_BURST_S
from ex4d_backend.live_turns import LONGEST_S, PICTURES_PER_S, PRESENT_S, SHARE, LiveTurns
from ex4d_protocol import messages as m
from ex4d_protocol.events import LiveAnswer

GREEDY, OTHER = 1, 2


class _Process:
    """One client draws without end, on a clock of its own."""

    def __init__(self, frame_s: float, *, picture: bool, other_every_s: float) -> None:
        self.now, self.drawn = 0.0, 0
        self.turns = LiveTurns(lambda: self.now)
        self.turns.ask(GREEDY)
        self._frame_s, self._picture, self._every_s = frame_s, picture, other_every_s
        self._next_other = 0.0

    def run(self, seconds: float) -> float:
        """How long it drew of so many seconds."""
        end, drew = self.now + seconds, 0.0
        while self.now < end:
            if self.now >= self._next_other:
                self.turns.ask(OTHER)
                self._next_other += self._every_s
            wait_s = self.turns.wait_s(GREEDY)
            if wait_s:
                self.now += max(wait_s, 1e-4)
                continue
            self.now += self._frame_s
            drew += self._frame_s
            self.drawn += 1
            self.turns.charge(GREEDY, self._frame_s, picture=self._picture)
        return drew


def test_one_client_takes_half_of_the_time_while_another_looks_too() -> None:
    process = _Process(0.05, picture=False, other_every_s=PRESENT_S / 2)
    assert process.run(100.0) == pytest.approx(100.0 * SHARE, abs=2 * TIME_BURST_S)
    alone = _Process(0.05, picture=False, other_every_s=1e9)
    alone.run(PRESENT_S + 1)
    assert alone.turns.wait_s(GREEDY) == 0.0
    assert alone.run(100.0) == pytest.approx(100.0, abs=0.2), "alone, all of it"


def test_small_pictures_come_no_faster_than_a_screen_shows_them_while_another_looks_too() -> None:
    process = _Process(0.0002, picture=True, other_every_s=1.0)
    process.run(20.0)
    assert process.drawn == pytest.approx(20.0 * PICTURES_PER_S, rel=0.1)
    process = _Process(0.0002, picture=False, other_every_s=1.0)
    process.run(20.0)
    assert process.drawn > 5 * 20.0 * PICTURES_PER_S, "coverage is told together, and costs its time alone"


def test_a_clip_that_was_read_is_soon_forgiven_and_who_comes_anew_has_saved_nothing() -> None:
    process = _Process(0.01, picture=True, other_every_s=1.0)
    process.turns.ask(OTHER)
    process.turns.charge(GREEDY, 60.0, picture=True)
    assert 0 < process.turns.wait_s(GREEDY) <= LONGEST_S / SHARE
    process.turns.forget(GREEDY)
    assert process.turns.wait_s(GREEDY) == 0.0
    process.turns.charge(GREEDY, 0.01, picture=True)
    assert process.turns.wait_s(GREEDY) > 0.0
    assert process.turns.shortest_wait_s({GREEDY, OTHER}, 1.0) == 0.0
    process.now += PRESENT_S + 1
    assert process.turns.wait_s(GREEDY) == 0.0, "nobody else is there"


def test_pictures_of_one_client_leave_the_process_free_for_another(make_backend, make_peer, connect, send_clip) -> None:
    """A bound from above: a machine with other things to do makes fewer pictures, never more."""
    server = make_backend().start()
    client = connect(server)
    clip = send_clip(client)
    other = connect(server)
    send_clip(other)
    hostile = make_peer(server, client_id=other.client_id)
    look = m.LiveView(view="mine", sequence=1, clip=clip, trajectory=poses(1))

    def picture() -> None:
        number = client.live(look)
        answer = client.wait_for(lambda e: isinstance(e, LiveAnswer) and e.request_id == number and e.ended, 120)
        assert answer.picture is not None

    picture()
    hostile.send(m.LiveView(view="v", sequence=1, clip=clip, trajectory=poses(10_000, step=1e-6)))
    assert hostile.receive(120, bulk=True) is not None
    came, began = 0, time.monotonic()
    while time.monotonic() - began < 4.0:
        picture()
        while hostile.receive(0.0, bulk=True) is not None:
            came += 1
    most = (time.monotonic() - began) * PICTURES_PER_S + TIME_BURST_S / SHARE * PICTURES_PER_S
    print(f"{came} pictures of 10,000 in {time.monotonic() - began:.1f} s beside another who looks; {most:.0f} at most")
    assert came <= most
