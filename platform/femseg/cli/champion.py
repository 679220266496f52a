"""`femseg rollback`, `history`, `remove` and `femseg audit verify`: the aliases and their log, without the network."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from femseg.errors import printable
from femseg.promotion.audit import Entry, altered
from femseg.services import champion
from femseg.services.audit_log import audit_log
from femseg.services.registry import MODEL_NAME, answering, version_number
from femseg.services.tracking import connect


def rollback(*, as_json: bool) -> None:
    """Give the alias back. Raises: Refusal RG-08 (exit 8), RG-07 (exit 4)."""
    client, _ = connect()
    with answering(client):
        log = champion.rollback(client)
    plain = {"champion": log[-2].after.champion, "previous": log[-2].after.previous, "head": log[-1].sha256}
    say(plain, f"{log[-2].words}: {log[-1].words}\n{log_head(log)}", as_json=as_json)


def history(*, as_json: bool) -> None:
    """Every decision and every move, oldest first."""
    client, _ = connect()
    with answering(client):
        log = audit_log(client).read()
    lines = [history_line(entry) for entry in log] or ["nothing was decided yet"]
    say({"entries": [asdict(entry) for entry in log]}, "\n".join(lines), as_json=as_json)


def remove(number: int) -> None:
    """Delete a version that holds no alias. Raises: Refusal RG-06 (exit 8)."""
    client, _ = connect()
    with answering(client):
        champion.remove(client, version_number(client, str(number)))
    print(f"version {number} is removed")


def audit_verify(*, head: str, as_json: bool) -> None:
    """Prove the whole log. Raises: Refusal RG-09 (exit 4) naming what was altered."""
    client, _ = connect()
    with answering(client):
        log = audit_log(client).read()
    if head and head not in {entry.sha256 for entry in log}:
        raise altered(f"tags of {MODEL_NAME} in the registry", f"holds no entry with the hash {head[:12]}…")
    plain = {"entries": len(log), "head": log[-1].sha256 if log else ""}
    say(plain, f"{len(log)} entries, each in its place and as it was written\n{log_head(log)}", as_json=as_json)


def history_line(entry: Entry) -> str:
    moved = ""
    if entry.action in ("promote", "rollback"):
        moved = f" (champion {entry.before.champion or 'none'} → {entry.after.champion or 'none'})"
    return printable(
        f"{entry.number:4d}  {entry.time}  {entry.by}  {entry.action} version {entry.version}{moved}: {entry.words}"
    )


def log_head(log: Sequence[Entry]) -> str:
    return f"audit log: {len(log)} entries, head {log[-1].sha256}" if log else "audit log: empty"


def say(plain: dict[str, Any], words: str, *, as_json: bool) -> None:
    print(json.dumps(plain, indent=2) if as_json else words)
