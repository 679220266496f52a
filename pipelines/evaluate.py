"""Stage `evaluate`: one model on the test cases, on the network grid and on each CT's own grid."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from femseg.cohorts.case import Case
from femseg.cohorts.manifest import cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.split import read_split
from femseg.comparison.repeats import BEST
from femseg.exits import command_exit
from femseg.files.durable import sha256_of_file, write_bytes_durably, write_json_durably
from femseg.formats.writing import write_mask
from femseg.inference.segment import femur_probability, onto_ct_grid, segment
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, hashes_of, series_sha256, write_record
from femseg.metrics.scorecard import CaseScore, headline_means, score, summary, write_scores
from femseg.networks.network import FEMUR_FROM
from femseg.networks.package import ModelPackage, load_package
from femseg.paths import MANIFEST, MASKS, SPLIT, arrays_of, cascade_name, evaluation_of, model_of
from femseg.progress import progress
from femseg.training.stored_cases import StoredCases
from femseg.volumes.grid import MaskVolume
from femseg.volumes.network_input import sampled_mask


def evaluate_case(
    case: Case, package: ModelPackage, cases: StoredCases, root: Path, folder: Path
) -> tuple[CaseScore, CaseScore]:
    """Predict one case, keep both masks, score both.

    A cascade draws on the CT's grid; on the network grid its mask is sampled there, as the reference is.
    """
    case_id = case.case_id
    entry = cases.inputs.entry(case_id)
    if package.refine:
        on_ct_grid = segment(package, read_case_ct(case, root), name=case_id).mask.femur_zyx
        drawn = MaskVolume(femur_zyx=on_ct_grid, grid=entry.ct_grid)
        on_network_grid = sampled_mask(drawn, package.model.input_recipe)
    else:
        probability_zyx = femur_probability(
            package.network, cases.input_czyx(case_id), windows=package.model.windows, whole_scan=True
        )
        on_network_grid = probability_zyx >= FEMUR_FROM
        on_ct_grid = onto_ct_grid(probability_zyx, entry.network_grid, entry.ct_grid)
    npy = io.BytesIO()
    np.save(npy, on_network_grid, allow_pickle=False)
    write_bytes_durably(folder / "network_grid" / f"{case_id}.npy", npy.getvalue())
    write_mask(folder / "ct_grid" / f"{case_id}.nii.gz", MaskVolume(femur_zyx=on_ct_grid, grid=entry.ct_grid))
    reference = read_case_mask(case, root)
    network_spacing, ct_spacing = entry.network_grid.spacing_mm_zyx, entry.ct_grid.spacing_mm_zyx
    return (
        score(cases.target_zyx(case_id), on_network_grid, network_spacing, case_id=case_id, grid="network"),
        score(reference.femur_zyx, on_ct_grid, ct_spacing, case_id=case_id, grid="native"),
    )


def record(package: ModelPackage, tested: Sequence[Case], split_sha256: str, folder: Path) -> OutputRecord:
    """What was evaluated on what: the lineage of every file that this stage leaves."""
    grids = {"network_grid": "npy", "ct_grid": "nii.gz"}
    masks = [f"{grid}/{case.case_id}.{suffix}" for grid, suffix in grids.items() for case in tested]
    return OutputRecord(
        kind="evaluation",
        files=hashes_of(folder, ["scores.csv", "summary.json", "metrics.json", *masks]),
        models={package.model.folder_name: package.sha256},
        cts={case.case_id: series_sha256(case.ct) for case in tested},
        sources={"manifest": sha256_of_file(MANIFEST), "split": split_sha256},
    )


def evaluate(package: ModelPackage, split_file: Path, folder: Path) -> None:
    """Score a model on the test cases of a split; leave scores, masks and their record in a folder."""
    name = package.model.folder_name
    for remark in package.remarks:
        print(f"evaluate {name}: {remark}")
    split = read_split(split_file)
    test = split.test
    cases = StoredCases.open(arrays_of(package.model.input_mode), MASKS, test)
    manifest = read_manifest(MANIFEST)
    by_id = {case.case_id: case for case in manifest.cases}
    scores: list[CaseScore] = []
    with progress(f"evaluate {name}", total=len(test)) as advance:
        for done, case_id in enumerate(test, start=1):
            scores += evaluate_case(by_id[case_id], package, cases, cohort_root(manifest, MANIFEST), folder)
            advance(done, f"mean Dice {np.mean([one.dice for one in scores[::2]]):.3f}")
    write_scores(folder / "scores.csv", scores)
    statistics = summary(scores)
    write_json_durably(folder / "summary.json", statistics)
    write_json_durably(folder / "metrics.json", headline_means(statistics))
    tested = [by_id[case_id] for case_id in test]
    write_record(folder / FOLDER_RECORD, record(package, tested, split.sha256, folder))


def main() -> None:
    """Read models/<name> and the test cases; write results/evaluate/<name>."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.evaluate", description=__doc__)
    modes = ["raw", "gradient", "both"]
    cascades = [cascade_name(training) for training in (*modes, BEST)]
    parser.add_argument("--input-mode", required=True, choices=[*modes, *cascades])
    name: str = parser.parse_args().input_mode
    evaluate(load_package(model_of(name)), SPLIT, evaluation_of(name))


if __name__ == "__main__":
    with command_exit():
        main()
