"""The curves of a run: one row per iteration."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from femseg.files.durable import write_bytes_durably


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow:
    """One iteration; None where a number was not taken or not finite.

    Attributes:
        iteration: counted from 1.
        train_dice_loss: mean over the whole batch; of `dice_ce` the cross-entropy is in it.
        learning_rate: used in this step.
        seconds: wall-clock time of the step.
        samples_per_second: over all workers.
        validation_dice: after this step, mean over the validation cases, on the network grid.
        validation_soft_dice: the same of the soft Dice.
    """

    iteration: int
    train_dice_loss: float | None
    learning_rate: float
    seconds: float
    samples_per_second: float
    validation_dice: float | None = None
    validation_soft_dice: float | None = None


def rows_as_plain(rows: Iterable[CurveRow]) -> list[list[float | None]]:
    """Rows for a checkpoint."""
    return [list(astuple(row)) for row in rows]


def rows_from_plain(plain: Iterable[Sequence[Any]]) -> list[CurveRow]:
    """The inverse of `rows_as_plain`."""
    names = [field.name for field in fields(CurveRow)]
    return [CurveRow(**dict(zip(names, values, strict=True))) for values in plain]


class CurveJournal:
    """`curve.jsonl`: the rows so far, one JSON object a line, for whoever watches a run.

    The truth is in the checkpoints; the journal is written anew from there whenever a run goes on. A line that the disk
    does not take is left out: training goes on to the next checkpoint, and that tells.
    """

    def __init__(self, path: Path, rows: Iterable[CurveRow]) -> None:
        """Raises: Refusal (exit 5) if the disk does not take the rows so far."""
        lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
        write_bytes_durably(path, lines.encode())
        self._stream = path.open("ab", buffering=0)

    def append(self, row: CurveRow) -> None:
        """Add a row, seen at once by readers."""
        line = json.dumps(asdict(row)).encode() + b"\n"
        before = self._stream.tell()
        with suppress(OSError):
            if self._stream.write(line) == len(line):
                return
        with suppress(OSError):
            self._stream.truncate(before)

    def close(self) -> None:
        """Make the journal durable, if the disk will."""
        with suppress(OSError):
            os.fsync(self._stream.fileno())
        self._stream.close()


def write_training_curve(path: Path, rows: Iterable[CurveRow]) -> str:
    """CSV for `dvc plots`: iteration, train_dice_loss, learning_rate. Equal bytes for equal training."""
    return _write_csv(path, rows, ("iteration", "train_dice_loss", "learning_rate"))


def write_validation_curve(path: Path, rows: Iterable[CurveRow]) -> str:
    """CSV for `dvc plots`, validated iterations only: iteration, validation_dice, validation_soft_dice."""
    validated = (row for row in rows if row.validation_dice is not None)
    return _write_csv(path, validated, ("iteration", "validation_dice", "validation_soft_dice"))


def write_timing_curve(path: Path, rows: Iterable[CurveRow]) -> str:
    """CSV of wall-clock times, which differ from run to run: iteration, seconds, samples_per_second. No DVC out."""
    return _write_csv(path, rows, ("iteration", "seconds", "samples_per_second"))


def _write_csv(path: Path, rows: Iterable[CurveRow], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (getattr(row, column) for column in columns)
        writer.writerow(["" if value is None else repr(value) for value in values])
    return write_bytes_durably(path, text.getvalue().encode())
