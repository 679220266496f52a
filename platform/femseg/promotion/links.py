"""One link of a lineage: what leads from an output to what it was made of, and whether it holds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from femseg.errors import ExitCode, Fault

State = Literal["holds", "not here", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of a lineage.

    Attributes:
        what: what the link leads to, such as "git commit".
        value: its hash or id; "" if nothing says it.
        state: "holds" was compared just now; "not here" names what this machine does not have, so nothing contradicts
            it; "broken" leads nowhere, or to something else than it says.
        note: where it was found, or what is wrong.
        of: the input mode of the model that it belongs to; "" for the output itself.
    """

    what: str
    value: str
    state: State
    note: str = ""
    of: str = ""

    def as_plain(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


def broken_links(subject: str, links: Iterable[Link]) -> tuple[Fault, ...]:
    """A fault LN-01 (exit 4) for each link that is broken."""
    return tuple(
        Fault(
            id="LN-01",
            file=subject,
            problem=f"its lineage is broken at {f'{link.of}: ' if link.of else ''}{link.what}: {link.note}",
            fix="do not rely on it; make it again, or take it again from where it was made",
            exit_code=ExitCode.INTEGRITY,
        )
        for link in links
        if link.state == "broken"
    )


def shortened(sha256: str) -> str:
    """The beginning of a hash, for sentences."""
    return f"{sha256[:12]}…"
