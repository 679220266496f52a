"""The specimens of `tests/support/specimens`, given to femseg, SimpleITK, dicom2nifti and nnU-Net's dataset check.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install --constraint constraints.txt '.[peers]'
    python -m benchmarks.intake.intake_peers --peers /tmp/peers/bin/python \\
        --output benchmarks/results/intake_peers.json --docs docs/explanation/intake-against-peers.md

Without --peers the peers are looked for in this Python; those that are absent are named and left out.

A result is "right" if every voxel that it should hold is there once, within 0.5 HU and 0.05 mm of an independent
reading (of the unharmed study where the specimen harmed one). Which axis order a tool likes does not matter. What any
tool refuses to read as of another kind is "unsupported"; what a peer reads rightly is not counted as malformed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
from specimens.catalogue import BY_KIND, CATALOGUE
from specimens.independent_reading import Voxels, interpolated, largest_difference, read_ct, read_mask
from specimens.specimen import Specimen

from benchmarks.intake.intake_peers_worker import VERIFIED
from femseg.cohorts.case import Case
from femseg.cohorts.manifest import read_case_ct, read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.files.durable import write_json_durably, written_durably
from femseg.intake.check import check_cohort
from femseg.intake.result import CheckedCohort
from femseg.layouts.detect import detected_source
from femseg.volumes.grid import VoxelGrid

TOOLS = ("femseg", "simpleitk", "dicom2nifti", "nnunet")
PACKAGES = {"simpleitk": "SimpleITK", "dicom2nifti": "dicom2nifti", "nnunet": "nnunetv2"}
NAMES = {"femseg": "femseg", "simpleitk": "SimpleITK", "dicom2nifti": "dicom2nifti", "nnunet": "nnU-Net verify"}
WITHIN_HU, WITHIN_MM, TIME_LIMIT_S = 0.5, 0.05, 120
# exceptions that are nobody's judgement of the input: something else went wrong on the way
ACCIDENTS = (
    "IndexError",
    "KeyError",
    "AttributeError",
    "TypeError",
    "UnboundLocalError",
    "ZeroDivisionError",
    "signal",
)
# what is said of a kind that is not read, as against an input that is wrong
UNSUPPORTED = re.compile(
    r"^error IN-12|one real number per voxel|one 3-D volume per file|-D image of \d|[Nn]ot supported|"
    r"determine (ImageIO|a) reader|NotImplementedError|TOO_FEW_SLICES/LOCALIZER"
)
GROUPS = {  # each with the outcomes that its table lists
    "malformed": ("refused", "unsupported", "mended", "warned", "right", "silently wrong", "crashed"),
    "refused by femseg, read rightly by a peer": (
        *("refused", "unsupported", "mended", "warned", "right", "silently wrong", "crashed"),
    ),
    "odd but valid": ("right", "refused", "unsupported", "warned", "silently wrong", "crashed"),
}
MALFORMED, DISPUTED, VALID = GROUPS
MENDED_WITHIN_HU = 5  # median over the voxels as measured, each where its own slice's header puts it
VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".hdr", ".npy")
NNUNET_ENDS = "If you didn't see any error messages then your dataset is most likely OK!"
LEGEND = """\
**refused**: no volume, and an exception or message that judges the input. **unsupported**: no volume, and a message
that this kind is not read. **mended**: by a setting of the user's and with a remark, the CT within 5 HU (median) of the
voxels as measured, the mask equal. **warned**: a wrong volume with a warning.
**right**: every voxel there once, within 0.5 HU and 0.05 mm of an independent reading, in any axis order; for a
malformed input, of the unharmed study. **silently wrong**: another volume, and no warning.
**crashed**: no volume, and an error by accident (IndexError, AttributeError, a signal, two minutes of processor time).
Each call has 8 GiB of memory.

**Refused by femseg, read rightly by a peer**: headers that contradict themselves, slices without a place, bytes behind
a file's end. A reader that does not look is right as long as the part that it trusts is.

