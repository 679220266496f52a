"""A whole femur as fine as a CT: what a planner is promised."""

import pytest

from benchmarks.pipeline.meshes import phantom_femur
from femseg.meshes.femur import MeshSettings, femur_mesh
from femseg.meshes.solid import flaws


@pytest.mark.slow
def test_a_whole_femur_at_08_mm_lies_within_a_quarter_millimetre_and_keeps_its_volume():
    made = femur_mesh(phantom_femur(0.8), MeshSettings())
    assert flaws(made.mesh) == ()
    assert made.deviation.vertices_near >= 0.99
    assert abs(made.deviation.volume_drift) <= 0.005
    assert made.decimation_mm <= 0.15
    assert len(made.mesh.triangles) < 100_000
