"""A JSON object with a line for each case, looked up where it lies: what a reader holds of it is eight bytes a case.

    {"format": 2, "kind": "raw", "cases": {
    "case-0001": {"sha256": "…"},
    "case-0002": {"sha256": "…"}
    }, "sha256": "…"}

The last hash is of all lines above its own. Any JSON program reads the file whole; a worker that trains on a few of
many thousand cases reads their lines only. Parsed by `json.loads`, its two indices of 60 000 cases would hold 412 MB.
"""

import hashlib
import json
import os
import re
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from femseg.errors import Refusal
from femseg.files.durable import sha256_of_file, written_durably
from femseg.files.plain import open_plain

CASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LINE = re.compile(rb'"([^"\\]{1,200})": (\{.*\})(,?)\n')
_START, _END = b'"cases": {\n', b'}, "sha256": "'
_LINE_AT_MOST_BYTES = 1 << 20


def write_case_lines(path: Path, head: Mapping[str, Any], cases: Mapping[str, Any]) -> str:
    """Write `head` and the cases, ascending, durably; equal values give equal bytes.

    Args:
        head: JSON values under other names than "cases" and "sha256".
        cases: a JSON object for each case id.
    Returns: the file's SHA-256.
    """
    digest = hashlib.sha256()

    def same_bytes(temporary: Path) -> None:
        if sha256_of_file(temporary) != digest.hexdigest():
            raise OSError(5, "bytes read back differ from bytes written")

    with written_durably(path, check=same_bytes) as temporary, temporary.open("wb") as stream:
        for line in _lines(head, cases):
            digest.update(line)
            stream.write(line)
        ending = _ending(digest.hexdigest())
        digest.update(ending)
        stream.write(ending)
    return digest.hexdigest()


def _lines(head: Mapping[str, Any], cases: Mapping[str, Any]) -> Iterator[bytes]:
    opening = json.dumps(dict(sorted(head.items())), allow_nan=False).removesuffix("}")
    yield f"{opening}, ".encode() + _START
    for number, (case_id, value) in enumerate(sorted(cases.items()), start=1):
        line = json.dumps({case_id: value}, sort_keys=True, allow_nan=False)[1:-1]
        yield f"{line}{',' if number < len(cases) else ''}\n".encode()


def _ending(sha256_of_lines: str) -> bytes:
    return _END + f'{sha256_of_lines}"}}\n'.encode()


class CaseLines(Mapping[str, dict[str, Any]]):
    """A file of `write_case_lines`, read-only: case id to JSON object, ascending.

    The file stays open: one that is replaced meanwhile is not seen.

    Attributes:
        head: what stands before the cases.
        sha256: of the file as it was opened.
    """

    def __init__(self, path: Path, stream: BinaryIO | None = None) -> None:
        """Read the file once, a line at a time, or an open one that only messages call by this path.

        Raises: Refusal ST-02 (exit 4) if it is missing, torn or not ours.
        """
        self._path = path
        try:
            self._stream = stream or open_plain(path)
        except OSError as error:
            problem = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            raise integrity(path, problem) from error
        weakref.finalize(self, self._stream.close)
        opening = self._stream.readline(_LINE_AT_MOST_BYTES)
        if not opening.endswith(_START):
            raise integrity(path, "is no list of cases, a line each")
        try:
            self.head: dict[str, Any] = json.loads(opening + b"}}")
        except (ValueError, RecursionError) as error:
            raise integrity(path, f"is no readable JSON ({error})") from error
        del self.head["cases"]
        digest = hashlib.sha256(opening)
        self._starts = self._starts_of_lines(len(opening), digest)
        self.sha256 = digest.hexdigest()

    def _starts_of_lines(self, start: int, digest: Any) -> "array[int]":
        """Where each case's line starts, and last where the list ends. Raises: Refusal, as `__init__`."""
        starts, before, more = array("Q", [start]), "", False
        while not (line := self._stream.readline(_LINE_AT_MOST_BYTES)).startswith(_END):
            digest.update(line)
            found = _LINE.fullmatch(line)
            if not found or (before and not more):
                raise integrity(self._path, f"is torn or altered after {len(starts) - 1} cases")
            case_id, more = found[1].decode("utf-8", "replace"), bool(found[3])
            if not CASE_ID.fullmatch(case_id):
                raise integrity(self._path, f"holds an unsafe case id {case_id!r}")
            if case_id <= before:
                raise integrity(self._path, f"holds {case_id} after {before}, expected ascending order")
            before = case_id
            starts.append(starts[-1] + len(line))
        if more or not line.endswith(b"\n") or self._stream.read(1):
            raise integrity(self._path, f"is torn or altered after {len(starts) - 1} cases")
        if line != _ending(digest.hexdigest()):
            raise integrity(self._path, "its own hash does not hold")
        digest.update(line)
        return starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[str]:
        return (self._case_id(place) for place in range(len(self)))

    def __getitem__(self, case_id: str) -> dict[str, Any]:
        """A case's JSON object. Raises: KeyError; Refusal ST-02 (exit 4) if its line is not readable."""
        place = bisect_left(range(len(self)), case_id, key=self._case_id)
        if place == len(self) or self._case_id(place) != case_id:
            raise KeyError(case_id)
        found = _LINE.fullmatch(self._bytes(place, self._starts[place + 1] - self._starts[place]))
        try:
            value: dict[str, Any] = json.loads(found[2] if found else b"")
        except (ValueError, RecursionError) as error:
            raise integrity(self._path, f"holds no readable JSON for {case_id} ({error})") from error
        return value

    def _case_id(self, place: int) -> str:
        at_most = min(self._starts[place + 1] - self._starts[place], 104)
        return self._bytes(place, at_most)[1:].partition(b'"')[0].decode("utf-8", "replace")

    def _bytes(self, place: int, count: int) -> bytes:
        return os.pread(self._stream.fileno(), count, self._starts[place])


def integrity(path: Path, problem: str) -> Refusal:
    """ST-02 (exit 4) for a file of the array store."""
    return Refusal.of("ST-02", path, problem, "run the stage that writes it again (`dvc repro`), or `dvc pull`")