To be fair: SimpleITK and dicom2nifti are readers and do not claim to judge what voxels mean. They get only inputs whose
CT is at fault, and torn masks; their user still gets a volume that is no CT of one patient in millimetres and HU,
without a warning. nnU-Net's check gets volume files alone, as it asks, with one file ending for image and label. It is
right if it passes a sound pair and reads it rightly, silently wrong if it passes a malformed one. The malformed inputs
are faults that femseg is written against: its own column is no surprise.
"""
Outcome = dict[str, Any]


def studies_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def file_called(study: Path, stem: str) -> str:
    found = [path for path in sorted(study.glob(f"{stem}.*")) if path.name.endswith(VOLUME_ENDINGS)]
    return str(found[0]) if found and found[0].is_file() else ""


def files_for(tool: str, specimen: Specimen, folder: Path) -> list[str] | None:
    """Volume files that a peer is given; none for a DICOM folder; None where the specimen is not its business."""
    if not (studies := studies_of(folder)):
        return None  # an archive, which none of them opens
    study = studies[0]
    dicom = not any(file_called(study, stem) for stem in ("ct", "a")) or (study / "ct").is_dir()
    torn = specimen.matrix_id in ("IN-16", "IN-26")
    if tool == "nnunet":
        pairs = [(file_called(one, "ct"), file_called(one, "mask")) for one in studies_of(folder)]
        endings = {"".join(Path(file).suffixes[-2:]) for pair in pairs for file in pair if file}
        readable = all(ct.endswith(VOLUME_ENDINGS[:4]) for ct, _ in pairs)
        return [file for pair in pairs for file in pair] if readable and len(endings) == 1 else None
    if specimen.faulty == "cohort" or len(studies_of(folder)) > 1 or (specimen.faulty == "mask" and not torn):
        return None  # readers of one volume; what a mask means is not theirs to say
    if dicom:  # a folder of the CT's slices alone, as these readers want it
        return [] if specimen.faulty != "mask" and (study / "ct").is_dir() else None
    if tool == "dicom2nifti":
        return None
    file = file_called(study, "mask" if specimen.faulty == "mask" else "ct")
    return [file] if file else None


def truth_of(specimen: Specimen, folder: Path) -> tuple[Voxels | None, Voxels | None]:
    """CT and mask as they ought to come out; None where there is no such thing."""
    if specimen.truth == "none":
        return None, None
    if specimen.truth == "stored":
        study = studies_of(folder)[0]
        return read_ct(study), read_mask(study)
    return unharmed()


@cache
def unharmed() -> tuple[Voxels, Voxels]:
    """CT and mask of the study that every specimen begins as."""
    with tempfile.TemporaryDirectory() as base:
        BY_KIND["dicom"].make(Path(base))
        return read_ct(Path(base) / "study"), read_mask(Path(base) / "study")


def is_right(truth: Voxels | None, values_zyx: Any, affine: Any) -> bool:
    if truth is None:
        return False
    apart_hu, apart_mm = largest_difference(truth, np.asarray(values_zyx, float), affine)
    return apart_hu <= WITHIN_HU and apart_mm <= WITHIN_MM


def by_femseg(specimen: Specimen, folder: Path) -> Outcome:
    """Checked as `femseg check` does; an accepted study is then read and compared."""
    settings = CohortSettings(source=detected_source(folder), **specimen.settings)
    try:
        cohort = check_cohort(folder, settings, id_key=b"-" * 32)
    except Refusal as refusal:
        cohort = CheckedCohort(cases=(), faults=refusal.faults, ignored=())
    except Exception as error:
        return {"outcome": "crashed", "message": f"{type(error).__name__}: {error}", "names_file": False}
    if cohort.faults:
        named = all(fault.file.startswith(str(folder)) for fault in cohort.faults)
        said = str(cohort.faults[0])
        outcome = "unsupported" if UNSUPPORTED.search(said) else "refused"
        return {"outcome": outcome, "message": short(said, folder), "names_file": named}
    if specimen.expected == "mended":
        remarks = "; ".join(remark for case in cohort.cases for remark in case.remarks)
        ok = all(is_mended(specimen, case, folder) for case in cohort.cases)
        return {"outcome": "mended" if ok else "warned", "message": remarks, "names_file": False}
    ok = specimen.expected != "refused"
    for case in cohort.cases:
        ct = read_case_ct(case, folder)
        ok = ok and is_right(truth_of_case(specimen, case, folder)[0], ct.hu_zyx, affine_of(ct.grid))
    return {"outcome": "right" if ok else "silently wrong", "message": "", "names_file": False}


def affine_of(grid: VoxelGrid) -> Any:
    """From index (x, y, z) to LPS millimetres, 4 × 4."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(grid.direction_xyz).reshape(3, 3) * grid.spacing_mm_zyx[::-1]
    affine[:3, 3] = grid.origin_mm_xyz
    return affine


