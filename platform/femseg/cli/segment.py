"""`femseg segment`: one CT in, a mask on its own grid out."""

import json
import secrets
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from femseg.cli.outputs import (
    Dicom,
    Outputs,
    reference_of,
    require_places,
    require_replaceable,
    write_outputs,
    write_rejected,
)
from femseg.cohorts.case import Case
from femseg.comparison.wording import input_name
from femseg.errors import Refusal, printable
from femseg.faults import ExitCode
from femseg.files.durable import require_writable, sha256_of_file
from femseg.files.plain import is_folder
from femseg.formats.dicom.writing.reference import MadeBy
from femseg.formats.source import Mend
from femseg.formats.writing import require_mask_suffix, write_labels
from femseg.inference.femora import STRUCTURES, Femora, told_apart
from femseg.inference.segment import device_at_hand, segment
from femseg.inference.verdict import Verdict, measured, verdict
from femseg.intake.single_ct import inspect_study
from femseg.lineage.records import OutputRecord, record_beside, series_sha256, write_record
from femseg.networks.package import ModelPackage, load_package
from femseg.reports.case.segmented import Segmented
from femseg.services.registry.model_name import IN_USE, is_registered, named_model
from femseg.services.registry.shipped import InUse, is_model_shipped, is_registry_at_hand, shipped_for_use
from femseg.volumes.grid import CtVolume

