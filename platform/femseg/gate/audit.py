"""The audit log: what the gate decided and did, each entry under a hash that includes the entry before it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from femseg.errors import Refusal
from femseg.files.durable import sha256_of_json
from femseg.settings import checked

Action = Literal["promote", "rollback", "done", "abandoned", "refuse", "remove"]
BEGINNING = "0" * 64
_WORDS_AT_MOST = 1500  # a registered model's tag holds 5000 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Which version holds which alias; None for none."""

    champion: int | None = None
    previous: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log.

    Attributes:
        number: counted from 1.
        time: when, UTC, ISO 8601.
        by: user and host.
        action: "promote" and "rollback" are written before an alias moves and say where to; "done" or "abandoned" says
            what became of it. "refuse" and "remove" stand alone.
        version: what it is about.
        before, after: the aliases' holders; equal where nothing moves.
        package_sha256, predictions_sha256, test_set_sha256, decision_sha256: what was judged and how; "" without.
        words: one sentence for people.
        entry_before: hash of the entry before.
        sha256: of everything above.
    """

    number: int
    time: str
    by: str
    action: Action
    version: int
    before: Holders
    after: Holders
    words: str
    package_sha256: str = ""
    predictions_sha256: str = ""
    test_set_sha256: str = ""
    decision_sha256: str = ""
    entry_before: str = ""
    sha256: str = ""

    def chained(self, log: Sequence["Entry"]) -> "Entry":
        """The same as the next entry of a log, with its hash."""
        last = log[-1].sha256 if log else BEGINNING
        words = self.words if len(self.words) <= _WORDS_AT_MOST else f"{self.words[:_WORDS_AT_MOST]}…"
        linked = replace(self, number=len(log) + 1, entry_before=last, words=words, sha256="")
        return replace(linked, sha256=linked.own_sha256)

    @property
    def own_sha256(self) -> str:
        """What `sha256` must be."""
        plain = asdict(self)
        del plain["sha256"]
        return sha256_of_json(plain)

    def line(self) -> str:
        """The entry as one line of JSON, always the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a whole log says: who holds the aliases, and which move was begun and not ended."""

    holders: Holders
    begun: Entry | None


def standing(log: Sequence[Entry]) -> Standing:
    """Follow a log from its beginning."""
    holders, begun = Holders(), None
    for entry in log:
        if entry.action in ("promote", "rollback"):
            begun = entry
        elif entry.action in ("done", "abandoned"):
            if entry.action == "done" and begun is not None:
                holders = begun.after
            begun = None
    return Standing(holders=holders, begun=begun)


def allowed_package(log: Sequence[Entry], version: int) -> str | None:
    """The SHA-256 of the package with which the gate last allowed a version to be champion; None if it never did."""
    allowed = [entry for entry in log if entry.action == "promote" and entry.version == version]
    return allowed[-1].package_sha256 if allowed else None


def parse(lines: Sequence[str], *, where: str) -> tuple[Entry, ...]:
    """Read a log and prove its chain. Raises: Refusal RG-09 (exit 4) naming the first entry that is not right."""
    log: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        entry = _entry(line, number, where)
        expected = log[-1].sha256 if log else BEGINNING
        if entry.number != number:
            raise altered(where, f"entry {number} says that it is entry {entry.number}: one was removed, or put in")
        if entry.sha256 != entry.own_sha256:
            raise altered(where, f"entry {number} was altered: its hash does not hold")
        if entry.entry_before != expected:
            raise altered(where, f"entry {number} follows another entry {number - 1} than the one that is there")
        log.append(entry)
    return tuple(log)


def _entry(line: str, number: int, where: str) -> Entry:
    try:
        plain: Any = json.loads(line)
        entry = checked(Entry, plain, where=f"entry {number}")
    except (ValueError, RecursionError, Refusal):
        raise altered(where, f"entry {number} is none") from None
    if entry.line() != line:
        raise altered(where, f"entry {number} was altered: it is not written as this program writes")
    return entry


def altered(where: str, problem: str) -> Refusal:
    """RG-09: the log is not what was written."""
    fix = "find out who changed it; the copies beside other clones and backups show what it was"
    return Refusal.of("RG-09", where, problem, fix)
