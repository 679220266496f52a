"""Stage `cohort`: every study checked before its pixels are used; leaves the manifest, and the phantoms themselves."""

import os
import shutil
from functools import partial
from pathlib import Path

from femseg.cohorts.check import check_one, gathered, studies_of
from femseg.cohorts.identity import cohort_key
from femseg.cohorts.manifest import Manifest, write_manifest
from femseg.cohorts.phantom import PhantomSettings, phantom_study, write_phantom_study
from femseg.cohorts.settings import CohortSettings
from femseg.door import door
from femseg.services.case_tasks import map_cases
from femseg.services.clusters import ray_session
from femseg.settings import read_section

COHORT = Path("data/cohort")
PHANTOM_KEY = b"phantoms are nobody"  # published on purpose: the same seed gives the same case ids everywhere


def make_phantom(index: int, *, settings: PhantomSettings, folder: Path) -> None:
    """Write one phantom study as DICOM; runs on a worker."""
    write_phantom_study(phantom_study(settings, index), folder / f"phantom-{index:03d}")


def main() -> None:
    """Read `cohort` and `phantom` of params.yaml; write data/cohort."""
    settings = read_section(CohortSettings, "cohort")
    COHORT.mkdir(parents=True, exist_ok=True)
    with ray_session():
        if settings.source == "phantom":
            phantom = read_section(PhantomSettings, "phantom")
            folder, id_key = (COHORT / "studies").absolute(), PHANTOM_KEY
            shutil.rmtree(folder, ignore_errors=True)
            names = [f"phantom-{index:03d}" for index in range(phantom.patients)]
            work = partial(make_phantom, settings=phantom, folder=folder)
            map_cases(work, range(phantom.patients), names=names, task="phantoms")
        else:
            folder, id_key = Path(settings.folder).absolute(), cohort_key()
        studies = studies_of(folder, settings)
        names = [str(study.location) for study in studies]
        check = partial(check_one, settings=settings, root=folder, id_key=id_key)
        cohort = gathered(map_cases(check, studies, names=names, task="check studies"))
    cohort.refuse_faults()
    write_manifest(Manifest(root=os.path.relpath(folder, COHORT), cases=cohort.cases), COHORT / "manifest.json")
    print(f"{len(cohort.cases)} cases checked")


if __name__ == "__main__":
    with door():
        main()
