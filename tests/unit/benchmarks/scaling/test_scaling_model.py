from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scaling.scaling_model import (
    PARTS,
    Assumptions,
    Measured,
    Setting,
    efficiency,
    exchange_seconds,
    hours_of_the_papers_training,
    samples_per_second,
    seconds_of_a_step,
    what_binds,
)
from benchmarks.scaling.scaling_page import renewed

WORLD = Assumptions()
MEASURED = Measured(
    gradient_bytes=260e6, case_bytes=10.5e6, seconds_to_load_a_case=0.02, checkpoint_seconds=4.0, points_a_second=500
)


def test_one_gpu_exchanges_nothing_and_waits_for_nobody():
    parts = seconds_of_a_step(Setting(gpus=1), MEASURED, WORLD)
    assert set(parts) == set(PARTS)
    assert parts["gradients"] == parts["stragglers"] == exchange_seconds(1, 260e6, WORLD) == 0


def test_a_ring_of_two_moves_the_gradients_once_each_way():
    latency, bandwidth = WORLD.inside.latency_seconds, WORLD.inside.bytes_per_second
    assert exchange_seconds(2, 260e6, WORLD) == pytest.approx(2 * (latency + 130e6 / bandwidth))


def test_without_latency_an_exchange_takes_twice_the_bytes_through_each_link_at_most():
    inside, between = (replace(link, latency_seconds=0.0) for link in (WORLD.inside, WORLD.between))
    world = replace(WORLD, inside=inside, between=between)
    limit = 2 * 7 / 8 * 260e6 / inside.bytes_per_second + 2 * 260e6 / 8 / between.bytes_per_second
    seconds = [exchange_seconds(gpus, 260e6, world) for gpus in (8, 64, 1024, 8192)]
    assert seconds == sorted(seconds)
    assert 0.99 * limit < seconds[-1] < limit


def test_more_gpus_train_more_samples_a_second_less_efficiently():
    runs = [Setting(gpus=2**n) for n in range(11)]
    rates = [samples_per_second(run, MEASURED, WORLD) for run in runs]
    assert rates == sorted(rates)
    assert efficiency(runs[0], MEASURED, WORLD) > efficiency(runs[-1], MEASURED, WORLD)
    assert all(rate <= 2 * run.gpus / WORLD.step_seconds for run, rate in zip(runs, rates, strict=True))


def test_the_papers_training_takes_its_ten_thousand_steps_on_one_gpu_and_never_fewer_than_the_noise_allows():
    one = Setting(gpus=1)
    step = sum(seconds_of_a_step(one, MEASURED, WORLD).values())
    assert hours_of_the_papers_training(one, MEASURED, WORLD) == pytest.approx(10_000 * step / 3600)
    fewest = 10_000 / (1 + WORLD.noise_scale / 2)
    assert hours_of_the_papers_training(Setting(gpus=1024), MEASURED, WORLD) > fewest * WORLD.step_seconds / 3600


def test_a_shared_folder_binds_once_the_cases_do_not_fit_memory():
    run = Setting(gpus=256, cases=10**6, storage="shared folder", checkpoint_minutes=10)
    assert what_binds(run, MEASURED, WORLD) == "reading"
    assert what_binds(replace(run, cases=1000), MEASURED, WORLD) != "reading"


def test_the_marked_parts_of_all_pages_are_renewed_and_the_rest_is_left_alone():
    one, two = Path("one.md"), Path("two.md")
    pages = {one: "a\n<!-- begin: one -->\nold\n<!-- end -->\nb\n", two: "<!-- begin: two -->\n<!-- end -->\n"}
    assert renewed(pages, {"one": "1\\1", "two": "2"}) == {
        one: "a\n<!-- begin: one -->\n1\\1\n<!-- end -->\nb\n",
        two: "<!-- begin: two -->\n2\n<!-- end -->\n",
    }
    with pytest.raises(ValueError, match="three"):
        renewed(pages, {"one": "1", "three": "3"})
