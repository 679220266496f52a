"""Stage `split`: patients into train, validation and test; with several folds, also every fold for the repeats."""

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.split import SplitSettings, folds, split_by_patient, write_split
from femseg.exits import command_exit
from femseg.paths import MANIFEST, SPLIT, fold_split
from femseg.settings import read_section


def main() -> None:
    """Read `split` of params.yaml and the manifest, write data/split.json and every fold."""
    cases, settings = read_manifest(MANIFEST).cases, read_section(SplitSettings, "split")
    split = split_by_patient(cases, settings)
    write_split(split, SPLIT)
    for fold, of_fold in enumerate(folds(cases, settings) if settings.folds > 1 else (split,)):
        write_split(of_fold, fold_split(fold))
    print(f"{len(split.train)} cases to train, {len(split.validation)} to validation, {len(split.test)} to test")


if __name__ == "__main__":
    with command_exit():
        main()
