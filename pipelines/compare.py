"""Stage `compare`: the paper's table and figures for this cohort, and what a plain threshold would have scored."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from femseg.cohorts.manifest import Manifest, cohort_root, read_case_ct, read_case_mask, read_manifest
from femseg.cohorts.settings import cohort_title
from femseg.cohorts.split import Split, read_split
from femseg.cohorts.store import ArrayStore
from femseg.comparison.repeats import (
    CompareSettings,
    RepeatSettings,
    ScoredTraining,
    mean_over_seeds,
    read_compared_modes,
    read_trainings,
)
from femseg.comparison.subgroups import case_groups, patients_with_several
from femseg.comparison.verdict import threshold_baseline
from femseg.exits import command_exit
from femseg.files.durable import read_json, sha256_of_file
from femseg.lineage.provenance import Lineage
from femseg.lineage.records import FOLDER_RECORD, OutputRecord, hashes_of, write_record
from femseg.metrics.scorecard import CaseScore, read_scores, score
from femseg.networks.package_files import read_package_files
from femseg.paths import (
    ARRAYS,
    MANIFEST,
    MASKS,
    QUARANTINE,
    REPORTS,
    SEARCHED,
    SPLIT,
    TRAINED,
    cascade_name,
    evaluation_of,
    fold_split,
    model_of,
    repeat_of,
)
from femseg.progress import progress
from femseg.reports.card.facts import DATA_HEAD, data_rows
from femseg.reports.comparison.evidence import CasePicture, ComparisonEvidence, read_curve
from femseg.reports.comparison.report import write_comparison_report
from femseg.reports.comparison.search_evidence import read_search
from femseg.reports.comparison.slices import read_picture
from femseg.settings import read_section
from femseg.volumes.grid import MaskVolume
from femseg.volumes.network_input import InputRecipe, network_grid, sampled_mask


def threshold_scores(manifest: Manifest, case_ids: tuple[str, ...], recipe: InputRecipe, hu: float) -> list[CaseScore]:
    """What a plain threshold with largest component scores on the test cases, on both grids."""
    root = cohort_root(manifest, MANIFEST)
    scores = []
    cases = [case for case in manifest.cases if case.case_id in case_ids]
    with progress("threshold baseline", total=len(cases)) as advance:
        for done, case in enumerate(cases, start=1):
            reference = read_case_mask(case, root)
            predicted = MaskVolume(
                femur_zyx=threshold_baseline(read_case_ct(case, root).hu_zyx, threshold_hu=hu), grid=case.grid
            )
            pairs = {
                "network": (sampled_mask(reference, recipe), sampled_mask(predicted, recipe)),
                "native": (reference.femur_zyx, predicted.femur_zyx),
            }
            spacings = {"network": network_grid(case.grid, recipe).spacing_mm_zyx, "native": case.grid.spacing_mm_zyx}
            for grid in ("network", "native"):
                scores.append(score(*pairs[grid], spacings[grid], case_id=case.case_id, grid=grid))
            advance(done, f"mean Dice {sum(one.dice for one in scores[::2]) / done:.3f}")
    return scores


def trainings_of(mode: str, repeats: RepeatSettings) -> tuple[ScoredTraining, ...]:
    """The scores of every repeat of one input mode."""
    return tuple(
        ScoredTraining(fold=fold, seed=seed, scores=read_scores(repeat_of(mode, fold, seed) / "scores.csv"))
        for fold, seed in repeats.trainings
    )


def tested_cases(modes: Sequence[str], repeats: RepeatSettings, split: Split) -> dict[str, dict[str, Path]]:
    """Every test case, and by input mode the folder with its masks; of several seeds the first one's."""
    if not repeats.folds:
        return {case: {mode: evaluation_of(mode) for mode in modes} for case in split.test}
    return {
        case: {mode: repeat_of(mode, fold, repeats.seeds[0]) for mode in modes}
        for fold in repeats.folds
        for case in read_split(fold_split(fold)).test
    }


def cases_by_part(repeats: RepeatSettings, split: Split, tested: int) -> dict[str, int]:
    """How many cases there are in each part; in a cross-validation every case is in each part at some time."""
    if len(repeats.folds) > 1:
        return {"cross-validated test": tested}
    return {part: len(getattr(split, part)) for part in ("train", "validation", "test")}


def left_out() -> str:
    """What intake left out of the cohort: how many studies, and for which faults."""
    if not QUARANTINE.exists():
        return "nothing: a faulty study would have stopped the pipeline (cohort.quarantine is off)"
    studies = read_json(QUARANTINE)["studies"]
    faults = Counter(fault["id"] for study in studies for fault in study["faults"])
    named = ", ".join(f"{count} × {fault}" for fault, count in sorted(faults.items()))
    return f"{len(studies)} studies ({named}), listed in {QUARANTINE}" if studies else "nothing: no study had a fault"


def code_of(lineage: Lineage) -> str:
    """The commit that trained a package."""
    if not lineage.git.commit:
        return "no git repository"
    return lineage.git.commit + (" (tracked files differed from it)" if lineage.git.modified else "")


