"""What people read of the gate on MLflow's own page of the registered model: its last decisions, newest first."""

from collections.abc import Sequence

from mlflow.tracking import MlflowClient

from femseg.promotion.audit import Entry, Holders
from femseg.services.registry import DESCRIPTION, MODEL_NAME

_ENTRIES, _WORDS, _MOST = 12, 240, 5000  # characters that MLflow keeps of a description
_TITLE = "### The gate"
_AS_TEXT = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " ", "`": "'", "[": "\\[", "*": "\\*", "_": "\\_"})


def describe(client: MlflowClient, log: Sequence[Entry]) -> None:
    """Make the registered model's description tell the log, below what people wrote there; sent only if it changes."""
    written = client.get_registered_model(MODEL_NAME).description or "" if log else ""
    if log and written != (page := page_of(log, written)):
        client.update_registered_model(MODEL_NAME, description=page)


def page_of(log: Sequence[Entry], written: str) -> str:
    """The description, Markdown: what stands there above the gate's own part, then as many decisions as find room."""
    above = written.partition(_TITLE)[0].strip() or DESCRIPTION
    told = [entry for entry in log if entry.action != "done"]
    for count in range(min(_ENTRIES, len(told)), 0, -1):
        page = f"{above}\n\n{_gate_part(told[-count:])}"
        if len(page) <= _MOST:
            return page
    return written  # people's own text leaves no room


def _gate_part(told: Sequence[Entry]) -> str:
    rows = [
        f"| {entry.number} | {entry.time[:16].replace('T', ' ')} | {entry.action} version {entry.version} "
        f"| {_moved(entry.before, entry.after)} | {_words(entry)} |"
        for entry in reversed(told)
    ]
    head = ["| entry | UTC | decision | champion | why |", "|---|---|---|---|---|"]
    note = "Written by the gate. `femseg audit verify` proves the whole log, `femseg why VERSION` gives every check."
    return "\n".join([_TITLE, "", *head, *rows, "", note])


def _moved(before: Holders, after: Holders) -> str:
    if before.champion == after.champion:
        return f"{before.champion or 'none'}"
    return f"{before.champion or 'none'} → {after.champion or 'none'}"


def _words(entry: Entry) -> str:
    words = entry.words.translate(_AS_TEXT)
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}…"
