"""Entries of the gate's log, made up."""

from femseg.gate.audit import Entry, Holders

NOBODY = Holders()


def audit_entry(action="refuse", version=1, *, before=NOBODY, after=NOBODY, words="refused: too bad") -> Entry:
    """One entry, not yet in a log."""
    return Entry(
        number=0,
        time="2026-01-01T00:00:00+00:00",
        by="somebody@somewhere",
        action=action,
        version=version,
        before=before,
        after=after,
        words=words,
    )


def audit_story() -> tuple[Entry, ...]:
    """A refusal, two promotions and a rollback."""
    first, second = Holders(champion=1), Holders(champion=2, previous=1)
    back = Holders(champion=1, previous=2)
    log: tuple[Entry, ...] = ()
    for entry in (
        audit_entry(version=3),
        audit_entry("promote", 1, after=first),
        audit_entry("done", 1),
        audit_entry("promote", 2, before=first, after=second),
        audit_entry("done", 2),
        audit_entry("rollback", 1, before=second, after=back),
        audit_entry("done", 1),
    ):
        log = (*log, entry.chained(log))
    return log
