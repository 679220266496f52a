"""What the gate found: every check with what was found and expected, and whether all hold."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from femseg.errors import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that the gate looked at.

    Attributes:
        id: case of the acceptance matrix.
        name: what was looked at, in a few words.
        passed: whether it is as it must be.
        found: what was found, with the numbers; reads on after "found".
        expected: what must be.
        fix: what to do if it failed.
    """

    id: str
    name: str
    passed: bool
    found: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's answer about one version.

    Attributes:
        version: of the registered model.
        champion: the version that it would replace; None while there is none.
        package_sha256, predictions_sha256, test_set_sha256: what was judged; "" if it could not be found.
        rules: promotion.yaml as it was read.
        checks: in the order in which they were made. Where one fails, those that rest on it are missing.
    """

    version: int
    champion: int | None
    package_sha256: str
    predictions_sha256: str
    test_set_sha256: str
    rules: dict[str, Any]
    checks: tuple[Check, ...]

    @property
    def allowed(self) -> bool:
        """Whether every check holds, and there were any."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The reasons to refuse."""
        return tuple(check for check in self.checks if not check.passed)

    def as_plain(self) -> dict[str, Any]:
        """JSON values."""
        return {**asdict(self), "checks": [asdict(check) for check in self.checks], "allowed": self.allowed}

    def as_json(self) -> str:
        """The whole document as text, always the same bytes."""
        return json.dumps(self.as_plain(), sort_keys=True, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """Hash of the whole document: what the audit log keeps of it."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()

    def faults(self, name: str) -> Sequence[Fault]:
        """One line for each reason to refuse (exit 8)."""
        return [Fault(c.id, name, f"{c.name}: {c.found}; expected {c.expected}", c.fix) for c in self.failed]
