"""`femseg measure` on files: a pair of femora side by side, what is refused, and what the outputs hold."""

import csv
import json
import os
import shutil
import struct
import zipfile
from html import unescape

import numpy as np
import pytest
import SimpleITK as sitk
import trimesh
from security.html_requests import requests_of
from typer.testing import CliRunner

from benchmarks.pipeline.measurements import shape_of, upright
from femseg.cli.main import app
from femseg.measurements.definitions import DEFINITIONS
from femseg.meshes.files import write_mesh
from femseg.meshes.mesh import TriangleMesh
from femseg.meshes.printing import cut
from femseg.meshes.reading import read_corners_mm

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


@pytest.fixture(scope="module")
def left(pair):
    """What the mask of the pair says of its left femur."""
    return next(femur for femur in sheet_of(pair) if femur["side"] == "left")


@pytest.fixture(scope="module")
def meshes(pair, left):
    """The left femur as `femseg mesh` writes it, as other files, and sawn through the head; the right one beside it."""
    folder, labels = pair.parent, ("--label", "left=1", "--label", "right=2")
    done = CliRunner().invoke(app, ["mesh", str(pair), "-o", str(folder / "f.stl"), *labels])
    assert done.exit_code == 0, done.output
    corners_mm = read_corners_mm(folder / "f-left.stl", ".stl", "LPS")
    vertices, triangles = np.unique(corners_mm.reshape(-1, 3), axis=0, return_inverse=True)
    solid = TriangleMesh(vertices_mm_xyz=vertices, triangles=triangles.reshape(-1, 3))
    for name, frame in (("f.3mf", "LPS"), ("f.glb", "LPS"), ("f.ply", "RAS")):
        write_mesh(folder / name, solid, frame)
    write_mesh(folder / "sawn.stl", cut(solid, tuple(head_of(left)), (0.0, 0.0, 1.0), name="sawn")[1])
    return folder


def run(*words: object):
    return CliRunner().invoke(app, ["measure", *map(str, words)])


def head_of(femur):
    """The head's centre, LPS."""
    lines = next(value["lines"] for value in femur["values"] if value["key"] == "head_diameter")
    return dict(lines)["head centre"][0]


def sheet_of(*words: object):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["femora"]


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


def test_values_that_nothing_explains_are_listed_and_refused_IN_22(pair, tmp_path):
    """As of a program that labels all bones: its 1 and 2 are no femora."""
    image = sitk.ReadImage(str(pair))
    values = sitk.GetArrayFromImage(image)
    values[:5, :5, :5] = 76
    other = sitk.GetImageFromArray(values)
    other.CopyInformation(image)
    sitk.WriteImage(other, str(tmp_path / "all.nrrd"))
    result = run(tmp_path / "all.nrrd")
    assert result.exit_code == 3
    assert "IN-22" in result.stderr
    assert "holds the values 1, 2, 76" in result.stderr
    assert len(sheet_of(tmp_path / "all.nrrd", "--label", "left=1", "--label", "right=2")) == 2


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


@pytest.mark.parametrize("name", ["f-left.stl", "f.3mf", "f.glb", "f.ply"])
def test_a_mesh_is_measured_as_its_mask_is(left, meshes, name):
    (of_mesh,) = sheet_of(meshes / name)
    assert (of_mesh["side"], of_mesh["ends"]) == ("left", left["ends"])
    assert of_mesh["volume_ml"] == pytest.approx(left["volume_ml"], rel=0.01)
    for mine, other in zip(of_mesh["values"], left["values"], strict=True):
        assert (mine["value"] is None) == (other["value"] is None), mine["key"]
        if mine["value"] is not None:
            assert mine["value"] == pytest.approx(other["value"], abs=other["off_by"]), mine["key"]
    assert np.allclose(head_of(of_mesh), head_of(left), atol=0.5)


def test_two_femora_of_a_foreign_mesh_have_the_sides_that_their_shapes_tell(meshes, tmp_path):
    """Nothing says whether its coordinates are LPS or RAS, so that places would tell the sides the wrong way round."""
    both = trimesh.util.concatenate([trimesh.load(meshes / f"f-{side}.stl") for side in ("right", "left")])
    both.apply_transform(np.diag((-1.0, -1.0, 1.0, 1.0)))
    both.export(tmp_path / "both.stl")
    femora = sheet_of(tmp_path / "both.stl")
    assert [femur["side"] for femur in femora] == ["left", "right"]
    of_left, of_right = (head_of(femur)[0] for femur in femora)
    assert of_left < of_right  # in what was taken for LPS


