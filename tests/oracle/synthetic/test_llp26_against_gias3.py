"""Our reader of LLP26 against vertices that gias3-fieldwork, the format's own library, made of the same wheel."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from femseg.synthetic.anatomy import llp26 as module

REAL_DATA = Path(os.environ.get("FEMSEG_REAL_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
VERTICES = REAL_DATA / "llp26_vertices.npz"
pytestmark = pytest.mark.skipif(not VERTICES.is_file(), reason=f"no oracle: {VERTICES} is absent (FEMSEG_REAL_DATA)")

BONES = {
    "pelvis": ("right_hip_bone", "sacrum", "left_hip_bone"),
    "femur": ("femur",),
    "patella": ("patella",),
    "tibfib": ("tibia", "fibula"),
}


def test_all_vertices_of_all_people_are_those_of_the_formats_own_library(monkeypatch):
    parts = [part._replace(subdivisions=n) for part, n in zip(module._PARTS, (5, 11, 7, 7), strict=True)]
    monkeypatch.setattr(module, "_PARTS", parts)
    ours = module.llp26.__wrapped__()
    with np.load(VERTICES, allow_pickle=False) as theirs:
        for name, bones in BONES.items():
            vertices = np.concatenate([ours[bone].vertices_mm for bone in bones], axis=1)
            assert vertices.shape == theirs[f"{name}_subjects"].shape
            assert sum(len(ours[bone].faces) for bone in bones) == len(theirs[f"{name}_faces"])
            same = cKDTree(vertices.mean(axis=0)).query(theirs[f"{name}_mean"])[1]
            assert len(np.unique(same)) == len(same)
            np.testing.assert_allclose(vertices[:, same], theirs[f"{name}_subjects"], atol=2e-4)
