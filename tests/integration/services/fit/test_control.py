"""The control actor between a driver and its ranks, in a real Ray session; ranks are plain tasks here."""

import signal
import time

import pytest
import ray

from femseg.errors import Fault, Refusal
from femseg.services.cluster.session import ray_session
from femseg.services.fit.control import DriverControl, RankControl, refusal_of

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
def control():
    control = DriverControl()
    yield control
    control.close()


def refusal(fault_id: str) -> Refusal:
    return Refusal(Fault(id=fault_id, file="a", problem="b", fix="c"))


@ray.remote(num_cpus=1)
def working_rank(actor, rank: int) -> int:
    """Counts until it is asked to stop; rank 0 says how far it is."""
    control, done = RankControl(actor, rank), 0
    assert control.start(1)
    control.log(f"rank {rank} works")
    while not control.stop_requested():
        done += 1
        if rank == 0:
            control.progress(done, "at work")
        time.sleep(0.01)
    control.log(f"rank {rank} stops")
    if rank == 0:
        control.progress(done, "stopped", last=True)
    return done


def waited_for(control: DriverControl, *lines: str) -> None:
    """Until these lines have come, and rank 0 has said how far it is."""
    said, done, limit = set(), 0, time.monotonic() + WITHIN_S
    while not (said >= set(lines) and done):
        status = control.status()
        said, done = said | set(status.lines), status.done
        assert time.monotonic() < limit, status
        time.sleep(0.05)


def test_ranks_are_heard_and_stopped_TR_06(control):
    ranks = [working_rank.remote(control.actor, rank) for rank in (0, 1)]
    waited_for(control, "rank 0 works", "rank 1 works")
    control.request_stop()
    assert ray.get(ranks[0], timeout=WITHIN_S) > 0
    ray.get(ranks[1], timeout=WITHIN_S)
    status = control.status()
    assert status.attempts == 1
    assert status.note == "stopped"
    assert sorted(status.lines) == ["rank 0 stops", "rank 1 stops"]
    assert control.status().lines == ()


def test_a_control_actor_whose_process_was_killed_comes_back_and_ranks_still_hear_a_stop(control):
    rank = working_rank.remote(control.actor, 0)
    waited_for(control)
    ray.kill(control.actor, no_restart=False)
    assert not ray.wait([rank], timeout=1)[0]
    control.request_stop()
    assert ray.get(rank, timeout=WITHIN_S) > 0


def test_the_first_refusal_is_said_first_and_a_neighbours_only_if_there_is_no_other_TR_08(control):
    ranks = [RankControl(control.actor, rank) for rank in range(3)]
    assert ranks[0].start(2)
    for rank, fault_id in ((2, "TR-08"), (1, "TR-13"), (0, "TR-09"), (2, "TR-13")):
        ranks[rank].refuse(refusal(fault_id))
    assert [fault.id for fault in refusal_of(control.outcome()).faults] == ["TR-13", "TR-09"]
    assert not ranks[0].start(2)  # a retry would change nothing
    assert not ranks[1].start(2)


def test_of_ranks_that_break_the_first_is_named_until_the_next_attempt_TR_08(control):
    first, other = RankControl(control.actor, 0), RankControl(control.actor, 1)
    assert first.start(2)
    other.fail(RuntimeError("out of\nluck"))
    first.fail(RuntimeError("connection closed by peer"))
    assert control.outcome().error == "rank 1: RuntimeError: out of luck"
    assert first.start(2)
    assert control.outcome().error == ""
    assert control.status().attempts == 2


def test_ranks_that_become_more_are_no_loss_and_cost_no_retry(control):
    first = RankControl(control.actor, 0)
    counted = []
    for workers in (2, 1, 2, 2):
        assert first.start(workers)
        status = control.status()
        counted.append((status.attempts, status.workers))
    assert counted == [(1, 2), (2, 1), (2, 2), (3, 2)]


def test_a_control_that_is_lost_is_how_its_ranks_ended_and_no_error_of_the_driver(control):
    ray.kill(control.actor)
    outcome = control.outcome()
    assert "Actor" in outcome.error
    assert refusal_of(outcome) is None
