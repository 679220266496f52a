"""The desk between a driver and its ranks, in a real Ray session; ranks are plain tasks here."""

import signal
import time

import pytest
import ray

from femseg.errors import Fault, Refusal
from femseg.services.cluster.session import ray_session
from femseg.services.fit.control import DriverSide, RankSide, refusal_of

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray warns of itself
WITHIN_S = 60


@pytest.fixture(scope="module", autouse=True)
def own_handler():
    def own(signum, frame):
        pytest.fail("nobody sent SIGTERM")

    before = signal.signal(signal.SIGTERM, own)
    with ray_session(cpus=2):
        yield own
    signal.signal(signal.SIGTERM, before)


def test_ray_leaves_what_a_process_does_on_sigterm_as_it_was_TR_06(own_handler):
    assert signal.getsignal(signal.SIGTERM) is own_handler


@pytest.fixture
def desk():
    side = DriverSide()
    yield side
    side.close()


def refusal(fault_id: str) -> Refusal:
    return Refusal(Fault(id=fault_id, file="a", problem="b", fix="c"))


@ray.remote(num_cpus=1)
def working_rank(actor, rank: int) -> int:
    """Counts until it is asked to stop; rank 0 says how far it is."""
    side, done = RankSide(actor, rank), 0
    assert side.start(1)
    side.say(f"rank {rank} works")
    while not side.stop_requested():
        done += 1
        if rank == 0:
            side.advance(done, "at work")
        time.sleep(0.01)
    side.say(f"rank {rank} stops")
    if rank == 0:
        side.advance(done, "stopped", last=True)
    return done


def waited_for(desk: DriverSide, *lines: str) -> None:
    """Until these lines have come, and rank 0 has said how far it is."""
    said, done, limit = set(), 0, time.monotonic() + WITHIN_S
    while not (said >= set(lines) and done):
        news = desk.news()
        said, done = said | set(news.lines), news.done
        assert time.monotonic() < limit, news
        time.sleep(0.05)


def test_ranks_are_heard_and_stopped_TR_06(desk):
    ranks = [working_rank.remote(desk.actor, rank) for rank in (0, 1)]
    waited_for(desk, "rank 0 works", "rank 1 works")
    desk.ask_to_stop()
    assert ray.get(ranks[0], timeout=WITHIN_S) > 0
    ray.get(ranks[1], timeout=WITHIN_S)
    news = desk.news()
    assert news.attempts == 1
    assert news.note == "stopped"
    assert sorted(news.lines) == ["rank 0 stops", "rank 1 stops"]
    assert desk.news().lines == ()


def test_a_desk_whose_process_was_killed_comes_back_and_ranks_still_hear_a_stop(desk):
    rank = working_rank.remote(desk.actor, 0)
    waited_for(desk)
    ray.kill(desk.actor, no_restart=False)
    assert not ray.wait([rank], timeout=1)[0]
    desk.ask_to_stop()
    assert ray.get(rank, timeout=WITHIN_S) > 0


def test_the_first_refusal_is_said_first_and_a_neighbours_only_if_there_is_no_other_TR_08(desk):
    ranks = [RankSide(desk.actor, rank) for rank in range(3)]
    assert ranks[0].start(2)
    for rank, fault_id in ((2, "TR-08"), (1, "TR-14"), (0, "TR-09"), (2, "TR-14")):
        ranks[rank].refuse(refusal(fault_id))
    assert [fault.id for fault in refusal_of(desk.verdict()).faults] == ["TR-14", "TR-09"]
    assert not ranks[0].start(2)  # a retry would change nothing
    assert not ranks[1].start(2)


def test_of_ranks_that_break_the_first_is_named_until_the_next_attempt_TR_08(desk):
    first, other = RankSide(desk.actor, 0), RankSide(desk.actor, 1)
    assert first.start(2)
    other.break_down(RuntimeError("out of\nluck"))
    first.break_down(RuntimeError("connection closed by peer"))
    assert desk.verdict().broken == "rank 1: RuntimeError: out of luck"
    assert first.start(2)
    assert desk.verdict().broken == ""
    assert desk.news().attempts == 2


def test_ranks_that_become_more_are_no_loss_and_cost_no_retry(desk):
    first = RankSide(desk.actor, 0)
    counted = []
    for workers in (2, 1, 2, 2):
        assert first.start(workers)
        news = desk.news()
        counted.append((news.attempts, news.workers))
    assert counted == [(1, 2), (2, 1), (2, 2), (3, 2)]
