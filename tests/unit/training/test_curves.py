import dataclasses
import json
import resource

from femseg.training.curves import (
    CurveJournal,
    CurveRow,
    rows_as_plain,
    rows_from_plain,
    write_timing_curve,
    write_training_curve,
    write_validation_curve,
)

ROWS = [
    CurveRow(iteration=1, train_dice_loss=0.9, learning_rate=1e-4, seconds=2.0, samples_per_second=1.0),
    CurveRow(
        iteration=2,
        train_dice_loss=None,
        learning_rate=1e-4,
        seconds=2.5,
        samples_per_second=0.8,
        validation_dice=0.1 + 0.2,
        validation_soft_dice=0.25,
    ),
]


def test_what_dvc_tracks_is_free_of_wall_clock_times_and_keeps_every_digit(tmp_path):
    slower = [dataclasses.replace(row, seconds=9.0, samples_per_second=0.2) for row in ROWS]
    for write in (write_training_curve, write_validation_curve):
        assert write(tmp_path / "a.csv", ROWS) == write(tmp_path / "b.csv", slower)
    write_training_curve(tmp_path / "training.csv", ROWS)
    write_validation_curve(tmp_path / "validation.csv", ROWS)
    write_timing_curve(tmp_path / "timing.csv", ROWS)
    assert (tmp_path / "training.csv").read_text() == (
        "iteration,train_dice_loss,learning_rate\n1,0.9,0.0001\n2,,0.0001\n"
    )
    assert (tmp_path / "validation.csv").read_text() == (
        "iteration,validation_dice,validation_soft_dice\n2,0.30000000000000004,0.25\n"
    )
    assert (tmp_path / "timing.csv").read_text() == "iteration,seconds,samples_per_second\n1,2.0,1.0\n2,2.5,0.8\n"


def test_rows_survive_a_checkpoint():
    assert rows_from_plain(rows_as_plain(ROWS)) == ROWS


def test_a_journal_starts_with_the_rows_of_the_checkpoint_and_drops_what_came_after(tmp_path):
    path = tmp_path / "curve.jsonl"
    path.write_text('{"iteration": 1}\n{"iteration": 2}\n{"iteration": 3}\n{"torn')
    journal = CurveJournal(path, ROWS[:1])
    journal.append(ROWS[1])
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [1, 2]
    journal.close()


def test_a_line_that_the_disk_does_not_take_is_left_out_whole_and_the_next_ones_follow(tmp_path):
    path = tmp_path / "curve.jsonl"
    journal = CurveJournal(path, ROWS[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))  # bytes that a file may have
    try:
        journal.append(ROWS[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.append(ROWS[1])
    journal.close()
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [1, 2]
