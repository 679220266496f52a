"""Stage `split`: patients into train, validation and test."""

from pathlib import Path

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.split import SplitSettings, split_by_patient, write_split
from femseg.door import door
from femseg.settings import read_section

MANIFEST = Path("data/cohort/manifest.json")
SPLIT = Path("data/split.json")


def main() -> None:
    """Read `split` of params.yaml and the manifest, write data/split.json."""
    split = split_by_patient(read_manifest(MANIFEST).cases, read_section(SplitSettings, "split"))
    write_split(split, SPLIT)
    print(f"{len(split.train)} cases to train, {len(split.validation)} to validation, {len(split.test)} to test")


if __name__ == "__main__":
    with door():
        main()
