"""`femseg measure` on files: a pair of femora side by side, what is refused, and what the outputs hold."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from benchmarks.pipeline.measurements import shape_of, upright
from femseg.cli.main import app
from femseg.measurements.definitions import DEFINITIONS

SPACING_MM = 2.0


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A left femur, value 1, and its mirror image on the patient's right, value 2, as `femseg segment` labels them."""
    shape = shape_of(upright(11, 1), SPACING_MM)
    one = shape.mask.femur_zyx.astype(np.uint8)
    image = sitk.GetImageFromArray(np.concatenate([2 * one[..., ::-1], one], axis=2))
    image.SetSpacing((SPACING_MM,) * 3)
    path = tmp_path_factory.mktemp("pair") / "femora.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def run(*words: object):
    return CliRunner().invoke(app, ["measure", *map(str, words)])


def test_left_and_right_stand_side_by_side_with_their_difference(pair, tmp_path):
    table, drawn = tmp_path / "sheet.csv", tmp_path / "sheet.svg"
    result = run(pair, "--json", "--csv", table, "--picture", drawn)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [femur["side"] for femur in said["femora"]] == ["left", "right"]
    assert abs(said["left_less_right"]["neck_shaft_angle"]) < 1.0
    version = next(value for value in said["femora"][0]["values"] if value["key"] == "version")
    assert dict(version["lines"]).keys() == {"neck axis", "posterior condylar line"}
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 2 * len(DEFINITIONS)
    assert {row["refused"] for row in rows if row["key"] == "canal_isthmus"} == {"needs the CT"}
    assert drawn.read_bytes().startswith(b"<?xml")
    assert run(pair, "--csv", table).exit_code == 2


def test_a_study_folder_that_segment_wrote_is_measured_by_its_mask(pair, tmp_path):
    """Though other masks and no CT lie beside it."""
    (tmp_path / "study").mkdir()
    for name in ("mask.nii.gz", "left_mask.nii.gz"):
        shutil.copy(pair, tmp_path / "study" / name)
    (tmp_path / "study" / "lineage.json").write_text("{}")
    told = [json.loads(run(place, "--json").stdout)["femora"] for place in (pair, tmp_path / "study")]
    assert told[0] == told[1]


def test_the_only_value_of_a_mask_that_nothing_explains_is_femur(pair, tmp_path):
    image = sitk.ReadImage(str(pair))
    values = sitk.GetArrayFromImage(image)
    for value in (1, 255):
        alone = sitk.GetImageFromArray(np.where(values == 1, value, 0).astype(np.uint8))
        alone.CopyInformation(image)
        sitk.WriteImage(alone, str(tmp_path / f"{value}.nrrd"))
    told = [json.loads(run(tmp_path / f"{value}.nrrd", "--json").stdout)["femora"] for value in (1, 255)]
    assert told[0] == told[1]


def test_a_mask_of_no_femur_is_refused(tmp_path):
    ball = sum(axis**2 for axis in np.ogrid[-40:41, -40:41, -40:41]) < 30**2
    image = sitk.GetImageFromArray(ball.astype(np.uint8))
    sitk.WriteImage(image, str(tmp_path / "ball.nrrd"))
    result = run(tmp_path / "ball.nrrd")
    assert result.exit_code == 3
    assert "ME-01" in result.stderr


@pytest.mark.parametrize("voxels", [1, 3])
def test_a_mask_of_few_voxels_shows_nothing_to_measure_ME_01(tmp_path, voxels):
    """Too few for a surface."""
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[10, 10, 8 : 8 + voxels] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "speck.nrrd"))
    result = run(tmp_path / "speck.nrrd")
    assert result.exit_code == 3
    assert result.stderr.startswith("error ME-01")


def test_a_ct_of_another_place_is_refused(pair, tmp_path):
    hu = np.full((60, 60, 60), 40, np.int16)
    hu[:, :, ::2], hu[::3] = -900, 300
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((2.0, 2.0, 2.0))
    image.SetOrigin((2000.0, 0.0, 0.0))
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    result = run(pair, "--ct", tmp_path / "ct.nii.gz", "--accept-hu")
    assert result.exit_code == 3
    assert "IN-20" in result.stderr
