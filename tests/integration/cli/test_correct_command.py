"""`femseg correct`: a person's mask becomes the case's next reference, whatever its format and the cohort's layout."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import yaml
from layout_maker import BOTH, LEFT, RIGHT, two_femora_hu, write_msd, write_nnunet, write_totalsegmentator_study
from specimens.drawn import segmentation, structure_set
from study_maker import (
    affine_ras,
    ct_hu,
    ct_slices,
    femur_mask,
    slices,
    write_dicom_study,
    write_nifti,
    write_series,
    write_volume_study,
)
from typer.testing import CliRunner

from femseg.cli.main import app
from femseg.cohorts.manifest import Manifest, write_manifest
from femseg.cohorts.settings import CohortSettings
from femseg.files.durable import sha256_of_file
from femseg.intake.check import check_cohort
from femseg.intake.single_ct import inspect_study
from femseg.lineage.records import OutputRecord, record_beside, series_sha256, write_record

KEY = b"-" * 32
WORDS = ("--who", "Ann Lee", "--why", "the head was cut off")
VOXEL_ML = 4.0 * 3.0 * 2.5 / 1000


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def correct(case, mask, *more, words=WORDS):
    return run("correct", case, mask, *words, *more)


def better() -> np.ndarray:
    """The femur without its lowest slice and with a voxel more at one edge: what a person makes of the block."""
    mask = femur_mask()
    mask[2], mask[5, 14, 5] = False, True
    return mask


def predicted(path: Path, ct: Path, mask: np.ndarray) -> Path:
    """A mask as `femseg segment` leaves it, drawn by hand: the file and the record beside it."""
    write_nifti(path, mask.astype(np.uint8))
    case, _ = inspect_study(ct, id_key=KEY)
    files, cts = {"mask": sha256_of_file(path)}, {"ct": series_sha256(case.ct)}
    record = OutputRecord(kind="segmentation", files=files, models={"raw": "5e" * 32}, cts=cts)
    write_record(record_beside(path), record)
    return path


def project(folder: Path, **cohort: object) -> Path:
    cohort = {"source": "volumes", "folder": "data/source", **cohort}
    (folder / "params.yaml").write_text(yaml.safe_dump({"cohort": cohort}))
    return folder / "data/source"


def tree(folder: Path) -> dict[str, str]:
    return {str(path): sha256_of_file(path) for path in folder.rglob("*") if path.is_file()}


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj).transpose(2, 1, 0)


@pytest.fixture
def studies(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = project(tmp_path)
    for seed, name in enumerate(("s0", "s1", "s2")):
        write_volume_study(folder / name, seed=seed)
    return folder


def test_a_corrected_mask_takes_the_place_of_the_reference_measured_and_recorded(studies, tmp_path):
    mask = write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8))
    drawn = femur_mask()
    drawn[8:] = False
    out = predicted(tmp_path / "out.nii.gz", studies / "s1/ct.nii.gz", drawn)
    earlier, others = sha256_of_file(studies / "s1/mask.nii.gz"), tree(studies / "s0") | tree(studies / "s2")
    done = correct(out, mask, "--json")
    assert done.exit_code == 0, done.output
    assert np.array_equal(voxels(studies / "s1/mask.nii.gz"), better())
    assert tree(studies / "s0") | tree(studies / "s2") == others
    said = json.loads(done.stdout)
    kept = Path(said["record"]) / "before/mask.nii.gz"
    assert sha256_of_file(kept) == earlier == said["before"][0]
    record = json.loads((Path(said["record"]) / "correction.json").read_text())["record"]
    assert (record["who"], record["why"]) == ("Ann Lee", "the head was cut off")
    assert "s1" not in json.dumps(record)
    for other, found in ((drawn, record["predictions"]["raw"]["deviation"]), (femur_mask(), record["from_before"])):
        dice = 2 * (better() & other).sum() / (better().sum() + other.sum())
        assert found["dice"] == pytest.approx(dice)
        assert found["volume_difference_ml"] == pytest.approx((int(other.sum()) - int(better().sum())) * VOXEL_ML)
    assert run("check", studies, "--params", "params.yaml").exit_code == 0


def test_a_reference_that_a_person_corrected_tells_who_and_why_by_its_lineage(studies, tmp_path):
    mask = write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8))
    assert correct("s1", mask).exit_code == 0
    told = run("lineage", studies / "s1/mask.nii.gz")
    assert told.exit_code == 0
    assert "by Ann Lee: the head was cut off" in told.stdout
    shutil.rmtree(studies / "s1/.corrections/s1/1/before")
    lost = run("lineage", studies / "s1/mask.nii.gz")
    assert lost.exit_code == 4
    assert "LN-01" in lost.stderr


def test_every_earlier_reference_is_kept(studies, tmp_path):
    masks = []
    for number in range(3):
        mask = better()
        mask[5, 14, 6 : 6 + number] = True
        masks.append(write_nifti(tmp_path / f"{number}.nii.gz", mask.astype(np.uint8)))
    first = voxels(studies / "s2/mask.nii.gz")
    assert [correct("s2", mask).exit_code for mask in masks] == [0, 0, 0]
    kept = [voxels(studies / f"s2/.corrections/s2/{n}/before/mask.nii.gz") for n in (1, 2, 3)]
    assert all(map(np.array_equal, kept, [first, voxels(masks[0]), voxels(masks[1])]))
    assert np.array_equal(voxels(studies / "s2/mask.nii.gz"), voxels(masks[2]))


def _volume(suffix):
    def write(folder, ct):
        image = sitk.ReadImage(str(write_nifti(folder / "as.nii.gz", better().astype(np.uint8))))
        sitk.WriteImage(image, str(folder / f"given{suffix}"))
        return folder / f"given{suffix}"

    return write


def _segmentation(folder, ct):
    return write_series(folder, [segmentation(ct, {"left femur": better()})], name="drawn.dcm")[0]


def _series(folder, ct):
    frame, patient = ct[0].FrameOfReferenceUID, ct[0].PatientID
    made = slices(better().astype(np.uint16), intercept=0.0, frame=frame, patient=patient, modality="OT")
    write_series(folder / "given", made)
    return folder / "given"


@pytest.mark.parametrize(
    "write",
    [_volume(".nii"), _volume(".nii.gz"), _volume(".nrrd"), _volume(".mha"), _segmentation, _series],
    ids=["nii", "nii.gz", "nrrd", "mha", "DICOM-SEG", "DICOM series"],
)
def test_the_format_of_a_correction_does_not_matter(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_dicom_study(project(tmp_path, source="dicom") / "s1")
    ct = [pydicom.dcmread(path) for path in sorted((study / "ct").iterdir())]
    done = correct("s1", write(tmp_path / "given", ct))
    assert done.exit_code == 0, done.output
    assert np.array_equal(voxels(study / "mask.nii.gz"), better())
    assert not (study / "mask").exists()
    assert len(list((study / ".corrections/s1/1/before/mask").iterdir())) == len(ct)
    assert run("check", study.parent, "--params", "params.yaml").exit_code == 0


def test_contours_of_one_femur_become_its_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = project(tmp_path, source="dicom") / "s1"
    ct = ct_slices()
    write_series(study / "ct", ct)
    outline = ((7.5, 4.5), (7.5, 11.5), (13.5, 11.5), (13.5, 4.5))
    given = write_series(tmp_path, [structure_set(ct, {"femur": outline})], name="rt.dcm")[0]
    done = correct("s1", given)
    assert done.exit_code == 0, done.output
    assert np.array_equal(voxels(study / "mask.nii.gz"), femur_mask())


def test_left_and_right_are_written_by_the_values_of_the_cohort_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = project(tmp_path, labels={"left": [7], "right": [9], "other": [3]})
    write_nifti(folder / "s1/ct.nii.gz", two_femora_hu())
    before = LEFT * np.uint8(7) + RIGHT * np.uint8(9)
    before[13, 3:6, 3:6] = 3
    write_nifti(folder / "s1/mask.nii.gz", before)
    after = BOTH.copy()
    after[2] = 0
    done = correct("s1", write_nifti(tmp_path / "fixed.nii.gz", after))
    assert done.exit_code == 0, done.output
    expected = np.where(before == 3, 3, (after == 1) * 7 + (after == 2) * 9)
    assert np.array_equal(voxels(folder / "s1/mask.nii.gz"), expected)


@pytest.mark.parametrize("layout", ["nnunet", "msd", "totalsegmentator"])
def test_a_dataset_keeps_its_layout(layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    structures = {"left": ["femur_left"], "right": ["femur_right"]}
    folder = project(tmp_path, source=layout, structures=structures)
    if layout == "totalsegmentator":
        for number in range(2):
            write_totalsegmentator_study(folder / f"s{number}", seed=number)
    else:
        {"nnunet": write_nnunet, "msd": write_msd}[layout](folder)
    after = BOTH.copy()
    after[2] = 0
    case, files = {
        "nnunet": ("leg_001", {"labelsTr/leg_001.nii.gz": after}),
        "msd": ("femur_001", {"labelsTr/femur_001.nii.gz": after}),
        "totalsegmentator": (
            "s1",
            {f"s1/segmentations/femur_{side}.nii.gz": after == n for n, side in ((1, "left"), (2, "right"))},
        ),
    }[layout]
    done = correct(case, write_nifti(tmp_path / "fixed.nii.gz", after))
    assert done.exit_code == 0, done.output
    for name, expected in files.items():
        assert np.array_equal(voxels(folder / name), expected)
    checked = run("check", folder, "--params", "params.yaml")
    assert checked.exit_code == 0, checked.output
    assert "2 case(s) accepted" in checked.stdout


def test_five_corrected_masks_are_the_start_of_a_cohort(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = project(tmp_path, source="dicom")
    folder.mkdir(parents=True)
    for seed in range(5):
        given = tmp_path / f"Doe_Jane_{seed}"
        if seed % 2:
            write_nifti(given / "Doe.nii.gz", ct_hu(seed=seed))
            ct = given / "Doe.nii.gz"
        else:
            write_series(given, ct_slices(ct_hu(seed=seed), patient=f"P{seed}"), name="Doe-{:03d}.dcm")
            ct = given
        out = predicted(tmp_path / f"out{seed}.nii.gz", ct, femur_mask())
        mask = write_nifti(tmp_path / f"fixed{seed}.nii.gz", better().astype(np.uint8))
        refused = correct(out, mask)
        assert refused.exit_code == 2
        assert "--ct" in refused.stderr
        done = correct(out, mask, "--ct", ct)
        assert done.exit_code == 0, done.output
    checked = run("check", folder, "--params", "params.yaml")
    assert checked.exit_code == 0, checked.output
    assert "5 case(s) accepted" in checked.stdout
    assert not [path for path in folder.rglob("*") if "doe" in path.name.lower()]
    again = correct(out, mask, "--ct", ct)
    assert again.exit_code == 3
    assert "CR-01" in again.stderr


def _shifted(mask):
    return np.roll(mask, 9, axis=2)


def _on_another_grid(path):
    return write_nifti(path, better().astype(np.uint8), affine_ras() @ np.diag([1.0, 1.1, 1.0, 1.0]))


REFUSED = {
    "another grid": ("IN-20", _on_another_grid),
    "empty": ("IN-22", lambda path: write_nifti(path, np.zeros_like(femur_mask(), np.uint8))),
    "off the bone": ("IN-21", lambda path: write_nifti(path, _shifted(better()).astype(np.uint8))),
    "an unknown value": ("IN-22", lambda path: write_nifti(path, better() * np.uint8(8))),
    "what the model drew (CR-01)": ("CR-01", lambda path: write_nifti(path, _predicted_mask().astype(np.uint8))),
    "the reference itself (CR-01)": ("CR-01", lambda path: write_nifti(path, femur_mask().astype(np.uint8))),
    "no file": ("CFG-01", lambda path: path),
}


def _predicted_mask() -> np.ndarray:
    mask = femur_mask()
    mask[11] = False
    return mask


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_correction_is_refused_and_nothing_changes(what, studies, tmp_path):
    fault, write = REFUSED[what]
    given = write(tmp_path / "given.nii.gz")
    out = predicted(tmp_path / "out.nii.gz", studies / "s1/ct.nii.gz", _predicted_mask())
    before = tree(studies)
    done = correct(out, given)
    assert done.exit_code != 0
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error {fault}: ")
    assert str(tmp_path / "given.nii.gz") in line
    assert "/tmp/femseg-" not in line
    assert tree(studies) == before


def test_a_mask_of_another_patient_is_refused_IN_06(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_dicom_study(project(tmp_path, source="dicom") / "s1")
    given = write_series(tmp_path, [segmentation(ct_slices(patient="P-2"), {"femur": better()})], name="seg.dcm")[0]
    done = correct("s1", given)
    assert done.exit_code == 3
    assert "IN-06" in done.stderr or "IN-20" in done.stderr
    assert (study / "mask").is_dir()


@pytest.mark.parametrize("named_by", ["case id", "evaluated mask"])
def test_a_case_of_the_cohort_is_measured_against_what_its_evaluation_left(named_by, studies, tmp_path):
    settings = CohortSettings(source="volumes", folder="data/source")
    cases = check_cohort(studies, settings, id_key=KEY).cases
    write_manifest(Manifest(root="../source", cases=cases), Path("data/cohort/manifest.json"))
    case = next(case for case in cases if case.ct.files[0].path.startswith("s1/"))
    masks, name = Path("results/evaluate/gradient"), f"ct_grid/{case.case_id}.nii.gz"
    write_nifti(masks / name, _predicted_mask().astype(np.uint8))
    files, cts = {name: sha256_of_file(masks / name)}, {case.case_id: series_sha256(case.ct)}
    record = OutputRecord(kind="evaluation", files=files, models={"gradient": "5e" * 32}, cts=cts)
    write_record(masks / "lineage.json", record)
    named = case.case_id if named_by == "case id" else masks / name
    done = correct(named, write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8)), "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["predictions"]["gradient"]["deviation"]
    assert found["dice"] == pytest.approx(
        2 * (better() & _predicted_mask()).sum() / (better().sum() + _predicted_mask().sum())
    )
    assert np.array_equal(voxels(studies / "s1/mask.nii.gz"), better())


def test_into_a_zipped_study_nothing_is_written(studies, tmp_path):
    shutil.make_archive(str(studies / "s1"), "zip", studies / "s1")
    shutil.rmtree(studies / "s1")
    before = tree(studies)
    done = correct("s1", write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8)))
    assert done.exit_code == 2
    assert "unpack it" in done.stderr
    assert tree(studies) == before


def test_a_mask_that_the_model_drew_on_another_ct_is_refused_on_an_equal_grid_IN_06(studies, tmp_path):
    other = predicted(tmp_path / "other.nii.gz", studies / "s0/ct.nii.gz", _predicted_mask())
    before = tree(studies)
    done = correct("s1", other)
    assert done.exit_code == 3
    assert "error IN-06" in done.stderr
    assert tree(studies) == before


def test_a_prediction_that_was_drawn_over_is_refused_LN_01(studies, tmp_path):
    out = predicted(tmp_path / "out.nii.gz", studies / "s1/ct.nii.gz", _predicted_mask())
    write_nifti(out, better().astype(np.uint8))
    done = correct(out, out)
    assert done.exit_code == 4
    assert "LN-01" in done.stderr


def test_another_ct_does_not_join_under_a_prediction_IN_06(studies, tmp_path):
    ct = write_nifti(tmp_path / "ct.nii.gz", ct_hu(seed=77))
    out = predicted(tmp_path / "out.nii.gz", ct, _predicted_mask())
    other = write_nifti(tmp_path / "other.nii.gz", ct_hu(seed=78))
    mask = write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8))
    before = tree(studies)
    done = correct(out, mask, "--ct", other)
    assert done.exit_code == 3
    assert "IN-06" in done.stderr
    assert tree(studies) == before


@pytest.mark.parametrize("words", [("--who", "", "--why", "x"), ("--who", "Ann", "--why", "a\nb"), ("--who", "Ann")])
def test_who_and_why_must_be_said(words, studies, tmp_path):
    mask = write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8))
    assert correct("s1", mask, words=words).exit_code == 2


def test_a_reason_that_names_the_patient_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = write_dicom_study(project(tmp_path, source="dicom") / "s1")
    mask = write_nifti(tmp_path / "fixed.nii.gz", better().astype(np.uint8))
    done = correct("s1", mask, words=("--who", "Ann", "--why", "Jane moved"))
    assert done.exit_code == 2
    assert "PatientName" in done.stderr
    assert "Jane" not in done.stderr
    assert not (study / ".corrections").exists()


def test_phantoms_take_no_corrections(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project(tmp_path, source="phantom")
    done = correct("case-0123456789ab", tmp_path / "any.nii.gz")
    assert done.exit_code == 2
    assert "cohort.source is phantom" in done.stderr