def truth_of_case(specimen: Specimen, case: Case, folder: Path) -> tuple[Voxels, Voxels]:
    """CT and mask as an independent reading has them, of the unharmed study where the specimen says so."""
    study = folder / Path(case.ct.files[0].path).parts[0]
    return unharmed() if specimen.truth == "base" else (read_ct(study), read_mask(study))


def is_mended(specimen: Specimen, case: Case, folder: Path) -> bool:
    """Whether the voxels as measured, where their slices' own headers put them, lie on what was made of them."""
    hu_truth, drawn = truth_of_case(specimen, case, folder)
    ct, mask = read_case_ct(case, folder), read_case_mask(case, folder)
    off_hu = interpolated(ct.hu_zyx, affine_of(ct.grid), hu_truth.positions_mm) - hu_truth.values
    femur = interpolated(mask.femur_zyx, affine_of(mask.grid), drawn.positions_mm) > 0.5
    return bool(np.median(np.abs(off_hu)) <= MENDED_WITHIN_HU) and np.array_equal(femur, drawn.values)


def judged(tool: str, specimen: Specimen, folder: Path, out: Path) -> Outcome:
    """What one call of a peer came to."""
    ct, mask = truth_of(specimen, folder)
    said = "".join((out / name).read_text(errors="replace") for name in ("stderr.txt", "stdout.txt")).split(VERIFIED)[0]
    error = json.loads((out / "error.json").read_text()) if (out / "error.json").exists() else None
    volumes = [] if error else [np.load(path) for path in sorted(out.glob("volume-*.npz"))]
    message = f"{error['type']}: {error['message']}" if error else said.strip()
    if not volumes:
        raised = re.findall(r"^(?:\w+\.)*(\w+(?:Error|Exception|Warning)\w*)\b", said, re.MULTILINE)
        kind = error["type"] if error else (raised[-1] if raised else "")
        outcome = "unsupported" if UNSUPPORTED.search(message) else "refused"
        outcome = "crashed" if kind.startswith(ACCIDENTS) else outcome
    else:
        if tool == "nnunet":  # image and label, and no study twice
            right = specimen.faulty != "cohort" and all(
                is_right(truth, one["values"], one["affine"]) for truth, one in zip((ct, mask), volumes, strict=True)
            )
        else:
            truth = mask if specimen.faulty == "mask" else ct
            right = any(is_right(truth, one["values"], one["affine"]) for one in volumes)
        warned = re.search(r"warning|unable|error", said.replace(NNUNET_ENDS, ""), re.IGNORECASE) is not None
        outcome = "right" if right else "warned" if warned else "silently wrong"
    return {"outcome": outcome, "message": short(message, folder, out), "names_file": names_a_file(message, folder)}


def short(message: str, *folders: Path) -> str:
    """The end of what was said, on one line, without this machine's paths."""
    for folder in folders:
        message = message.replace(str(folder), "…")
    message = re.sub(r"0x[0-9a-f]+", "0x…", " ".join(message.split()))
    message = re.sub(r"(?<![…\w.])/(?:[\w.+-]+/)+", "", message)
    return message if len(message) < 300 else "… " + message[-300:]


