"""Stage `cohort`: every study checked before its pixels are used; leaves the manifest, and the phantoms themselves."""

import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from femseg.cohorts.case import cohort_key
from femseg.cohorts.manifest import Manifest, recorded_root, write_manifest
from femseg.cohorts.settings import CohortSettings, CohortSource, LabelMap, refuse_unpaintable
from femseg.cohorts.split import SplitSettings, part_sizes
from femseg.errors import Refusal
from femseg.exits import command_exit
from femseg.intake.check import check_one, crashed_study
from femseg.intake.cohort import gathered
from femseg.intake.cost import check_memory_bytes
from femseg.intake.leakage import read_split_file
from femseg.intake.report import all_findings, ignored_text
from femseg.intake.result import CheckedCohort, write_quarantine
from femseg.layouts.detect import studies_of
from femseg.paths import COHORT, MANIFEST, OUR_STUDIES, PARAMS, QUARANTINE
from femseg.phantom import PhantomSettings, phantom_bytes, phantom_study, write_phantom_study
from femseg.services.cluster.map_cases import map_cases
from femseg.services.cluster.session import ray_session
from femseg.settings import has_section, read_section
from femseg.synthetic.anatomy import scene
from femseg.synthetic.anatomy.llp26 import wheel_folder
from femseg.synthetic.cohort import LEFT, RIGHT, SCENE_BYTES, study_name, write_study
from femseg.synthetic.painting_settings import PaintingSettings
from femseg.synthetic.settings import SyntheticSettings, read_share

PHANTOM_KEY = b"phantoms are nobody"  # published on purpose: the same seed gives the same case ids everywhere


def make_phantom(index: int, *, settings: PhantomSettings, folder: Path) -> None:
    """Write one phantom study as DICOM; runs on a worker."""
    write_phantom_study(phantom_study(settings, index), folder / f"phantom-{index:03d}")


def phantoms(folder: Path) -> None:
    """Make the phantom cohort of `phantom` in params.yaml; an earlier one is removed."""
    settings = read_section(PhantomSettings, "phantom")
    shutil.rmtree(folder, ignore_errors=True)
    names = [f"phantom-{index:03d}" for index in range(settings.patients)]
    work = partial(make_phantom, settings=settings, folder=folder)
    memory = phantom_bytes(settings)
    map_cases(work, range(settings.patients), names=names, task="phantoms", memory_bytes=memory)


def make_person(index: int, *, settings: SyntheticSettings, painting: PaintingSettings, folder: Path) -> None:
    """Write one synthetic person's study; runs on a worker."""
    made = scene(settings, index, settings.spacing_mm_zyx)
    write_study(made, painting, settings.seed, folder / study_name(index))


def people(folder: Path) -> None:
    """Make the synthetic cohort of `synthetic` and `painting` in params.yaml; an earlier one is removed."""
    settings, painting = read_section(SyntheticSettings, "synthetic"), read_section(PaintingSettings, "painting")
    shutil.rmtree(folder, ignore_errors=True)
    work = partial(make_person, settings=settings, painting=painting, folder=folder)
    indices = range(settings.people)
    map_cases(work, indices, names=list(map(study_name, indices)), task="people", memory_bytes=SCENE_BYTES)


def refuse_painting(source: CohortSource) -> None:
    """Before hours of work: can training paint what it is asked to? Raises: Refusal CFG-02 (exit 2)."""
    share = read_share()
    if source == "synthetic" and share:
        problem = f"synthetic.share is {share}, but every sample of cohort.source: synthetic is painted"
        raise Refusal.of("CFG-02", PARAMS, problem, "write `share: 0.0` under `synthetic`, or name another cohort")
    if source == "synthetic" or share:
        refuse_unpaintable("find")
        refuse_unpaintable("refine")
        wheel_folder()


def main() -> None:
    """Read `cohort`, `phantom`, `synthetic` and `painting` of params.yaml; write data/cohort."""
    settings = read_section(CohortSettings, "cohort")
    COHORT.mkdir(parents=True, exist_ok=True)
    make = {"phantom": phantoms, "synthetic": people}.get(settings.source)
    folder = OUR_STUDIES if make else Path(settings.folder)
    id_key = PHANTOM_KEY if make else cohort_key()
    refuse_painting(settings.source)
    if settings.source == "synthetic":
        settings = replace(settings, labels=LabelMap(left=(LEFT,), right=(RIGHT,)), accept_hu=True)
    with ray_session():
        if make:
            make(folder.absolute())
        studies = studies_of(folder.absolute(), settings)
        check = partial(check_one, settings=settings, root=folder.absolute(), id_key=id_key)
        names = [str(study.location) for study in studies]
        memory = max(map(check_memory_bytes, studies))
        checked = map_cases(
            check, studies, names=names, task="check studies", memory_bytes=memory, on_crash=crashed_study
        )
    folds = read_split_file(Path(settings.split)) if settings.split else ()
    cohort = gathered(checked, folder, settings, folds)
    if cohort.ignored:
        print(ignored_text(cohort))
    for finding in all_findings(cohort):
        print(finding)
    if not (settings.quarantine and cohort.cases):
        cohort.refuse_faults()
    if not settings.split and has_section("split"):  # the stage `split` would say it after minutes of arrays
        part_sizes(cohort.patients, read_section(SplitSettings, "split"))
    leave(cohort, folder, settings)
    print(f"{len(cohort.cases)} cases of {cohort.patients} patients checked")


def leave(cohort: CheckedCohort, folder: Path, settings: CohortSettings) -> None:
    """Write the manifest, and what was left out if that is allowed; without it, an earlier list is out of date."""
    if settings.quarantine:
        write_quarantine(cohort, folder.absolute(), QUARANTINE)
        for fault in cohort.faults:
            print(fault, file=sys.stderr)
        if cohort.refused:
            print(f"IN-27: {len(cohort.refused)} studies left out, listed in {QUARANTINE}")
    else:
        QUARANTINE.unlink(missing_ok=True)
    write_manifest(Manifest(root=recorded_root(folder, MANIFEST), cases=cohort.cases), MANIFEST)


if __name__ == "__main__":
    with command_exit():
        main()
