"""What people read of the gate on MLflow's own page of the registered model: its last decisions, newest first."""

from collections.abc import Sequence

from mlflow.tracking import MlflowClient

from femseg.promotion.audit import Entry, Holders
from femseg.services.registry import DESCRIPTION, MODEL_NAME

_ENTRIES, _WORDS = 12, 240  # MLflow keeps 5000 characters
_AS_TEXT = str.maketrans({"|": "\\|", "<": "&lt;", "\n": " ", "`": "'", "[": "\\[", "*": "\\*", "_": "\\_"})


def describe(client: MlflowClient, log: Sequence[Entry]) -> None:
    """Make the registered model's description tell the log; nothing is sent where it does already."""
    if log and client.get_registered_model(MODEL_NAME).description != (page := page_of(log)):
        client.update_registered_model(MODEL_NAME, description=page)


def page_of(log: Sequence[Entry]) -> str:
    """The description, Markdown."""
    told = [entry for entry in log if entry.action != "done"][-_ENTRIES:]
    rows = [
        f"| {entry.number} | {entry.time[:16].replace('T', ' ')} | {entry.action} version {entry.version} "
        f"| {_moved(entry.before, entry.after)} | {_words(entry)} |"
        for entry in reversed(told)
    ]
    head = ["| entry | UTC | decision | champion | why |", "|---|---|---|---|---|"]
    note = "Written by the gate. `femseg audit verify` proves the whole log, `femseg why VERSION` gives every check."
    return "\n".join([DESCRIPTION, "", "### The gate", "", *head, *rows, "", note])


def _moved(before: Holders, after: Holders) -> str:
    if before.champion == after.champion:
        return f"{before.champion or 'none'}"
    return f"{before.champion or 'none'} → {after.champion or 'none'}"


def _words(entry: Entry) -> str:
    words = entry.words.translate(_AS_TEXT)
    return words if len(words) <= _WORDS else f"{words[:_WORDS]}…"
