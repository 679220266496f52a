"""What deserves a look though nothing is refused for it."""

from dataclasses import asdict, dataclass

from femseg.errors import printable

OUTLIER = "FACT"
DOUBTFUL = ("IN-21", "PP-04")  # remarks of a study that are more than a note: left and right, a femur that changes size


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One observation.

    Attributes:
        id: case of the acceptance matrix, or "FACT".
        study: the study's place below the cohort's folder; "" if it concerns the folder.
        problem: what was seen, with the numbers.
        advice: what to look at.
    """

    id: str
    study: str
    problem: str
    advice: str

    def __str__(self) -> str:
        where = f"{self.study}: " if self.study else ""
        return printable(f"{self.id}: {where}{self.problem.rstrip('.')}. {self.advice}")

    def as_dict(self) -> dict[str, str]:
        """The same for `--json`."""
        return asdict(self)


def doubts(study: str, remarks: tuple[str, ...]) -> tuple[Finding, ...]:
    """Remarks of a study that somebody should look into."""
    advice = "Compare the mask with the CT in your viewer."
    parted = (remark.partition(": ") for remark in remarks)
    return tuple(
        Finding(id=id_, study=study, problem=said, advice=advice) for id_, _, said in parted if id_ in DOUBTFUL
    )
