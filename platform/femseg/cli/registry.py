"""`femseg promote`, `why` and the like, as people read them."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from femseg.errors import Refusal, printable
from femseg.gate.audit import Entry, altered, standing
from femseg.gate.decision import Check
from femseg.gate.rules import read_rules
from femseg.services.registry import aliases as champion
from femseg.services.registry.audit_log import audit_log
from femseg.services.registry.challenger import nominate
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import CHALLENGER, answering, version_number
from femseg.services.tracking.connect import connect

_LONG_NUMBER = re.compile(r"\b\d+\.\d{4,}\b")


def rollback(*, as_json: bool) -> None:
    """Give the alias back. Raises: Refusal RG-08 (exit 8), RG-07 (exit 4)."""
    client, _ = connect()
    with answering(client):
        log = champion.rollback(client)
    plain = {"champion": log[-2].after.champion, "previous": log[-2].after.previous, "head": log[-1].sha256}
    say(plain, f"{log[-2].words}: {log[-1].words}\n{log_head(log)}", as_json=as_json)


def history(*, as_json: bool) -> None:
    """Every decision and every move, oldest first."""
    client, _ = connect(to_read=True)
    with answering(client):
        log = audit_log(client).read()
    lines = [history_line(entry) for entry in log] or ["nothing was decided yet"]
    say({"entries": [asdict(entry) for entry in log]}, "\n".join(lines), as_json=as_json)


def remove(name: str) -> None:
    """Delete a version that holds no alias. Raises: Refusal RG-14 (exit 8)."""
    client, _ = connect()
    with answering(client):
        number = version_number(client, name)
        champion.remove(client, number)
    print(f"version {number} is removed")


def challenger(name: str) -> None:
    """Make a version challenger, whatever its validation Dice."""
    client, _ = connect()
    with answering(client):
        print(nominate(client, version_number(client, name)))


def audit_verify(*, head: str, as_json: bool) -> None:
    """Prove the whole log. Raises: Refusal RG-09 (exit 4) naming what was altered."""
    client, _ = connect(to_read=True)
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


def promote(name: str, *, rules: Path, dry_run: bool, as_json: bool) -> None:
    """Judge a version; unless it is a dry run, write the decision down and make it champion if every check holds.

    Raises: Refusal (exit 8) with every reason.
    """
    from femseg.services.registry.gate import judge  # it reads CTs and masks, which no other command does

    read = read_rules(rules)
    client, _ = connect(to_read=dry_run)
    with answering(client):
        number = version_number(client, name)
        holder = champion.alias_holder(client, champion.CHAMPION)
        if number == holder == standing(audit_log(client).read()).holders.champion:
            say({"version": number, "already": True}, f"version {number} is champion already", as_json=as_json)
            return
        decision = judge(client, number, read)
        if not as_json:
            print("\n".join(_check_lines(decision.checks)))
        if dry_run:
            if not decision.allowed:
                raise Refusal(decision.faults(f"models:/{MODEL_NAME}/{number}"))
            words = f"version {number} may become champion (dry run: nothing was changed or written down)"
            say(decision.as_plain(), words, as_json=as_json)
            return
        was_challenger = champion.alias_holder(client, CHALLENGER) == number
        log = champion.promote(client, decision)
    plain = {**decision.as_plain(), "head": log[-1].sha256, "entries": len(log)}
    words = log[-1].words
    if was_challenger:
        words += f"; the alias {CHALLENGER} is free: from now on this version is called {champion.CHAMPION}"
    say(plain, f"{words}\n{log_head(log)}", as_json=as_json)


def why(name: str, *, as_json: bool) -> None:
    """The last decision about a version, check by check. Raises: Refusal RG-12 (exit 2) if there is none."""
    from femseg.services.registry.gate import written_decision

    client, _ = connect(to_read=True)
    with answering(client):
        number = version_number(client, name)
        log = audit_log(client).read()
        judged = [entry for entry in log if entry.version == number and entry.decision_sha256]
        if not judged:
            problem, fix = "the gate has not judged it", f"femseg promote {number} --dry-run"
            file = f"models:/{MODEL_NAME}/{number}"
            raise Refusal.of("RG-12", file, problem, fix)
        decision = written_decision(client, judged[-1])
    checks = [Check(**check) for check in decision["checks"]]
    lines = [history_line(judged[-1]), *_check_lines(checks)]
    say({"entry": asdict(judged[-1]), "decision": decision}, "\n".join(lines), as_json=as_json)


_THEMES = {
    "RG-01": "Run and package",
    "RG-04": "Code, data and settings",
    "RG-03": "Saved masks and recorded scores",
    "RG-02": "Good enough",
    "RG-10": "Time and memory",
}


def _check_lines(checks: Sequence[Check]) -> list[str]:
    """Every check below its theme, the themes in the order of the questions; any other id keeps a line of its own."""
    lines = []
    for theme in dict.fromkeys([*_THEMES, *(check.id for check in checks)]):
        of_theme = [check for check in checks if check.id == theme]
        if of_theme:
            hold = sum(check.passed for check in of_theme)
            lines.append(f"{_THEMES.get(theme, 'Other')} ({theme}): {hold} of {len(of_theme)} hold")
            lines += [_check_line(check) for check in of_theme]
    return lines


def _check_line(check: Check) -> str:
    words = f"{check.name}: {check.found}; expected {check.expected}"
    if check.passed:  # where one failed, the digit that decided must show
        words = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.3f}", words)
    return printable(f"  {'✓' if check.passed else '✗'} {words}")
