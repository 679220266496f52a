"""Synthetic people through the real stages, up to a model that has seen them painted."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_project import TINY, copy_of_the_working_tree, run

from femseg.cohorts.manifest import cohort_root, read_case_mask, read_manifest
from femseg.cohorts.split import read_split
from femseg.cohorts.store import ArrayStore
from femseg.synthetic.cohort import index_of_study
from femseg.synthetic.scene import FEMUR_MM, NEUTRAL

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]
WINDOW = {"kind": "window", "low": -200.0, "high": 1200.0}
SCALINGS = {"raw_scaling": WINDOW, "gradient_scaling": WINDOW | {"low": 0.0}, "gradient_of": "resampled"}
PATCHES = {"shape_zyx": [16, 16, 16], "validation": 2}
TRAIN = TINY["train"] | {"learning_rate": 1.0e-3, "workers": 1}
PEOPLE = 5
SETTINGS = TINY | {
    "cohort": {"source": "synthetic"},
    "synthetic": {
        "people": PEOPLE,
        "spacing_mm_zyx": [5.0, 4.0, 4.0],
        "fields_of_view": {"hips": 1.0, "knees": 1.0, "pelvis": 0.0, "one_leg": 0.0, "both_legs": 0.0}
        | {"whole_legs": 0.0, "box": 0.0, "abdomen": 0.0, "calves": 0.0},
    },
    "arrays": {"shape_zyx": None, "spacing_mm_zyx": [6.0, 6.0, 6.0]} | SCALINGS,
    "split": {"validation": 1, "test": 1},
    "optimisation": {"augmentation": {"enabled": True}},
    "search": {"enabled": False},
    "patches": PATCHES,
    "train": TRAIN,
    "refine": {
        "input_modes": ["raw"],
        "trainings": ["raw"],
        "arrays": {"spacing_mm_zyx": [4.0, 4.0, 4.0]} | SCALINGS,
        "patches": PATCHES,
        "network": TINY["network"],
        "search": {"enabled": False},
        "train": TRAIN,
    },
}


def built(folder: Path, *stages: str) -> Path:
    """A project that has run up to some stages, from nothing."""
    folder.mkdir(parents=True)
    copy_of_the_working_tree(folder, SETTINGS)
    run(folder, "dvc", "repro", *stages)
    return folder


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return built(tmp_path_factory.mktemp("synthetic") / "project", "evaluate@raw", "evaluate_cascade@raw")


def test_a_second_build_from_the_same_seed_has_the_same_weights(synthetic, tmp_path):
    again = built(tmp_path / "elsewhere" / "project", "refine@raw")
    for made in ("data/arrays/tissue", "data/arrays/raw", "data/refine/tissue"):
        assert ArrayStore.open(again / made).sha256 == ArrayStore.open(synthetic / made).sha256
    for weights in ("models/raw/weights.safetensors", "cascades/raw/refine.safetensors"):
        assert (again / weights).read_bytes() == (synthetic / weights).read_bytes()


def test_every_person_is_a_case_with_its_scene_on_the_grid_of_its_mask(synthetic):
    manifest = read_manifest(synthetic / "data/cohort/manifest.json")
    root = cohort_root(manifest, synthetic / "data/cohort/manifest.json")
    assert sorted(index_of_study(case.ct.files[0].path) for case in manifest.cases) == list(range(PEOPLE))
    masks, fields, raw = (ArrayStore.open(synthetic / "data/arrays" / kind) for kind in ("mask", "tissue", "raw"))
    for case in manifest.cases:
        mask = masks.load(case.case_id)
        assert np.array_equal(fields.load(case.case_id)[FEMUR_MM] >= NEUTRAL, mask)
        assert fields.shares_grid(masks, case.case_id)
        assert raw.shares_grid(masks, case.case_id)
        whole = read_case_mask(case, root).femur_zyx
        assert mask.mean() == pytest.approx(whole.mean(), rel=0.1)


def test_the_training_and_its_lineage_name_what_was_painted(synthetic):
    lineage = json.loads((synthetic / "models/raw/lineage.json").read_text())
    assert lineage["sha256"]["fields"] == ArrayStore.open(synthetic / "data/arrays/tissue").sha256
    assert {"painting", "painting_code"} <= lineage["sha256"].keys()
    assert "data/arrays/tissue" in lineage["dvc_md5"]
    model = json.loads((synthetic / "models/raw/model.json").read_text())
    assert model["cohort_source"] == "synthetic"
    assert model["training_range"]["spacing_mm_zyx"][1][0] == 5.0  # the thickest slice that is painted


def test_the_finer_network_learns_from_people_painted_at_its_own_spacing(synthetic):
    lineage = json.loads((synthetic / "cascades/raw/lineage.json").read_text())
    fields = ArrayStore.open(synthetic / "data/refine/tissue")
    assert lineage["sha256"]["refine_fields"] == fields.sha256
    assert "data/refine/tissue" in lineage["dvc_md5"]
    spacings = [fields.entry(case).network_grid.spacing_mm_zyx for case in fields.case_ids]
    assert np.allclose(spacings, 4.0, atol=0.1)  # a grid fills its box


def test_the_test_cases_are_evaluated_as_any_others(synthetic):
    tested = read_split(synthetic / "data/split.json").test
    expected = sorted([case, grid] for case in tested for grid in ("native", "network"))
    for model in ("raw", "cascade-raw"):
        scores = (synthetic / f"results/evaluate/{model}/scores.csv").read_text().splitlines()[1:]
        assert sorted(line.split(",")[:2] for line in scores) == expected


def test_nothing_is_made_again_unless_its_painting_changed(synthetic):
    assert "Running stage" not in run(synthetic, "dvc", "repro", "evaluate@raw").stdout
