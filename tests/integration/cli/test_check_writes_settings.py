"""`femseg check --write params.yaml`, patients and split in the report, and series by number or description."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom.dataset import Dataset
from study_maker import ct_hu, ct_slices, femur_mask, write_dicom_study, write_nifti, write_series, write_volume_study
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.manifest import read_case_mask
from femseg.cohorts.settings import CohortSettings
from femseg.intake.check import check_cohort
from femseg.intake.single_ct import inspect_study

ROOT = Path(__file__).parents[3]


def check(*words: object, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, ["check", *map(str, words)])
    assert done.exit_code == exit_code, done.output
    return done.output


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def comments(path: Path) -> list[str]:
    return [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line]


def test_a_check_writes_the_source_the_folder_and_a_split_that_fits_and_keeps_comments_and_order(tmp_path, params):
    before, text = yaml.safe_load(params.read_text()), params.read_text()
    for seed in range(8):
        write_volume_study(tmp_path / "own" / f"case{seed}", seed=seed)
    said = check(tmp_path / "own", "--write", params)
    after = yaml.safe_load(params.read_text())
    assert after["cohort"] == before["cohort"] | {"source": "volumes", "folder": str(tmp_path / "own")}
    assert after["split"] == before["split"] | {"validation": 0.2, "test": 0.3}
    assert {key: after[key] for key in after if key not in ("cohort", "split")} == {
        key: before[key] for key in before if key not in ("cohort", "split")
    }
    assert list(after) == list(before)
    assert comments(params) == [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert f"{params}: cohort.source: volumes" in said
    assert "split: 4 patients to train, 2 to validation, 2 to test" in said, "as it is written"
    again = check(tmp_path / "own", "--params", params)
    assert "8 case(s) accepted, 0 fault(s); 8 patients" in again
    assert "split: 4 patients to train, 2 to validation, 2 to test" in again
    written = params.read_text()
    check(tmp_path / "own", "--write", params)
    assert params.read_text() == written, "what is there already is not written again"


def test_a_split_that_leaves_half_of_the_patients_to_train_on_stays(tmp_path, params):
    settings = yaml.safe_load(params.read_text())
    settings["split"] |= {"validation": 1, "test": 2}
    params.write_text(yaml.safe_dump(settings))
    for seed in range(6):
        write_volume_study(tmp_path / "own" / f"case{seed}", seed=seed)
    check(tmp_path / "own", "--write", params)
    assert yaml.safe_load(params.read_text())["split"] == settings["split"]


def test_three_patients_give_a_sentence(tmp_path, params):
    for seed in range(3):
        write_volume_study(tmp_path / "own" / f"case{seed}", seed=seed)
    said = check(tmp_path / "own", "--params", params)
    assert (
        "3 case(s) accepted, 0 fault(s); 3 patient(s), fewer than the 6 that a split into three parts asks for" in said
    )
    assert "split: 3 patients give" in said
    assert json.loads(CliRunner().invoke(app, ["check", str(tmp_path / "own"), "--json"]).stdout)["patients"] == 3


TWO = (14, 24, 60)


def two_femora() -> np.ndarray:
    """Index x grows to the patient's left: 1 on the left, 2 on the right, 80 mm apart."""
    values = np.zeros(TWO, np.uint8)
    values[2:12, 8:14, 40:47] = 1
    values[2:12, 8:14, 8:15] = 2
    return values


def write_two(folder: Path, values: np.ndarray, name: str = "study", seed: int = 0) -> None:
    write_nifti(folder / name / "ct.nii.gz", ct_hu(two_femora() > 0, seed=seed))
    write_nifti(folder / name / "mask.nii.gz", values)


