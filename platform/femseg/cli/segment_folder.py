"""`femseg segment FOLDER -o OUT`: every study of a folder, in parallel on Ray; a bad study does not stop the others.

Each study has a folder of its own below OUT, which appears whole: `mask.nii.gz`, `result.json`,
`lineage.json`, and what else is wanted. Of a mask that is not to be used, `result.json` and `lineage.json` alone.
"""

import csv
import io
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from femseg.cli.outputs import (
    SMALL_PICTURE,
    Dicom,
    Outputs,
    Written,
    reference_of,
    require_names,
    write_outputs,
    write_rejected,
    write_small_picture,
)
from femseg.cli.segment import Choices, described, load_model, made_by, segmentation_record, segmented
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Fault, Refusal
from femseg.faults import ExitCode
from femseg.files.durable import (
    folder_written_durably,
    read_json,
    remove_interrupted_writes,
    require_writable,
    write_bytes_durably,
    write_json_durably,
)
from femseg.formats.volume_file import volume_stem
from femseg.formats.writing import write_labels
from femseg.inference.verdict import EXIT_CODES, verdict_line
from femseg.intake.check import name_below
from femseg.intake.cohort import earlier_twins, same_study
from femseg.intake.cost import check_memory_bytes
from femseg.intake.single_ct import inspect_listed
from femseg.layouts.adapter import StudyFiles
from femseg.layouts.detect import detected_source, studies_of
from femseg.lineage.records import FOLDER_MASK, FOLDER_RECORD, OutputRecord, hashes_of, read_record, write_record
from femseg.reports.case.index import IndexLine, index_page
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session
from femseg.services.registry.shipped import InUse

