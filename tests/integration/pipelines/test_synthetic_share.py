"""A cohort of its own with a share of synthetic people, through the real stages."""

import json

import pytest
from tiny_project import copy_of_the_working_tree, run

from femseg.cohorts.manifest import read_manifest
from femseg.cohorts.split import read_split
from femseg.cohorts.store import ArrayStore
from femseg.synthetic.cohort import study_name
from femseg.synthetic.scene import FEMUR_MM, NEUTRAL

from .test_synthetic_cohort import SETTINGS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]
PEOPLE = [study_name(index) for index in range(3)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share") / "project"
    folder.mkdir()
    synthetic = SETTINGS["synthetic"] | {"people": len(PEOPLE), "share": 0.5}
    settings = SETTINGS | {"cohort": {"source": "phantom"}, "synthetic": synthetic}
    copy_of_the_working_tree(folder, settings)
    run(folder, "dvc", "repro", "evaluate@raw")
    return folder


def test_the_masks_hold_the_people_and_the_inputs_do_not(project):
    cases = {case.case_id for case in read_manifest(project / "data/cohort/manifest.json").cases}
    stores = {kind: ArrayStore.open(project / "data/arrays" / kind) for kind in ("raw", "mask", "places", "tissue")}
    assert set(stores["raw"].case_ids) == cases
    assert list(stores["tissue"].case_ids) == PEOPLE
    for kind in ("mask", "places"):
        assert set(stores[kind].case_ids) == cases | set(PEOPLE)
    for name in PEOPLE:
        assert ((stores["tissue"].load(name)[FEMUR_MM] >= NEUTRAL) == stores["mask"].load(name)).all()


def test_nobody_of_them_is_validated_or_tested_with(project):
    split = read_split(project / "data/split.json")
    assert not set(PEOPLE) & {*split.train, *split.validation, *split.test}
    assert "person" not in (project / "results/evaluate/raw/scores.csv").read_text()


def test_package_and_lineage_name_the_share_and_what_was_painted(project):
    model = json.loads((project / "models/raw/model.json").read_text())
    assert (model["cohort_source"], model["training"]["painted_share"]) == ("phantom", 0.5)
    lineage = json.loads((project / "models/raw/lineage.json").read_text())
    assert lineage["sha256"]["fields"] == ArrayStore.open(project / "data/arrays/tissue").sha256
    assert {"painting", "painting_code"} <= lineage["sha256"].keys()
    assert "data/arrays/tissue" in lineage["dvc_md5"]
