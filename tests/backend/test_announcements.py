"""News for every client: the newest only, a few clients at a time, so that no ping waits for a hundred others."""

from __future__ import annotations

import zmq

from ex4d_backend.announcements import EVERY_S, PER_ROUND, Announcements
from ex4d_backend.outbox import Outbox
from ex4d_protocol import framing
from ex4d_protocol import messages as m

CLIENTS = 3 * PER_ROUND


def _news(queued: int) -> m.Capabilities:
    return m.Capabilities(limits=m.Limits(queued_jobs=queued))


def test_everyone_hears_the_newest_news_and_a_round_tells_a_few() -> None:
    now = 0.0
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        address = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        dealers = [context.socket(zmq.DEALER) for _ in range(CLIENTS)]
        identities = []
        for dealer in dealers:
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.connect(address)
            dealer.send(b"")
            identities.append(router.recv_multipart()[0])
        news = Announcements(Outbox(router), lambda: identities, _news(1), clock=lambda: now)

        news.offer(_news(1))
        assert not news.pump(), "nothing is new"
        news.offer(_news(2))
        assert news.pump(), "some are left to be told"
        news.offer(_news(3))
        assert news.newest == _news(2), "not so soon after the last"
        now += EVERY_S
        news.offer(_news(3))
        rounds = 1
        while news.pump():
            rounds += 1
        assert rounds == CLIENTS // PER_ROUND

        heard = []
        for dealer in dealers:
            told = []
            while not told or told[-1] != 3:
                assert dealer.poll(60_000)
                told.append(framing.decode(dealer.recv_multipart(), framing.SERVER_DECODERS).message.limits.queued_jobs)
            heard.append(told)
            dealer.close(0)
        assert heard.count([2, 3]) == PER_ROUND and heard.count([3]) == CLIENTS - PER_ROUND
