"""The spool: no point lost to kill -9, a torn line or a full disk; each step once."""

import math
import subprocess
import sys

import pytest

from femseg.services.tracking.metric_spool import Point, PointSpool


def points(spool: PointSpool) -> list[Point]:
    return spool.waiting(10_000)


def seen(spool: PointSpool) -> list[tuple[str, int, float]]:
    return [(point.name, point.step, point.value) for point in points(spool)]


def test_a_step_of_a_curve_is_taken_once(tmp_path):
    spool = PointSpool(tmp_path / "run" / "metrics.jsonl")
    spool.add("loss", 0.5, step=1)
    spool.add("loss", 0.25, step=1)
    spool.add("dice", 0.75, step=1)
    assert seen(spool) == [("loss", 1, 0.5), ("dice", 1, 0.75)]


def test_whoever_opens_a_spool_finds_every_point_as_it_was_and_takes_no_step_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    spool = PointSpool(path)
    for step in range(5):
        spool.add("loss", 1 / (step + 3), step=step)
    spool.sent(3)
    spool.close()
    again = PointSpool(path)
    again.add("loss", 9.0, step=2)
    assert points(again)[3:] == points(spool)
    assert [point.step for point in points(again)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_kept_too_TK_07(tmp_path, value):
    PointSpool(tmp_path / "metrics.jsonl").add("loss", value, step=1)
    assert repr(points(PointSpool(tmp_path / "metrics.jsonl"))[0].value) == repr(value)


def test_kill_9_loses_no_point_TK_02(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from femseg.services.tracking.metric_spool import PointSpool\n"
        "spool = PointSpool(Path(sys.argv[1]))\n"
        "for step in range(500): spool.add('loss', step / 8, step=step)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "metrics.jsonl"])
    assert done.returncode == -9
    assert seen(PointSpool(tmp_path / "metrics.jsonl")) == [("loss", step, step / 8) for step in range(500)]


def test_a_spool_that_was_cut_anywhere_keeps_its_whole_lines_and_takes_new_points(tmp_path):
    whole = tmp_path / "whole.jsonl"
    spool = PointSpool(whole)
    for step in (1, 2):
        spool.add("loss", step / 8, step=step)
    content = whole.read_bytes()
    first = content.index(b"\n")
    for length in range(len(content)):
        cut = tmp_path / f"{length}.jsonl"
        cut.write_bytes(content[:length])
        expected = [1] if first <= length < len(content) - 1 else [1, 2] if length >= first else []
        assert [point.step for point in points(PointSpool(cut))] == expected
        PointSpool(cut).add("loss", 3.0, step=3)
        assert [point.step for point in points(PointSpool(cut))] == [*expected, 3]


def test_a_full_disk_stops_no_training_and_tears_no_later_point_TK_02(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from femseg.services.tracking.metric_spool import PointSpool\n"
        "spool = PointSpool(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))\n"
        "for step in range(20): spool.add('loss', 0.5, step=step)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "spool.add('loss', 0.5, step=20)\n"
        "print(len(spool))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "metrics.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["21"], done.stderr
    kept = [point.step for point in points(PointSpool(tmp_path / "metrics.jsonl"))]
    assert kept == [*range(len(kept) - 1), 20]
    assert 1 < len(kept) < 21
