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


_WORDS_AT_MOST = 400


def words_of(error: object) -> str:
    """Another program's message as one printable line of at most 400 characters, without credentials.

    Its first line always stays; of what follows, the end is kept, where a traceback or a library names the cause.
    """
    lines = without_credentials(str(error)).strip().partition("\n")
    first, _, rest = (printable(" ".join(part.split())) for part in lines)
    if not first:
        return type(error).__name__ if isinstance(error, BaseException) else "no message"
    room = _WORDS_AT_MOST - len(first) - len(" … ")
    if room < 0:
        return f"{first[:_WORDS_AT_MOST]}…"
    return f"{first} {rest}".rstrip() if len(rest) <= room else f"{first} … {rest[len(rest) - room :]}"


@dataclass(frozen=True, slots=True, init=False)
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

    def __init__(self, id: str, file: object, problem: str, fix: str) -> None:  # noqa: A002 - its name in every JSON
        if id not in FAULTS or FAULTS[id].exit_code == ExitCode.DONE:
            raise ValueError(f"{id!r} is the id of no refusal; faults.FAULTS lists them")
        for name, value in (("id", id), ("file", file), ("problem", problem), ("fix", fix)):
            object.__setattr__(self, name, without_credentials(str(value)))

    @property
    def exit_code(self) -> ExitCode:
        """How a command that stops on this fault ends."""
        return FAULTS[self.id].exit_code

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

    @classmethod
    def of(cls, id: str, file: object, problem: str, fix: str) -> "Refusal":  # noqa: A002
        """Of one fault, in the order in which its line is printed."""
        return cls(Fault(id, file, problem, fix))

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
