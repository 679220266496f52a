"""What is wanted beside a mask: written, or said why not while the mask stays."""

from pathlib import Path

import numpy as np

from femseg.cli.outputs import Outputs, write_outputs
from femseg.inference.femora import told_apart
from femseg.volumes.grid import MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(20, 20, 20), spacing_mm_zyx=(2.0, 2.0, 2.0))


def test_a_mask_without_a_femur_has_no_mesh_and_that_is_a_fault_of_the_mesh_alone_IN_22(tmp_path):
    femora = told_apart(MaskVolume(femur_zyx=np.zeros(GRID.shape_zyx, np.bool_), grid=GRID))
    outputs = Outputs(mesh=Path("femur.stl")).below(tmp_path)
    written = write_outputs(outputs, femora, mask=tmp_path / "mask.nii.gz", name=Path("study"), overwrite=False)
    assert [(fault.id, fault.file) for fault in written.faults] == [("IN-22", "study")]
    assert not written.meshes
    assert not list(tmp_path.iterdir())
