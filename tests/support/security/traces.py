"""Where words are found in what a program left: in names, in bytes of any encoding, in what is packed twice."""

import base64
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_DEEPEST = 3
_NOT_PACKED = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError)
_UNPACKED_AT_MOST = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What was looked at, and the hits as "file (how): word"."""

    files: int
    bytes: int
    unpacked: int
    hits: tuple[str, ...]


def _pattern(words: Iterable[str]) -> re.Pattern[bytes]:
    """The words in UTF-8 and both UTF-16, whatever the case of their letters."""
    forms = {
        word.encode(encoding)
        for plain in words
        for word in (plain, plain.swapcase())
        for encoding in ("utf-8", "utf-16-le", "utf-16-be")
    }
    return re.compile(b"|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)


def _unpacked(content: bytes) -> Iterator[bytes]:
    """What lies in an archive, a compressed file, or the chunks of text in a picture."""
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if member.file_size <= _UNPACKED_AT_MOST:
                    yield from (member.filename.encode(), archive.read(member))
    elif content[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png_texts(content)
    elif content[:1] == b"\x78":
        yield zlib.decompress(content)
    for found in re.finditer(rb"base64,([A-Za-z0-9+/=]{40,})", content):  # pictures in a page
        yield base64.b64decode(found[1])


def _png_texts(content: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if kind in (b"zTXt", b"iTXt", b"tEXt", b"eXIf"):
            data = content[at + 8 : at + 8 + length]
            yield data
            packed = data.partition(b"\0")[2][1:]
            with suppress(zlib.error):
                yield zlib.decompress(packed)
        at += length + 12


def search(folders: Iterable[Path], words: Iterable[str], *, but: Iterable[Path] = ()) -> Searched:
    """Look for words in all names and files below some folders.

    Args:
        but: folders that are not looked into.
    """
    pattern, left_out = _pattern(words), {path.resolve() for path in but}
    files, size, unpacked, hits = 0, 0, 0, []

    def look(content: bytes, where: str, depth: int) -> None:
        nonlocal unpacked
        hits.extend(f"{where}: {found[0]!r}" for found in pattern.finditer(content))
        if depth < _DEEPEST:
            with suppress(*_NOT_PACKED):
                for inner in _unpacked(content):
                    unpacked += 1
                    look(inner, f"{where} (unpacked)", depth + 1)

    for folder in folders:
        for path in folder.rglob("*"):
            if left_out & {path, *path.parents}:
                continue
            hits += [f"name {path}: {found[0]!r}" for found in pattern.finditer(path.name.encode(errors="replace"))]
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes()
                files, size = files + 1, size + len(content)
                look(content, str(path), 0)
    return Searched(files=files, bytes=size, unpacked=unpacked, hits=tuple(hits))