def names_a_file(message: str, folder: Path) -> bool:
    files = {path.name for path in folder.rglob("*") if path.is_file()} | {"case000"}
    return any(name in message for name in files)


def run_peer(
    tool: str, python: str, specimens: Sequence[Specimen], folders: dict[str, Path], work: Path
) -> dict[str, Outcome]:
    """Every specimen that concerns a peer, through one worker."""
    jobs, outcomes = [], {}
    for specimen in specimens:
        folder = folders[specimen.kind]
        files = files_for(tool, specimen, folder)
        if files is None:
            continue
        study = studies_of(folder)[0]
        out = work / tool / specimen.kind
        out.mkdir(parents=True)
        ct = study / "ct" if (study / "ct").is_dir() else study
        jobs.append({"study": str(ct), "out": str(out), "files": files, "time_limit_s": TIME_LIMIT_S})
        outcomes[specimen.kind] = out
    (work / f"{tool}.json").write_text(json.dumps(jobs))
    worker = Path(__file__).with_name("intake_peers_worker.py")
    environment = {**os.environ, "nnUNet_raw": "", "nnUNet_results": "", "nnUNet_preprocessed": ""}
    environment.pop("PYTHONPATH", None)
    subprocess.run([python, worker, tool, work / f"{tool}.json"], check=True, env=environment)
    return {
        specimen.kind: judged(tool, specimen, folders[specimen.kind], outcomes[specimen.kind])
        for specimen in specimens
        if specimen.kind in outcomes
    }


def version_of(package: str, python: str) -> str | None:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def grouped(specimens: Sequence[Specimen], outcomes: dict[str, dict[str, Outcome]]) -> dict[str, str]:
    """The group of each kind: what a peer reads rightly is not malformed."""
    peers = [found for tool, found in outcomes.items() if tool != "femseg"]
    read = {kind for found in peers for kind, one in found.items() if one["outcome"] == "right"}
    return {
        one.kind: VALID if one.expected not in ("refused", "mended") else DISPUTED if one.kind in read else MALFORMED
        for one in specimens
    }


