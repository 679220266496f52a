"""What a check leaves of one study, and of all studies of a folder."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from femseg.cohorts.case import Case, CaseFacts
from femseg.errors import Fault, Refusal, printable
from femseg.files.durable import write_json_durably
from femseg.intake.preview import Preview
from femseg.volumes.grid import VoxelGrid

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
    parts = (remark.partition(": ") for remark in remarks)
    return tuple(Finding(id=id_, study=study, problem=text, advice=advice) for id_, _, text in parts if id_ in DOUBTFUL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStudy:
    """A study after its check: usable, or with faults; neither where the folder held nothing like a study.

    Attributes:
        name: its place below the cohort's folder.
        location: what the user knows the study by.
        case: only where the voxels were looked at and nothing was wrong.
        ignored: files that are neither CT nor mask.
        case_id, patient_id: keyed hashes, also of studies with faults; "" where nothing names them.
        grid: the CT's, where its headers hold.
        facts: as far as they are known.
        findings: what deserves a look though nothing is refused for it.
        part: what its dataset keeps it for; only "training" makes a case of the cohort.
        pixels_sha256: of the CT's values and size, to find one study under two names.
        hu_counts: voxels of a sample by Hounsfield units, in the bins of `preview.HU_EDGES`.
        preview: pictures, if they were asked for; `no_preview` says why there are none.
    """

    name: str
    location: str
    case: Case | None
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]
    case_id: str = ""
    patient_id: str = ""
    grid: VoxelGrid | None = None
    facts: CaseFacts = field(default_factory=CaseFacts)
    remarks: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    part: Literal["training", "test"] = "training"
    pixels_sha256: str = ""
    hu_counts: tuple[int, ...] = ()
    preview: Preview | None = None
    no_preview: str = ""

    @property
    def usable(self) -> bool:
        """Whether nothing is wrong with it, as far as it was looked at."""
        return self.grid is not None and not self.faults


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCohort:
    """All that a check found. `cases` are usable whether or not other studies have faults.

    Attributes:
        cases: by ascending case id, file paths relative to the cohort's folder; none after a look at headers alone.
        faults: of all studies, and of the folder as a whole.
        ignored: files that are neither CT nor mask.
        studies: everything that is a study, in the order in which the studies lie.
        findings: what deserves a look across studies; each study has its own besides.
    """

    cases: tuple[Case, ...]
    faults: tuple[Fault, ...]
    ignored: tuple[str, ...]
    studies: tuple[CheckedStudy, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> tuple[CheckedStudy, ...]:
        """The studies without a fault."""
        return tuple(study for study in self.studies if study.usable)

    @property
    def accepted(self) -> tuple[CheckedStudy, ...]:
        """Those of them that make cases: not what a dataset keeps for a final test."""
        return tuple(study for study in self.usable if study.part == "training")

    @property
    def patients(self) -> int:
        """How many patients the accepted studies are of."""
        return len({study.patient_id for study in self.accepted})

    @property
    def refused(self) -> tuple[CheckedStudy, ...]:
        """The studies with faults."""
        return tuple(study for study in self.studies if study.faults)

    def refuse_faults(self) -> None:
        """Raises: Refusal with every fault, if there is any."""
        if self.faults:
            raise Refusal(self.faults)


FORMAT = 1


def write_quarantine(cohort: CheckedCohort, folder: Path, path: Path) -> str:
    """Write which studies have faults, which, and what mends them; returns the file's SHA-256.

    Args:
        folder: the cohort's folder; what is named lies below it, so that the file is the same wherever that is.
    """
    return write_json_durably(path, {"format": FORMAT, "studies": quarantined(cohort.refused, folder)})


def quarantined(studies: Sequence[CheckedStudy], folder: Path) -> list[dict[str, Any]]:
    """The refused studies as JSON values."""

    def inner(words: str) -> str:
        return re.sub(rf"(?<![\w./-]){re.escape(str(folder))}/", "", words)

    return [
        {
            "study": study.name,
            "faults": [
                {**fault.as_dict(), "file": inner(fault.file), "problem": inner(fault.problem)}
                for fault in study.faults
            ],
        }
        for study in studies
    ]
