"""The Python page's examples run, one after the other, and are short."""

import re

import numpy as np
import pytest
import trimesh
from documentation import ROOT
from tiny_model import write_tiny_package

PAGE = ROOT / "docs/reference/python-api.md"
EXAMPLES = re.findall(
    r"^## (.+?)\n.*?^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What is defined after the last cell."""
    folder = tmp_path_factory.mktemp("notebook")
    write_tiny_package(folder / "models/gradient")
    defined: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for heading, example in EXAMPLES:
            exec(compile(example, heading, "exec"), defined)
    return folder, defined


def test_the_page_reads_checks_segments_scores_and_makes_a_mesh():
    assert [heading for heading, _ in EXAMPLES][1:] == ["Read a CT", "Check a cohort", "Segment", "Score", "Mesh"]


@pytest.mark.parametrize(("heading", "example"), EXAMPLES, ids=[heading for heading, _ in EXAMPLES])
def test_an_example_has_about_ten_lines(heading, example):
    assert len([line for line in example.splitlines() if line]) <= 11


def test_a_ct_is_read_and_its_cohort_accepted(notebook):
    _, defined = notebook
    assert defined["ct"].hu_zyx.shape == defined["ct"].grid.shape_zyx == defined["image"].GetSize()[::-1]
    assert defined["cohort"].faults == ()
    assert len(defined["cohort"].cases) == 2


def test_a_mask_is_written_and_every_case_scored(notebook):
    folder, defined = notebook
    assert (folder / "femur.nii.gz").is_file()
    assert [one.case_id for one in defined["scores"]] == [case.case_id for case in defined["cohort"].cases]
    assert all(0.0 <= one.dice <= 1.0 for one in defined["scores"])


def test_a_mesh_is_written_where_the_mask_lies(notebook):
    folder, defined = notebook
    mesh, mask = trimesh.load_mesh(folder / "femur.stl"), defined["reference"]
    assert mesh.is_watertight
    inside = mask.grid.positions_mm_xyz(np.argwhere(mask.femur_zyx))
    np.testing.assert_allclose(mesh.bounds, [inside.min(axis=0), inside.max(axis=0)], atol=4.0)