def provenance(manifest: Manifest, split: Split, modes: Sequence[str]) -> dict[str, str]:
    """Where the report's numbers come from, by hashes that `femseg lineage` follows.

    Run ids differ from run to run and would give the same inputs another report: the runs are found by package.
    """
    package = {mode: read_package_files(model_of(mode)) for mode in modes}
    training = {mode: package[mode].model.finest.training.train for mode in modes}
    stored = {path: md5 for one in package.values() for path, md5 in one.lineage.dvc_md5.items()}
    patients = len({case.patient_id for case in manifest.cases})
    return {
        "cohort": f"{len(manifest.cases)} cases of {patients} patients",
        "left out at intake": left_out(),
        "manifest SHA-256": sha256_of_file(MANIFEST),
        "split SHA-256": split.sha256,
        **{f"DVC MD5 of {path}": md5 for path, md5 in sorted(stored.items())},
        **{f"package {mode} SHA-256": package[mode].sha256 for mode in modes},
        **{f"git commit of package {mode}": code_of(package[mode].lineage) for mode in modes},
        **{
            f"training {mode}": f"learning rate {train['learning_rate']:.3g}, {train['max_iterations']} iterations, "
            f"seed {package[mode].lineage.seed}"
            for mode, train in training.items()
        },
        **{f"evaluation {mode} SHA-256": sha256_of_file(evaluation_of(mode) / FOLDER_RECORD) for mode in modes},
        "software": ", ".join(f"{name} {version}" for name, version in package[modes[0]].model.versions.items()),
    }


def repeats_said(repeats: RepeatSettings) -> dict[str, str]:
    """The trainings behind a report of several folds or seeds; the hashes of their evaluations fill its record."""
    if not repeats.trainings:
        return {}
    trainings = ", ".join(f"{fold}/{seed}" for fold, seed in repeats.trainings)
    return {"trainings of each input": f"fold/seed {trainings}; the hash of each one's evaluation is in lineage.json"}


def record(files: Iterable[str], split_sha256: str, modes: Sequence[str], repeats: RepeatSettings) -> OutputRecord:
    """Which models and which evaluations of them stand behind the report."""
    return OutputRecord(
        kind="report",
        files=hashes_of(REPORTS, files),
        models={mode: sha256_of_file(model_of(mode) / "MANIFEST.json") for mode in modes},
        sources={
            "manifest": sha256_of_file(MANIFEST),
            "split": split_sha256,
            **{f"evaluation of {mode}": sha256_of_file(evaluation_of(mode) / FOLDER_RECORD) for mode in modes},
            **{
                f"repeat of {mode}, fold {fold}, seed {seed}": sha256_of_file(
                    repeat_of(mode, fold, seed) / FOLDER_RECORD
                )
                for mode in modes
                for fold, seed in repeats.trainings
            },
        },
    )


def main() -> None:
    """Read every mode's scores and curves; write reports/."""
    settings, repeats = read_section(CompareSettings, "compare"), read_section(RepeatSettings, "repeats")
    modes = (*read_compared_modes(), *map(cascade_name, read_trainings()))
    manifest, split = read_manifest(MANIFEST), read_split(SPLIT)
    masks = ArrayStore.open(MASKS)
    tested = tested_cases(modes, repeats, split)
    trainings = {mode: trainings_of(mode, repeats) for mode in modes if repeats.trainings}
    evidence = ComparisonEvidence(
        cohort=cohort_title(read_package_files(model_of(modes[0])).model.cohort_source, settings.cohort_name),
        split_sizes=cases_by_part(repeats, split, len(tested)),
        scores={mode: mean_over_seeds(of_mode) for mode, of_mode in trainings.items()}
        or {mode: read_scores(evaluation_of(mode) / "scores.csv") for mode in modes},
        trainings=trainings,
        threshold=threshold_scores(manifest, tuple(tested), masks.recipe, settings.threshold_hu),
        threshold_hu=settings.threshold_hu,
        curves={
            mode: tuple(read_curve(repeat_of(mode, *training)) for training in repeats.trainings)
            or (read_curve(TRAINED / mode),)
            for mode in modes
        },
        composition=() if len(repeats.folds) > 1 else (DATA_HEAD, *data_rows(manifest.cases, split)),
        provenance=provenance(manifest, split, modes) | repeats_said(repeats),
        groups=case_groups(case for case in manifest.cases if case.case_id in tested),
        patients_with_several=patients_with_several(case for case in manifest.cases if case.case_id in tested),
        confidence=settings.confidence,
        resamples=settings.resamples,
        seed=settings.seed,
        dice_margin=settings.dice_margin,
    )

    def load(case_id: str) -> CasePicture:
        return read_picture(case_id, arrays=ARRAYS, evaluated=tested[case_id])

    files = write_comparison_report(evidence, REPORTS, load_picture=load, search=read_search(SEARCHED))
    write_record(REPORTS / FOLDER_RECORD, record(files, split.sha256, modes, repeats))
    for headline in read_json(files["comparison.json"])["headlines"]:
        print(f"{headline}: {REPORTS / 'comparison.html'}")


if __name__ == "__main__":
    with command_exit():
        main()
