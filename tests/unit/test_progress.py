import io

import pytest

from femseg.progress import progress, time_left


def test_plain_lines_come_at_most_every_ten_seconds_with_the_time_left_judged_from_this_start():
    stream, now = io.StringIO(), [0.0]
    with progress("train raw", total=100, stream=stream, clock=lambda: now[0]) as advance:
        for done in range(50, 101):  # the first fifty were done by an earlier run
            advance(done, "Dice loss 0.1")
            now[0] += 1.0
    assert stream.getvalue().splitlines() == [
        "train raw: 50 of 100, Dice loss 0.1",
        "train raw: 60 of 100, Dice loss 0.1, 40 s left",
        "train raw: 70 of 100, Dice loss 0.1, 30 s left",
        "train raw: 80 of 100, Dice loss 0.1, 20 s left",
        "train raw: 90 of 100, Dice loss 0.1, 10 s left",
        "train raw: 100 of 100, Dice loss 0.1",
    ]


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with progress("train raw", total=4, stream=stream) as advance:
        for done in range(5):
            advance(done, "Dice loss 0.1")
    assert "4/4" in stream.getvalue()
    assert "Dice loss 0.1" in stream.getvalue()


@pytest.mark.parametrize(("seconds", "said"), [(45.4, "45 s"), (720, "12 min"), (12_000, "3 h 20 min")])
def test_time_left_is_said_as_people_say_it(seconds, said):
    assert time_left(seconds) == said