@pytest.mark.parametrize(("femur", "values"), [("all", [1, 2]), ("left", [1]), ("right", [2])])
def test_1_and_2_are_the_left_and_the_right_femur_where_they_lie_so_IN_22(tmp_path, femur, values):
    write_two(tmp_path, two_femora())
    cohort = check_cohort(tmp_path, CohortSettings(source="volumes", femur=femur), id_key=b"key")
    assert not cohort.faults, "\n".join(map(str, cohort.faults))
    (case,) = cohort.cases
    assert "IN-22: 1 and 2 taken as left and right femur, for so they lie, 80 mm apart" in case.remarks
    np.testing.assert_array_equal(read_case_mask(case, tmp_path).femur_zyx, np.isin(two_femora(), values))
    assert case.facts.side == ("both" if femur == "all" else femur)


def test_1_on_the_right_of_2_asks_for_the_line_to_write_and_writes_it_IN_22(tmp_path, params):
    swapped = np.array([0, 2, 1], np.uint8)[two_femora()]
    write_two(tmp_path / "own", swapped)
    said = check(tmp_path / "own", "--write", params, exit_code=3)
    assert "error IN-22" in said
    assert "1 lies 80 mm to the right of 2" in said
    assert "`cohort.labels: {left: [2], right: [1]}`" in said
    assert yaml.safe_load(params.read_text())["cohort"]["labels"] == {"left": [2], "right": [1]}
    assert "1 case(s) accepted" in check(tmp_path / "own", "--params", params)


def test_1_and_2_one_above_the_other_are_not_guessed_IN_22(tmp_path):
    values = np.zeros(TWO, np.uint8)
    values[2:7, 8:14, 40:47], values[7:12, 8:14, 40:47] = 1, 2
    write_two(tmp_path, values)
    said = check(tmp_path, exit_code=3)
    assert "do not lie side by side" in said
    assert "by cohort.labels {femur: [1], other: [2]}" in said


def test_names_of_structures_are_written_as_they_are_proposed(tmp_path, params):
    from object_maker import place_mm, saved, structure_set

    ct = ct_slices()
    write_series(tmp_path / "own" / "study" / "ct", ct)
    square = np.array([(7.5, 4.5), (7.5, 11.5), (13.5, 11.5), (13.5, 4.5)])
    regions = {name: [(k, place_mm(k, square)) for k in range(2, 12)] for name in ("BODY", "Fémur droit")}
    made = structure_set(ct, regions)
    made.SpecificCharacterSet = "ISO_IR 100"
    saved(made, tmp_path / "own" / "study" / "rs.dcm")
    check(tmp_path / "own", "--write", params, exit_code=3)
    assert yaml.safe_load(params.read_text())["cohort"]["structures"] == {"right": ["Fémur droit"]}
    assert "1 case(s) accepted" in check(tmp_path / "own", "--params", params)


def two_series(folder: Path) -> Path:
    def third(slices: list[Dataset]) -> None:
        for slice_ in slices:
            slice_.SeriesNumber, slice_.SeriesDescription = 3, "Bone 1.0 B60"

    study = write_dicom_study(folder / "study", ct=third)
    other = ct_slices(ct_hu(seed=4))
    for slice_ in other:
        slice_.SeriesNumber, slice_.SeriesDescription = 4, "Soft 5.0 B30"
    write_series(study / "soft", other)
    return study


@pytest.mark.parametrize("chosen", ["3", "bone 1.0 b60"])
def test_a_series_is_chosen_by_its_number_or_its_description(tmp_path, chosen):
    study = two_series(tmp_path)
    refused = check(tmp_path, exit_code=3)
    assert "IN-05" in refused
    assert "--series 3, its number, description or UID" in refused
    assert "number 4, Soft 5.0 B30, 14 images" in refused
    assert "1 case(s) accepted" in check(tmp_path, "--series", chosen)
    shutil.rmtree(study / "mask")
    _, volume = inspect_study(study, id_key=b"key", series=(chosen,))
    np.testing.assert_array_equal(volume.hu_zyx, ct_hu())


def test_a_mask_of_255_is_asked_for_with_the_line_to_write_IN_22(tmp_path):
    write_volume_study(tmp_path / "study")
    write_nifti(tmp_path / "study" / "mask.nii.gz", femur_mask().astype(np.uint8) * 255)
    assert "`cohort.labels: {femur: [255]}`" in check(tmp_path, exit_code=3)
