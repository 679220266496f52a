"""Refusals: what was found, what was expected, what to do; one line and one exit code each."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from femseg.faults import FAULTS, ExitCode


def printable(name: object) -> str:
    """A file or case name that cannot break a line or a terminal: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


_CREDENTIALS = re.compile(r"(?<=://)[^\s/]*@")


def without_credentials(text: str) -> str:
    """Text in which every address has lost its user name and password: libraries repeat addresses in their errors."""
    return _CREDENTIALS.sub("", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with one file, series or setting. Addresses in its words lose their passwords.

    Attributes:
        id: of `faults.FAULTS`, for instance "IN-04"; it decides the exit code.
        file: what the fault was found in; never a patient's name.
        problem: what is wrong, with the numbers found and expected.
        fix: what to do about it.
    """

    id: str
    file: str
    problem: str
    fix: str

    def __post_init__(self) -> None:
        if self.id not in FAULTS:
            raise ValueError(f"no fault has the id {self.id!r}; add it to faults.FAULTS")
        for name in ("file", "problem", "fix"):
            object.__setattr__(self, name, without_credentials(getattr(self, name)))

    @property
    def exit_code(self) -> ExitCode:
        """How a command that stops on this fault ends."""
        return FAULTS[self.id].exit_code or ExitCode.INPUT_REFUSED

    def __str__(self) -> str:
        problem, fix = self.problem.rstrip("."), self.fix.rstrip(".")
        return printable(f"error {self.id}: {self.file}: {problem}. Fix: {fix}.")

    def as_dict(self) -> dict[str, Any]:
        """The same for `--json`."""
        return {**asdict(self), "exit_code": int(self.exit_code)}


class Refusal(Exception):
    """Work stopped for stated reasons. Carries every fault of the pass, not the first only."""

    def __init__(self, faults: Fault | Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        if not self.faults:
            raise ValueError("a Refusal needs at least one Fault")
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type["Refusal"], tuple[tuple[Fault, ...]]]:
        return (Refusal, (self.faults,))  # travels between Ray workers whole

    @property
    def exit_code(self) -> ExitCode:
        """Of several faults, the gravest kind decides: security, integrity, resource, then the first fault's own."""
        kinds = [fault.exit_code for fault in self.faults]
        for grave in (ExitCode.SECURITY, ExitCode.INTEGRITY, ExitCode.RESOURCE):
            if grave in kinds:
                return grave
        return kinds[0]