@pytest.mark.parametrize("labels", [("left=75",), ("left=1", "right=2"), ("femur=3",)])
def test_a_mesh_has_one_value_alone(meshes, labels):
    result = run(meshes / "f-left.stl", *(word for label in labels for word in ("--label", label)))
    assert result.exit_code == 2
    assert result.stderr.startswith("error CFG-01: --label: ")


def test_nothing_is_measured_on_what_was_sawn_off(meshes):
    """The plane goes through the head, of which no whole ball is left."""
    (femur,) = sheet_of(meshes / "sawn.stl")
    assert any("ends flat" in remark for remark in femur["remarks"])
    values = {value["key"]: value for value in femur["values"]}
    for key in ("head_diameter", "mechanical_length", "neck_shaft_angle"):
        assert values[key]["value"] is None, key
    assert values["epicondylar_width"]["value"] is not None


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path, mesh: path.write_bytes(path.read_bytes()[:5000]), "IN-14"),
        (lambda path, mesh: path.write_bytes(b"x" * 80 + struct.pack("<I", 0)), "IN-14"),
        (lambda path, mesh: mesh.apply_scale(1e-3).export(path), "IN-19"),
        (lambda path, mesh: mesh.submesh([range(len(mesh.faces) // 2)], append=True).export(path), "MS-01"),
        (lambda path, mesh: path.unlink(), "IN-26"),
    ],
    ids=["torn", "no triangles", "in metres", "open", "not there"],
)
def test_what_is_no_solid_in_millimetres_is_refused(meshes, tmp_path, spoil, fault):
    path = tmp_path / "f.stl"
    shutil.copy(meshes / "f-left.stl", path)
    spoil(path, trimesh.load(path))
    result = run(path)
    assert result.exit_code == 3, result.output
    assert result.stderr.startswith(f"error {fault}: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_pipe_in_a_meshs_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.stl")
    result = run(tmp_path / "x.stl")
    assert result.exit_code == 3
    assert "is a pipe" in result.stderr


def test_inches_of_3mf_are_inches(meshes, left, tmp_path):
    """Its lengths in inches, and said so."""
    mesh = trimesh.load(meshes / "f-left.stl")
    mesh.apply_scale(1.0 / 25.4)
    mesh.export(tmp_path / "mm.3mf")
    with zipfile.ZipFile(tmp_path / "mm.3mf") as made, zipfile.ZipFile(tmp_path / "inch.3mf", "w") as inch:
        for name in made.namelist():
            inch.writestr(name, made.read(name).replace(b'unit="millimeter"', b'unit="inch"'))
    (femur,) = sheet_of(tmp_path / "inch.3mf")
    assert femur["volume_ml"] == pytest.approx(left["volume_ml"], rel=0.01)


def test_no_output_takes_the_place_of_another_or_of_what_is_measured_IF_08(meshes, tmp_path):
    mesh = shutil.copy(meshes / "f-left.stl", tmp_path / "f.stl")
    for words in (("--page", mesh), ("--csv", tmp_path / "a", "--page", tmp_path / "a")):
        result = run(mesh, *words, "--overwrite")
        assert result.exit_code == 2
        assert "IF-08" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.stl"]


def test_pictures_and_pages_have_their_suffixes(pair, tmp_path):
    for words in (("--page", tmp_path / "a.pdf"), ("--picture", tmp_path / "a.jpg")):
        result = run(pair, *words)
        assert result.exit_code == 2
        assert "is written as ." in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_frame_that_the_file_contradicts_is_refused(meshes):
    result = run(meshes / "f-left.stl", "--ras")
    assert result.exit_code == 2
    assert "says that it is in LPS" in result.stderr


def test_the_page_shows_every_value_with_its_definition_and_picture_and_asks_nobody(pair, tmp_path):
    page = tmp_path / "sheet.html"
    assert run(pair, "--page", page).exit_code == 0
    text = unescape(page.read_text())
    assert all(meant.title in text and meant.words in text for meant in DEFINITIONS.values())
    assert text.count("<img ") == 2
    assert "left − right" in text
    assert "<script" not in text
    assert requests_of(text) == []
    assert run(pair, "--page", page).exit_code == 2