def counted(groups: dict[str, str], outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """How often each outcome came in each group."""
    counts: dict[str, Any] = {}
    for group in GROUPS:
        chosen = [one for kind, one in outcomes.items() if groups[kind] == group]
        spoken = [one for one in chosen if one["outcome"] in ("refused", "unsupported", "warned", "crashed")]
        counts[group] = {
            "given": len(chosen),
            **Counter(one["outcome"] for one in chosen),
            "messages": len(spoken),
            "messages that name a file": sum(one["names_file"] for one in spoken),
        }
    return counts


def page(result: dict[str, Any]) -> str:
    """docs/explanation/intake-against-peers.md: the totals."""
    tools = [tool for tool in TOOLS if tool in result["tools"]]
    versions = ", ".join(f"{NAMES[tool]} {result['tools'][tool]['version']}" for tool in tools)
    lines = [
        "# Intake against its peers",
        "",
        f"Made by `{result['command']}` on the specimens of `tests/support/specimens`: {versions}.",
        "Each tool gets the same files, as its own documentation asks for them. Every specimen with every outcome:",
        "[intake_peers.md](../../benchmarks/results/intake_peers.md).",
        "",
    ]
    for group, rows in GROUPS.items():
        right = ("right",) if group == VALID else ("refused", "unsupported", "mended")
        lines += [f"## {group[0].upper()}{group[1:]}", "", f"| | {' | '.join(NAMES[tool] for tool in tools)} |"]
        lines += ["|---" * (len(tools) + 1) + "|"]
        for row in ("given", *rows, *(("messages", "messages that name a file") if group == MALFORMED else ())):
            counts = [result["tools"][tool]["counts"][group].get(row, 0) for tool in tools]
            if any(counts):
                lines.append(f"| {row} | {' | '.join(map(str, counts))} |")
        missed = [
            f"`{kind}`"
            for kind, row in in_order(result)
            if row["group"] == group and row["outcomes"]["femseg"]["outcome"] not in right
        ]
        lines += ["", f"What femseg itself misses here: {', '.join(missed) or 'nothing'}.", ""]
    return "\n".join([*lines, *LEGEND.splitlines()]) + "\n"


def full_list(result: dict[str, Any]) -> str:
    """benchmarks/results/intake_peers.md: every specimen, in the order of the faults' ids."""
    tools = [tool for tool in TOOLS if tool in result["tools"]]
    lines = [
        "# Every specimen, and what each tool does with it",
        "",
        "Totals and what the words mean: [docs](../../docs/explanation/intake-against-peers.md).",
        "",
        f"| kind | case | group | what | {' | '.join(NAMES[tool] for tool in tools)} |",
        "|---" * (len(tools) + 4) + "|",
    ]
    for kind, row in in_order(result):
        cells = (row["outcomes"].get(tool, {}).get("outcome", "–") for tool in tools)
        about = row["about"].replace("|", "\\|")
        lines.append(f"| {kind} | {row['matrix_id']} | {row['group']} | {about} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def in_order(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(result["specimens"].items(), key=lambda item: (item[1]["matrix_id"], item[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="a Python that has the peers")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--docs", type=Path, help="write the page of the documentation")
    parser.add_argument("--only", nargs="*", help="these kinds alone")
    parser.add_argument("--renew", action="store_true", help="put those of --only among the others of --output")
    arguments = parser.parse_args()
    root_reads_all = os.geteuid() == 0
    specimens = [
        specimen
        for specimen in CATALOGUE
        if (not arguments.only or specimen.kind in arguments.only)
        and not (specimen.kind == "no-permission" and root_reads_all)
    ]
    versions = {"femseg": version_of("femseg", sys.executable)}
    versions |= {tool: version_of(package, arguments.peers) for tool, package in PACKAGES.items()}
    absent = [PACKAGES[tool] for tool, version in versions.items() if version is None]
    if absent:
        print(f"absent and left out: {', '.join(absent)}; pip install '.[peers]', see the top of this script")
    outcomes: dict[str, dict[str, Outcome]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folders = {}
        for specimen in specimens:
            folders[specimen.kind] = folder = Path(temporary) / "specimens" / specimen.kind
            folder.mkdir(parents=True)
            specimen.make(folder)
        for tool in [tool for tool in TOOLS if versions[tool]]:
            if tool == "femseg":
                outcomes[tool] = {one.kind: by_femseg(one, folders[one.kind]) for one in specimens}
            else:
                outcomes[tool] = run_peer(tool, arguments.peers, specimens, folders, Path(temporary) / "work")
    if arguments.renew:
        recorded = json.loads(arguments.output.read_text(encoding="utf-8"))["specimens"]
        for tool, found in outcomes.items():
            kept = {kind: row["outcomes"][tool] for kind, row in recorded.items() if tool in row["outcomes"]}
            outcomes[tool] = kept | found
        specimens = [specimen for specimen in CATALOGUE if specimen.kind in recorded]
    groups = grouped(specimens, outcomes)
    result = {
        "command": "python -m benchmarks.intake.intake_peers",
        "tolerance": {"hu": WITHIN_HU, "mm": WITHIN_MM},
        "tools": {
            tool: {"version": versions[tool], "counts": counted(groups, found)} for tool, found in outcomes.items()
        },
        "absent": absent,
        "specimens": {
            one.kind: {
                "matrix_id": one.matrix_id,
                "about": one.about,
                "expected": one.expected,
                "group": groups[one.kind],
                "outcomes": {tool: found[one.kind] for tool, found in outcomes.items() if one.kind in found},
            }
            for one in specimens
        },
    }
    for tool, found in result["tools"].items():
        print(NAMES[tool], json.dumps(found["counts"]))
    if arguments.output:
        write_json_durably(arguments.output, result)
        arguments.output.with_suffix(".md").write_text(full_list(result), encoding="utf-8")
    if arguments.docs:
        with written_durably(arguments.docs) as unfinished:
            unfinished.write_text(page(result), encoding="utf-8")


if __name__ == "__main__":
    main()
