"""Where the audit log lies: in tags of the registered model, for all to see, and in a copy on each machine."""

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from femseg.files.durable import write_bytes_durably
from femseg.gate.audit import Entry, Holders, altered, parse
from femseg.paths import AUDIT_COPIES, project_root
from femseg.services.registry.model_name import MODEL_NAME
from femseg.services.registry.versions import DESCRIPTION
from femseg.services.tracking.address import local_database, redacted

_ENTRY, _HEAD = "audit.{:06d}", "audit.head"
_ENTRY_TAG = re.compile(r"audit\.\d{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """The log of one registry.

    Attributes:
        client: of the registry.
        copy: this machine's copy, one entry a line. It never lies at the registry's mercy: what the tags have lost or
            changed of it is found.
    """

    client: MlflowClient
    copy: Path

    def read(self) -> tuple[Entry, ...]:
        """The whole log, its chain proven, and no shorter or other than this machine's copy.

        Raises: Refusal RG-09 (exit 4) if either was altered, or they part ways.
        """
        lines, head = self._tags()
        log = parse(lines, where=f"tags of {MODEL_NAME} in the registry")
        kept = parse(self._copied_lines(), where=str(self.copy))
        if len(kept) > len(log):
            problem = f"holds {len(log)} entries, this machine's copy ({self.copy}) {len(kept)}: some were removed"
            raise altered(f"tags of {MODEL_NAME} in the registry", problem)
        for ours, theirs in zip(kept, log, strict=False):
            if ours != theirs:
                problem = f"entry {ours.number} differs from this machine's copy ({self.copy})"
                raise altered(f"tags of {MODEL_NAME} in the registry", problem)
        if head not in {_head(log), _head(log[:-1])}:  # an entry is written before the head that names it
            raise altered(f"tags of {MODEL_NAME} in the registry", f"its head is '{head}', expected '{_head(log)}'")
        return log

    def append(self, log: tuple[Entry, ...], entry: Entry) -> tuple[Entry, ...]:
        """Write the next entry of a log that was just read, with the registry's lock held; returns the longer log."""
        longer = (*log, entry.chained(log))
        last = longer[-1]
        self.client.set_registered_model_tag(MODEL_NAME, _ENTRY.format(last.number), last.line())
        self.client.set_registered_model_tag(MODEL_NAME, _HEAD, _head(longer))
        self.keep_copy(longer)
        return longer

    def keep_head(self, log: tuple[Entry, ...]) -> None:
        """Make the head name the last entry of a log that was just read: a kill may have come between the two.

        Otherwise a second kill at that place would leave the head two entries behind, which looks like an edit.
        """
        if self._tags()[1] != _head(log):
            self.client.set_registered_model_tag(MODEL_NAME, _HEAD, _head(log))

    def keep_copy(self, log: tuple[Entry, ...]) -> None:
        """Make this machine's copy the log that was just read."""
        lines = [entry.line() for entry in log]
        if lines and lines != self._copied_lines():
            write_bytes_durably(self.copy, "".join(f"{line}\n" for line in lines).encode())

    def _tags(self) -> tuple[list[str], str]:
        """The entries in order of their numbers, and the head."""
        try:
            tags = self.client.get_registered_model(MODEL_NAME).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return [], _head(())
        return [tags[name] for name in sorted(tags) if _ENTRY_TAG.fullmatch(name)], tags.get(_HEAD, _head(()))

    def _copied_lines(self) -> list[str]:
        try:
            return self.copy.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except UnicodeDecodeError:
            raise altered(str(self.copy), "is no text") from None


def _head(log: tuple[Entry, ...]) -> str:
    return f"{log[-1].number} {log[-1].sha256}" if log else "0"


def audit_log(client: MlflowClient) -> AuditLog:
    """The log of a client's registry; the copy lies beside a SQLite store, else in `mlruns/audit/`."""
    uri = client.tracking_uri
    if database := local_database(uri):
        return AuditLog(client=client, copy=database.parent / "audit" / f"{database.stem}.jsonl")
    place = redacted(uri)
    name = re.sub(r"[^\w.-]", "_", urlsplit(place).netloc) + "-" + hashlib.sha256(place.encode()).hexdigest()[:8]
    return AuditLog(client=client, copy=project_root() / AUDIT_COPIES / f"{name}.jsonl")


def now() -> str:
    """The time of an entry."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def who() -> str:
    """Who writes an entry."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user without a name
        return f"{os.getuid()}@{socket.gethostname()}"


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