RESULT, TABLE, INDEX = "result.json", "segmentations.csv", "index.html"
_SHARE_OF_GPU = 0.25  # reading and checking a CT takes as long as its windows on a GPU
_NETWORK_BYTES = 3 << 29  # PyTorch, the networks and what they compute at a time
_COLUMNS = (
    *("study", "state", "verdict", "caution", "expected_dice", "femur_ml", "left_ml", "right_ml", "metal_ml"),
    *("same_as", "mask", "reasons", "faults"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A study, and the folder that its outputs go to."""

    study: StudyFiles
    name: str
    output: Path


def tasks_of(studies: list[StudyFiles], folder: Path, output: Path) -> list[Task]:
    """Each study with a folder of its own, called after its place below the folder."""
    taken: set[str] = set()
    tasks = []
    for study in studies:
        name = name_below(study, folder)
        plain = volume_stem(Path(name)) if study.archive is None and study.location.is_file() else name
        wanted = base = plain.removesuffix(".zip").replace("/", "_")
        number = 2
        while wanted.casefold() in taken:
            wanted, number = f"{base}_{number}", number + 1
        taken.add(wanted.casefold())
        tasks.append(Task(study=study, name=name, output=output / wanted))
    return tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a study: "segmented", "kept" from an earlier run, or "refused" with its faults.

    Attributes:
        facts: its `result.json`, and `same_as`, an earlier study of the folder that shows the same CT.
        keys: hashes of its UIDs and pixels, by which it is known under another name.
    """

    task: Task
    state: Literal["segmented", "kept", "refused"]
    facts: dict[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    keys: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        mask = self.task.output / FOLDER_MASK
        where = {} if self.state == "refused" else {"mask": str(mask) if mask.exists() else None}
        faults = [{key: getattr(fault, key) for key in ("id", "file", "problem", "fix")} for fault in self.faults]
        return {"study": self.task.name, "state": self.state, **where, **self.facts, "faults": faults}

    def row(self) -> list[str]:
        """As a row of the table."""
        sides = {f"{side}_ml": femur["volume_ml"] for side, femur in self.facts.get("femora", {}).items()}
        judged = self.facts.get("verdict", {"word": ""})
        plain = {**self.plain(), **sides, **judged, "verdict": judged["word"]}
        cells = [plain.get(column) for column in _COLUMNS[:-1]] + [[str(fault) for fault in self.faults]]
        return ["; ".join(cell) if isinstance(cell, list) else "" if cell is None else str(cell) for cell in cells]

    def line(self) -> str:
        """As a line on the terminal."""
        if self.state == "refused":
            return f"{self.task.name}: refused, {self.faults[0].id}"
        said = self.facts["verdict"]
        judged = verdict_line(said["word"], said["reasons"], said["expected_dice"], said["caution"])
        twin = f"\n  IN-23: {same_study(self.facts['same_as'])}" if "same_as" in self.facts else ""
        return f"{self.task.name}: {self.state}, femur {self.facts['femur_ml']:.1f} ml{twin}\n  {judged}"

    @property
    def verdict_code(self) -> ExitCode:
        """How a command ends that came to this study's verdict alone."""
        return EXIT_CODES[self.facts["verdict"]["word"]] if self.facts else ExitCode.DONE


def segment_task(
    task: Task,
    *,
    folder: Path,
    settings: CohortSettings,
    id_key: bytes,
    used: InUse,
    choices: Choices,
    outputs: Outputs,
    overwrite: bool,
) -> Outcome:
    """Segment one study, or keep what is there and whole; runs on a worker. What is wrong comes back as faults."""
    try:
        case, ct, pixels_sha256 = inspect_listed(task.study, settings, root=folder, id_key=id_key)
        keys = (case.case_id, pixels_sha256)
        record = segmentation_record(case, {}, used.package, choices, outputs)
        remove_interrupted_writes(task.output)
        if not overwrite and os.path.lexists(task.output):
            kept = _kept(task, record)
            if (task.output / FOLDER_MASK).exists() or not choices.write_rejected:
                return replace(kept, keys=keys)
        reference = reference_of(outputs.below(task.output), case, folder, name=task.name)
        femora, judged, facts = segmented(case, ct, used, name=task.name)
        made = described(used.package, ct, femora, facts, record, name=task.name)
        with folder_written_durably(task.output) as made_in:
            if choices.writes(judged):
                write_labels(made_in / FOLDER_MASK, femora.labels, femora.structures)
                written = write_outputs(
                    outputs.below(made_in),
                    made,
                    mask=made_in / FOLDER_MASK,
                    name=Path(task.name),
                    overwrite=overwrite,
                    dicom=Dicom(ct=reference, made_by=made_by(used, judged)),
                )
            else:
                written = write_rejected(outputs.below(made_in), made)
            facts |= _told(written)
            if outputs.page is not None:
                write_small_picture(made_in, made)
            write_json_durably(made_in / RESULT, facts)
            names = sorted(path.name for path in made_in.iterdir())
            write_record(made_in / FOLDER_RECORD, replace(record, files=hashes_of(made_in, names)))
    except Refusal as refusal:
        return Outcome(task=task, state="refused", faults=refusal.faults)
    return Outcome(task=task, state="segmented", facts=facts, faults=_faults_in(facts), keys=keys)


def _told(written: Written) -> dict[str, Any]:
    """What the study's JSON says of them; files by their names in its folder."""
    told = written.plain()
    if written.meshes:
        told["meshes"] = [{**record, "file": Path(record["file"]).name} for record in written.meshes]
    told |= {kind: path.name for kind, path in written.files.items()}
    return {**told, **({"not_written": [asdict(fault) for fault in written.faults]} if written.faults else {})}


def _faults_in(facts: dict[str, Any]) -> tuple[Fault, ...]:
    faults = facts.get("not_written", ())
    return tuple(Fault(fault["id"], fault["file"], fault["problem"], fault["fix"]) for fault in faults)


def _kept(task: Task, wanted: OutputRecord) -> Outcome:
    """An earlier run's outputs of the same CT, model and choices, if all files are as they were.

    Raises: Refusal IF-08 (exit 2) if something else is there.
    """
    fix = "choose another folder for the outputs, or give --overwrite"
    try:
        record = read_record(task.output / FOLDER_RECORD)
        whole = hashes_of(task.output, record.files) == record.files
        facts = read_json(task.output / RESULT)
    except (Refusal, OSError):
        whole = False
    if not whole:
        raise Refusal.of("IF-08", task.output, "exists, and is no whole output of femseg", fix)
    if replace(record, files={}) != wanted:
        raise Refusal.of("IF-08", task.output, "exists, of another CT, model or choice", fix)
    return Outcome(task=task, state="kept", facts=facts, faults=_faults_in(facts))


def _crashed(task: Task, fault: Fault) -> Outcome:
    return Outcome(task=task, state="refused", faults=(fault,))


def _with_twins(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same, and of each study whether an earlier one shows the same CT; it is segmented all the same."""
    twins = earlier_twins((outcome.task.name, outcome.keys) for outcome in outcomes)
    return [
        replace(outcome, facts={**outcome.facts, "same_as": twin}) if twin else outcome
        for outcome, twin in zip(outcomes, twins, strict=True)
    ]


def _write_index(index: Path, outcomes: Sequence[Outcome], folder: Path, page: Path) -> None:
    """A line for each study; links lead to the studies' folders beside the index."""
    lines = []
    for outcome in outcomes:
        place, picture = outcome.task.output, outcome.task.output / SMALL_PICTURE
        there = outcome.state != "refused"
        lines.append(
            IndexLine(
                name=outcome.task.name,
                link=f"{place.name}/{page.name}" if there else "",
                facts=outcome.facts,
                picture=picture.read_bytes() if there else b"",
                faults=outcome.faults,
            )
        )
    content = index_page(lines, folder=folder.absolute().name, table=TABLE)
    write_bytes_durably(index, content.encode())


def _require_outside(output: Path, folder: Path) -> None:
    """Masks among the studies would be studies of the next run."""
    if output.absolute().resolve().is_relative_to(folder.absolute().resolve()):
        raise Refusal.of("IF-08", output, "lies in the folder of the studies", "choose a folder beside it")


def segment_folder(
    folder: Path, output: Path, choices: Choices, outputs: Outputs, *, overwrite: bool, as_json: bool
) -> ExitCode:
    """Segment every study of a folder; leave each study's outputs and a table of all.

    Returns: how the command ends: by the gravest fault of the studies that could not be segmented, if any; else by the
        gravest verdict.
    Raises: Refusal if none can be.
    """
    require_names(outputs, output)
    _require_outside(output, folder)
    require_writable(output / TABLE)
    settings = CohortSettings(
        source=detected_source(folder),
        folder=str(folder),
        series=choices.series,
        accept_hu=choices.accept_hu,
        regularise="regularise" in choices.mends,
        untilt="untilt" in choices.mends,
    )
    studies = studies_of(folder.absolute(), settings)
    tasks = tasks_of(studies, folder.absolute(), output.absolute())
    used = load_model(choices.model)
    work = partial(
        segment_task,
        folder=folder.absolute(),
        settings=settings,
        id_key=secrets.token_bytes(32),
        used=used,
        choices=choices,
        outputs=outputs,
        overwrite=overwrite,
    )
    with ray_session():
        outcomes = map_cases(
            work,
            tasks,
            names=[task.name for task in tasks],
            task="segment",
            memory_bytes=max(map(check_memory_bytes, studies)) + _NETWORK_BYTES,
            gpus=_SHARE_OF_GPU,
            on_crash=_crashed,
            note=lambda outcome: f"{outcome.task.name} {outcome.state}",
        )
    outcomes = _with_twins(outcomes)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([_COLUMNS, *(outcome.row() for outcome in outcomes)])
    write_bytes_durably(output / TABLE, table.getvalue().encode())
    if outputs.page is not None:
        _write_index(output / INDEX, outcomes, folder, outputs.page)
    if as_json:
        print(json.dumps([outcome.plain() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            print(outcome.line())
        counts = Counter(outcome.state for outcome in outcomes)
        counts.update(outcome.facts["verdict"]["word"] for outcome in outcomes if outcome.facts)
        print(f"{output / TABLE}: {', '.join(f'{count} {word}' for word, count in sorted(counts.items()))}")
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    for fault in faults:
        print(fault, file=sys.stderr)
    return Refusal(faults).exit_code if faults else max(outcome.verdict_code for outcome in outcomes)
