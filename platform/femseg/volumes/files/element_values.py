"""Values of DICOM elements, from their raw bytes; what cannot be read as its kind counts as missing."""

import math
from typing import Any, Literal

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag


def raw_of(dataset: Dataset, tag: BaseTag) -> Any:
    """The value as pydicom holds it: bytes before its conversion; b"" where there is none."""
    return dataset.get_item(tag).value if tag in dataset else b""


def text_of(dataset: Dataset, tag: BaseTag) -> str:
    """A text without padding; "" where there is none."""
    value = raw_of(dataset, tag)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace").strip(" \0")
    return "" if value is None else str(value)


def numbers(text: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers from a backslash-separated text, else None."""
    try:
        found = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def short_of(dataset: Dataset, tag: BaseTag, byte_order: Literal["big", "little"]) -> int | None:
    """An unsigned number of two bytes."""
    value = raw_of(dataset, tag)
    if not isinstance(value, bytes) or len(value) != 2:
        return None
    return int.from_bytes(value, byte_order)