_SEEN = {
    "phantom": "this model was trained on phantoms alone and has seen no patient: its masks are to try things out",
    "synthetic": "this model learnt from CTs painted over real bone shapes and has seen no patient: look at every mask",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the user chose for every CT of a command.

    Attributes:
        model: a registered model's address, or a package's folder.
        write_rejected: whether a mask is written that is not to be used.
    """

    model: str
    series: tuple[str, ...] = ()
    accept_hu: bool = False
    mends: tuple[Mend, ...] = ()
    write_rejected: bool = False

    def writes(self, judged: Verdict) -> bool:
        """Whether a mask of this verdict is written."""
        return self.write_rejected or judged.word != "reject"

    @classmethod
    def of(cls, model: str, **others: Any) -> Self:
        """With the model as the command line takes it. Raises: Refusal CFG-01 (exit 2) if it names none."""
        return cls(model=model if model == IN_USE else named_model(model), **others)


def warnings_of(used: InUse) -> tuple[str, ...]:
    """What must be said of a model before anything else."""
    source = used.package.model.cohort_source
    return (_SEEN[source],) if source in _SEEN else ()


def load_model(model: str) -> InUse:
    """A registered model, or that of a package's folder; says on standard error what must be said first."""
    used = _loaded(model)
    for warning in warnings_of(used):
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    return used


def _loaded(model: str) -> InUse:
    if not is_registered(model):
        package = load_package(Path(model))
        return InUse(package, package.remarks, model)
    if not is_registry_at_hand():
        if model == IN_USE and is_model_shipped():
            return shipped_for_use("there is no registry here")
        raise Refusal.of("RG-12", model, "there is no registry here", "leave --model out, or give a package's folder")
    from femseg.services.registry.doctor import load_for_use  # MLflow takes seconds to load; a folder does not need it
    from femseg.services.tracking.connect import connect

    return load_for_use(connect(to_read=True)[0], model)


def _require_free_place(output: Path, ct_path: Path, *, overwrite: bool) -> None:
    try:
        there = output.exists() or output.is_symlink()
        problem, fix = "exists already", "choose another name, or give --overwrite"
        if there and ct_path.exists() and output.exists() and output.samefile(ct_path):
            problem, fix, overwrite = "is the CT itself", "choose another name; a mask never replaces its CT", False
        elif output.is_dir():
            problem, fix, overwrite = "is a folder", "give a file name", False
    except OSError as error:
        there, problem, fix, overwrite = True, f"is no usable name: {error.strerror}", "choose another name", False
    if there and not overwrite:
        raise Refusal.of("IF-08", output, problem, fix)


def _require_free_places(output: Path, ct_path: Path, outputs: Outputs, *, overwrite: bool) -> None:
    require_places(outputs, overwrite=overwrite)
    require_mask_suffix(output)
    _require_free_place(output, ct_path, overwrite=overwrite)
    require_writable(output)
    record = record_beside(output)
    if not overwrite:
        require_replaceable(record)
    require_writable(record)


def is_for_many(ct: Path, output: Path) -> bool:
    """Whether the outputs of a command go into a folder: its name has no suffix of a file, and the CT is a folder."""
    return is_folder(ct) and (is_folder(output) or not output.suffix)


def segmentation_record(
    case: Case, files: dict[str, str], package: ModelPackage, choices: Choices, outputs: Outputs | None = None
) -> OutputRecord:
    """Which CT, model and choices made these files: hashes alone, no path and no id of the study."""
    options = {
        "model": choices.model if is_registered(choices.model) else "a package folder",
        "mends": ", ".join(case.ct.mends),
        "accept_hu": str(choices.accept_hu).lower(),
        "device": device_at_hand().type.removeprefix("cpu"),  # its masks may differ in single voxels
        **(outputs.options() if outputs else {}),
    }
    return OutputRecord(
        kind="segmentation",
        files=files,
        models={package.model.folder_name: package.sha256},
        cts={"ct": series_sha256(case.ct)},
        options={name: value for name, value in options.items() if value not in ("", "false")},
    )


def _told(femora: Femora) -> dict[str, Any]:
    """What the JSON says of each side that is there."""
    return {
        side: {
            "label": STRUCTURES[side].value,
            "volume_ml": femur.volume_ml,
            "pieces": len(femur.pieces_ml),
            "told_by": list(femur.told_by),
        }
        for side, femur in femora.by_side.items()
    }


def segmented(case: Case, ct: CtVolume, used: InUse, *, name: str) -> tuple[Femora, Verdict, dict[str, Any]]:
    """The femora of a checked CT, whether they may be used, and all that there is to say about them.

    Args:
        name: of the CT, for refusals.
    """
    device = device_at_hand()
    found = segment(used.package, ct, device=device, name=name)
    femora = told_apart(found.mask, ct, header=case.facts.side)
    signals = measured(used.package, ct, found, femora, metal_ml=case.facts.metal_ml, device=device, name=name)
    judged = verdict(signals, femora, used.package.model)
    facts = {
        "femur_ml": sum(femur.volume_ml for femur in femora.by_side.values()),
        "femora": _told(femora),
        "metal_ml": case.facts.metal_ml,
        "model": used.name,
        "validation_dice": used.package.model.finest.metrics.validation_dice,
        "model_sha256": used.package.sha256,
        "input_mode": used.package.model.folder_name,
        "verdict": judged.plain(),
        "remarks": [*warnings_of(used), *case.remarks, *used.remarks, *found.remarks],
    }
    return femora, judged, facts


def made_by(used: InUse, judged: Verdict) -> MadeBy:
    """What DICOM objects say of model and verdict."""
    return MadeBy(package_sha256=used.package.sha256, verdict=judged.word)


def described(
    package: ModelPackage, ct: CtVolume, femora: Femora, facts: dict[str, Any], record: OutputRecord, *, name: str
) -> Segmented:
    """What the outputs beside a mask are made of; `name` is the CT's, as it was given."""
    model, lineage = package.model, package.lineage
    return Segmented(name=name, ct=ct, femora=femora, facts=facts, model=model, lineage=lineage, record=record)


def segment_file(
    ct_path: Path, output: Path, choices: Choices, outputs: Outputs, *, overwrite: bool, as_json: bool
) -> ExitCode:
    """Check a CT, segment it and write the mask whole, its lineage beside it; then what else is wanted of it.

    Returns: how the command ends: by the verdict. Of a rejected mask nothing is written, unless that was asked for.
    Raises: Refusal IF-08 (exit 2) if an output exists, or whatever is wrong with CT or model; MS-01 (exit 3) if the
        mask, which is written then, gives no mesh.
    """
    _require_free_places(output, ct_path, outputs, overwrite=overwrite)  # before minutes of work, not after
    case, ct = inspect_study(
        ct_path, id_key=secrets.token_bytes(32), series=choices.series, accept_hu=choices.accept_hu, mends=choices.mends
    )
    root = ct_path if is_folder(ct_path) else ct_path.parent
    reference = reference_of(outputs, case, root, name=str(ct_path))
    used = load_model(choices.model)
    femora, judged, facts = segmented(case, ct, used, name=str(ct_path))
    files: dict[str, Any] = {"mask": None, "lineage": None}
    own = segmentation_record(case, {}, used.package, choices)
    made = described(used.package, ct, femora, facts, own, name=ct_path.name)
    if choices.writes(judged):

        def recorded(final: Path, file: Path) -> None:
            hashes = {"mask": sha256_of_file(file)}
            write_record(record_beside(final), segmentation_record(case, hashes, used.package, choices))

        # no mask without its record
        write_labels(output, femora.labels, femora.structures, before_named=partial(recorded, output))
        files = {"mask": str(output), "lineage": str(record_beside(output))}
        dicom = Dicom(ct=reference, made_by=made_by(used, judged), recorded=recorded)
        written = write_outputs(outputs, made, mask=output, name=output, overwrite=overwrite, dicom=dicom)
    else:
        written = write_rejected(outputs, made)
    if written.faults:
        raise Refusal(written.faults)
    if as_json:
        print(json.dumps({**files, **facts, **written.plain()}, indent=2))
        return judged.exit_code
    model = used.package.model
    learnt = f"learnt from {model.learnt_from}" if model.learnt_from else ""
    about = (learnt, str(model.finest.metrics), input_name(facts["input_mode"]), f"package {used.package.sha256[:12]}")
    told = f"{used.name} ({', '.join(filter(None, about))})"
    found = ", ".join(f"{STRUCTURES[side].name} {femur.volume_ml:.1f} ml" for side, femur in femora.by_side.items())
    print(f"{output}: {'' if files['mask'] else 'not written, '}{found or 'no femur'}, model {printable(told)}")
    for remark in facts["remarks"][len(warnings_of(used)) :]:  # which were said before anything else
        print(f"  {remark}")
    print(f"  {judged}")
    for kind, path in written.objects.items():
        print(f"{path}: {kind.replace('_', '-').upper()}, refers to the CT's series; names the patient as the CT does")
    if written.sheet:
        print(f"{written.sheet}: the measurement sheet")
    if written.page:
        shown = "pictures, mesh and measurements" if files["mask"] else "pictures"
        print(f"{written.page}: a page with {shown}, to be read in a browser")
    if written.meshes:
        from femseg.cli.mesh import lines_of

        print("\n".join(line for one in written.meshes for line in lines_of(one)))
    return judged.exit_code
