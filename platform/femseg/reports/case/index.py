"""The index page over the studies of a folder: of each a picture, verdict and volumes, or its faults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from femseg.errors import Fault, printable
from femseg.faults import FAULTS
from femseg.inference.femora import STRUCTURES
from femseg.reports.pages import data_uri, templates

HEADLINES = {"usable": "usable", "review": "review before use", "reject": "do not use"}
_GRAVEST_FIRST = ("refused", "reject", "review", "usable")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexLine:
    """One study.

    Attributes:
        name: its place below the folder.
        link: its page, as seen from the index; "" if it has none.
        facts: its `result.json`; empty if it was refused.
        picture: WebP; empty without one.
        faults: why it, or one of its outputs, is not there.
    """

    name: str
    link: str = ""
    facts: Mapping[str, Any]
    picture: bytes = b""
    faults: tuple[Fault, ...] = ()

    @property
    def word(self) -> str:
        """The verdict; "refused" where there is none."""
        return str(self.facts["verdict"]["word"]) if self.facts else "refused"

    @property
    def caution(self) -> str:
        """What must be said beside the verdict."""
        return str(self.facts["verdict"].get("caution", "")) if self.facts else ""

    @property
    def reasons(self) -> Sequence[str]:
        """Why it is not usable."""
        return list(self.facts["verdict"]["reasons"]) if self.facts else []

    @property
    def twin(self) -> str:
        """An earlier study that shows the same CT; "" if there is none."""
        return printable(str(self.facts.get("same_as", "")))

    @property
    def femora(self) -> Sequence[str]:
        """Each femur with its volume."""
        by_side = self.facts.get("femora", {})
        return [f"{STRUCTURES[side].name} {femur['volume_ml']:.1f} ml" for side, femur in by_side.items()]


def index_page(lines: Sequence[IndexLine], *, folder: str, table: str) -> str:
    """The page as HTML: no script, no request but its links; the same lines give the same bytes.

    Args:
        folder: name of the studies' folder.
        table: link to the CSV table.
    """
    counts = {word: sum(line.word == word for line in lines) for word in _GRAVEST_FIRST}
    said = {"refused": "refused", **HEADLINES}
    return (
        templates()
        .get_template("cases.html.j2")
        .render(
            folder=printable(folder),
            table=quote(table),
            counts=[(word, said[word], count) for word, count in counts.items() if count],
            cautions=sorted({line.caution for line in lines} - {""}),
            lines=[
                {
                    "name": printable(line.name),
                    "link": "/".join(map(quote, line.link.split("/"))),
                    "word": line.word,
                    "said": said[line.word],
                    "caution": line.caution,
                    "femora": line.femora,
                    "twin": line.twin,
                    "reasons": line.reasons,
                    "picture": data_uri(line.picture, "webp") if line.picture else "",
                    "faults": [(fault, FAULTS[fault.id].title) for fault in line.faults],
                }
                for line in sorted(lines, key=lambda line: _GRAVEST_FIRST.index(line.word))
            ],
        )
    )
