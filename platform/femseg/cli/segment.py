"""`femseg segment`: one CT in, a mask on its own grid out."""

import json
import os
import secrets
import sys
from pathlib import Path

from femseg.cohorts.case import Case
from femseg.errors import Refusal, printable
from femseg.files.durable import require_writable, sha256_of_file
from femseg.formats.source import Mend
from femseg.formats.writing import require_mask_suffix, write_mask
from femseg.inference.segment import segment
from femseg.inference.verdict import verdict
from femseg.intake.single_ct import inspect_study
from femseg.lineage.records import OutputRecord, read_record, record_beside, series_sha256, write_record
from femseg.networks.package import ModelPackage, load_package
from femseg.services.registry.model_name import IN_USE, is_registered, named_model

_OF_PHANTOMS = "this model was trained on phantoms alone and has seen no patient: its masks are to try things out"


def load_model(model: str) -> tuple[ModelPackage, tuple[str, ...], str]:
    """A package folder or a registered model; what to remark about it, and which one it is."""
    if not is_registered(model):
        package = load_package(Path(model))
        return package, package.remarks, model
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


def _require_replaceable(record: Path) -> None:
    """A record without its mask is an earlier one's and may go; what is no record of ours stays (IF-08)."""
    if os.path.lexists(record):
        try:
            read_record(record)
        except Refusal:
            problem, fix = "exists and is no lineage record", "move it away, or choose another name for the mask"
            raise Refusal.of("IF-08", record, problem, fix) from None


def _lineage(case: Case, output: Path, package: ModelPackage, model: str, *, accept_hu: bool) -> OutputRecord:
    """Which CT, model and choices made this mask: hashes alone, no path and no id of the study."""
    options = {
        "model": model if is_registered(model) else "a package folder",
        "mends": ", ".join(case.ct.mends),
        "accept_hu": str(accept_hu).lower(),
    }
    return OutputRecord(
        kind="segmentation",
        files={"mask": sha256_of_file(output)},
        models={package.model.folder_name: package.sha256},
        cts={"ct": series_sha256(case.ct)},
        options={name: value for name, value in options.items() if value not in ("", "false")},
    )


def segment_file(
    ct_path: Path,
    output: Path,
    *,
    model: str,
    overwrite: bool,
    accept_hu: bool,
    series: tuple[str, ...],
    as_json: bool,
    mends: tuple[Mend, ...] = (),
) -> None:
    """Check a CT, segment it and write the mask whole, its lineage beside it.

    Raises: Refusal IF-08 (exit 2) if the output exists, or whatever is wrong with CT or model.
    """
    model = named_model(model) if model != IN_USE else model
    require_mask_suffix(output)  # before minutes of work, not after
    _require_free_place(output, ct_path, overwrite=overwrite)
    require_writable(output)
    record = record_beside(output)
    if not overwrite:
        _require_replaceable(record)
    require_writable(record)
    case, ct = inspect_study(ct_path, id_key=secrets.token_bytes(32), series=series, accept_hu=accept_hu, mends=mends)
    package, model_remarks, name = load_model(model)
    warnings = [_OF_PHANTOMS] if package.model.of_phantoms else []
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    mask = segment(package, ct, name=str(ct_path)).mask
    reasons = verdict(mask, package.model)
    write_mask(output, mask)
    write_record(record, _lineage(case, output, package, model, accept_hu=accept_hu))
    metrics = package.model.metrics
    result = {
        "mask": str(output),
        "lineage": str(record),
        "femur_ml": float(mask.femur_zyx.sum()) * mask.grid.voxel_volume_mm3 / 1000.0,
        "metal_ml": case.facts.metal_ml,
        "model": name,
        "validation_dice": metrics.validation_dice,
        "model_sha256": package.sha256,
        "input_mode": package.model.folder_name,
        "qc": "review" if reasons else "usable",
        "reasons": list(reasons),
        "remarks": [*warnings, *case.remarks, *model_remarks],
    }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    told = f"{name} ({metrics}, {result['input_mode']} input, package {package.sha256[:12]})"
    print(f"{output}: femur {result['femur_ml']:.1f} ml, model {printable(told)}")
    for remark in (*case.remarks, *model_remarks, *reasons):
        print(f"  {remark}")
    print("  qc: review this mask before use" if reasons else "  qc: usable")
