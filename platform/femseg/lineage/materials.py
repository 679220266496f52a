"""What a model was made of, as far as it lies here: in the working tree, or in DVC's cache under its MD5."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

from femseg.errors import Fault
from femseg.lineage.provenance import dvc_hashes
from femseg.paths import DVC_LOCK

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """A repository's data by DVC path.

    Attributes:
        root: the working tree; dvc.lock lies there.
        cache: the folder `files/md5` of DVC's cache; None if there is none.
    """

    root: Path
    cache: Path | None

    def locked_md5(self, path: str) -> str | None:
        """What dvc.lock at hand says of an out."""
        return dvc_hashes(self.root / DVC_LOCK, [path]).get(path)

    def in_tree(self, path: str, inner: str = "") -> bytes | None:
        """The bytes of a file of the working tree; None if it is not there."""
        return _bytes_of(self.root / path / inner)

    def in_cache(self, md5: str, inner: str = "") -> bytes | None:
        """The bytes that DVC keeps under an MD5, compared with it; None if it has none, or others.

        Args:
            md5: of a file, or ending in ".dir" of a folder's listing.
            inner: the file of that folder that is wanted; "" is the listing.
        """
        if self.cache is None or not is_md5(md5):
            return None
        content = _bytes_of(self.cache / md5[:2] / md5[2:])
        if content is None or hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
            return None
        if not inner:
            return content
        listed = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        return self.in_cache(listed[inner]) if inner in listed else None


def is_md5(text: str) -> bool:
    """Whether this can be an MD5 as DVC writes it."""
    return _MD5.fullmatch(text) is not None


def is_inside(path: str) -> bool:
    """Whether a path of a lineage stays in the repository that it speaks of."""
    pure = PurePosixPath(path)
    return bool(path) and not pure.is_absolute() and ".." not in pure.parts and path.isprintable()


@lru_cache(maxsize=8)  # one command asks for the manifest several times; it may be large
def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


State = Literal["holds", "not here", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of a lineage.

    Attributes:
        what: what the link leads to, such as "git commit".
        value: its hash or id; "" if nothing says it.
        state: "holds" was compared just now; "not here" names what this machine does not have, so nothing contradicts
            it; "broken" leads nowhere, or to something else than it says.
        note: where it was found, or what is wrong.
        of: the input mode of the model that it belongs to; "" for the output itself.
    """

    what: str
    value: str
    state: State
    note: str = ""
    of: str = ""

    def as_plain(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


def broken_links(subject: str, links: Iterable[Link]) -> tuple[Fault, ...]:
    """A fault LN-01 (exit 4) for each link that is broken."""
    return tuple(
        Fault(
            "LN-01",
            subject,
            f"its lineage is broken at {f'{link.of}: ' if link.of else ''}{link.what}: {link.note}",
            "do not rely on it; make it again, or take it again from where it was made",
        )
        for link in links
        if link.state == "broken"
    )


def shortened(sha256: str) -> str:
    """The beginning of a hash, for sentences."""
    return f"{sha256[:12]}…"
