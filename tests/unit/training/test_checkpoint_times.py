from femseg.training.checkpoint import CheckpointTimes


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_checkpoint_is_due_at_its_iterations_and_when_the_last_one_is_too_old():
    clock = Clock()
    times = CheckpointTimes(every=5, minutes=2, clock=clock)
    assert [times.due(n) for n in (1, 4, 5, 6, 10)] == [False, False, True, False, True]
    clock.now += 119
    assert not times.due(6)
    clock.now += 1
    assert times.due(6)
    times.written()
    assert not times.due(7)
    clock.now += 120
    assert times.due(8)


def test_tr_17_a_clock_that_steps_back_delays_a_checkpoint_at_most_to_its_iteration():
    clock = Clock()
    times = CheckpointTimes(every=5, minutes=1, clock=clock)
    clock.now -= 3600
    assert [times.due(n) for n in (4, 5, 10)] == [False, True, True]


def test_without_minutes_iterations_alone_decide():
    clock = Clock()
    times = CheckpointTimes(every=5, minutes=0, clock=clock)
    clock.now += 1e9
    assert [times.due(n) for n in (4, 5)] == [False, True]
