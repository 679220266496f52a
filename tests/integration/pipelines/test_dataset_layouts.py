"""The stages `cohort` and `arrays` on datasets as others publish them, and on zipped studies."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from layout_maker import write_msd, write_nnunet, write_totalsegmentator_study
from study_maker import write_dicom_study
from tiny_project import ROOT, environment

from femseg.cohorts.manifest import read_manifest

DRIVER = Path(__file__).with_name("stage_driver.py")
SIDES = {"structures": {"left": ["femur_left"], "right": ["femur_right"]}}


def totalsegmentator(folder: Path) -> dict[str, object]:
    for seed in range(2):
        write_totalsegmentator_study(folder / f"s{seed:04d}", seed=seed)
    return {}


def nnunet(folder: Path) -> dict[str, object]:
    write_nnunet(folder, test_images=1)
    return SIDES


def msd(folder: Path) -> dict[str, object]:
    write_msd(folder)
    return SIDES


def dicom(folder: Path) -> dict[str, object]:
    """Zipped."""
    for seed in range(2):
        study = write_dicom_study(folder / f"study-{seed}", seed=seed)
        shutil.make_archive(str(study), "zip", study)
        shutil.rmtree(study)
    return {"femur": "all"}


LAYOUTS = {maker.__name__: maker for maker in (totalsegmentator, nnunet, msd, dicom)}


@pytest.fixture(
    scope="module", params=[("nnunet", "dicom"), pytest.param(("totalsegmentator", "msd"), marks=pytest.mark.slow)]
)
def projects(request, tmp_path_factory) -> dict[str, Path]:
    """A folder for each of two layouts, in which both stages have run; temporary files went to `tmp` beside them."""
    made = tmp_path_factory.mktemp("layouts")
    (made / "tmp").mkdir()
    for name in request.param:
        chosen = {"source": name, "folder": "source", "femur": "left"} | LAYOUTS[name](made / name / "source")
        params = {"cohort": chosen, "phantom": {}, "arrays": {"shape_zyx": [14, 24, 26]}}
        (made / name / "params.yaml").write_text(yaml.safe_dump(params))
    paths = f"{ROOT}:{ROOT / 'platform'}"
    done = subprocess.run(
        [sys.executable, str(DRIVER), *(str(made / name) for name in request.param)],
        env=environment(ROOT) | {"PYTHONPATH": paths, "TMPDIR": str(made / "tmp"), "RAY_TMPDIR": "/tmp"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: made / name for name in request.param}


def test_a_dataset_goes_through_cohort_and_arrays_and_leaves_nothing_unpacked(projects):
    for name, project in projects.items():
        manifest = read_manifest(project / "data/cohort/manifest.json")
        assert len(manifest.cases) == 2
        for case in manifest.cases:
            assert (case.ct.archive is not None) == (name == "dicom")
            stored = np.load(project / "data/arrays/mask" / f"{case.case_id}.npy")
            x = np.flatnonzero(stored.any(axis=(0, 1)))
            assert stored.shape == (14, 24, 26)
            assert (x.min(), x.max()) == ((5, 11) if name == "dicom" else (16, 21))
        assert not list((project.parent / "tmp").glob("femseg-zip-*"))
