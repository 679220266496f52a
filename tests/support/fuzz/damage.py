"""Files cut short and bits turned over, as disks and interrupted copies do it."""

import random
from collections.abc import Iterator
from pathlib import Path


def cuts(content: bytes, most: int | None = None) -> Iterator[bytes]:
    """The content cut at every byte; or at so many places, evenly, the first and the last among them."""
    lengths = range(len(content))
    if most is not None and most < len(content):
        lengths = sorted({(len(content) - 1) * place // (most - 1) for place in range(most)})
    for length in lengths:
        yield content[:length]


def flips(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """The content with one bit turned over, at drawn places."""
    dice = random.Random(seed)
    for _ in range(count):
        place = dice.randrange(len(content))
        yield content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]


def files_below(folder: Path) -> list[Path]:
    """All files, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
