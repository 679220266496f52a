"""Measurement sheets for other programs: JSON, and a table."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from femseg.cli.bones import is_mesh
from femseg.measurements.definitions import DEFINITIONS
from femseg.measurements.sheet import Sheet, differences


def as_plain(place: Path, sheets: Sequence[Sheet]) -> dict[str, Any]:
    """As JSON: values, what they mean, and the points that they were taken from."""
    return {
        "mesh" if is_mesh(place) else "mask": str(place),
        "frame": "LPS, mm",
        "definitions": {key: asdict(definition) for key, definition in DEFINITIONS.items()},
        "femora": [asdict(sheet) for sheet in sheets],
        "left_less_right": {d.key: d.left_less_right for d in differences(sheets)},
    }


def as_csv(sheets: Sequence[Sheet]) -> str:
    """A line for each value of each femur."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["side", "key", "title", "value", "unit", "off_by", "refused", "definition"])
    for sheet in sheets:
        for value in sheet.values:
            meant = DEFINITIONS[value.key]
            numbers = ["" if number is None else f"{number:.3f}" for number in (value.value, value.off_by)]
            side = sheet.side or "unknown"
            rows.writerow(
                [side, value.key, meant.title, numbers[0], meant.unit, numbers[1], value.refused, meant.words]
            )
    return text.getvalue()
