"""What is wanted beside a mask: written, or said why not while the mask stays."""

from pathlib import Path

import numpy as np
from study_maker import write_dicom_study
from tiny_model import TINY_NETWORK, described

from femseg.cli.outputs import Dicom, Outputs, reference_of, write_outputs
from femseg.formats.dicom.writing.reference import MadeBy
from femseg.inference.femora import told_apart
from femseg.intake.single_ct import inspect_study
from femseg.lineage.provenance import Lineage
from femseg.lineage.records import OutputRecord
from femseg.networks.vnet import VNet
from femseg.reports.case.segmented import Segmented
from femseg.volumes.grid import CtVolume, MaskVolume, VoxelGrid

GRID = VoxelGrid(shape_zyx=(20, 20, 20), spacing_mm_zyx=(2.0, 2.0, 2.0))


def segmented(ct: CtVolume) -> Segmented:
    """A CT in which nothing was found."""
    return Segmented(
        name="study",
        ct=ct,
        femora=told_apart(MaskVolume(femur_zyx=np.zeros(ct.grid.shape_zyx, np.bool_), grid=ct.grid)),
        facts={},
        model=described(VNet(TINY_NETWORK, 1)),
        lineage=Lineage(),
        record=OutputRecord(kind="segmentation", files={}, models={}),
    )


def test_a_mask_without_a_femur_has_no_mesh_and_that_is_a_fault_of_the_mesh_alone_IN_22(tmp_path):
    made = segmented(CtVolume(hu_zyx=np.zeros(GRID.shape_zyx, np.float32), grid=GRID))
    outputs = Outputs(mesh=Path("femur.stl")).below(tmp_path)
    written = write_outputs(outputs, made, mask=tmp_path / "mask.nii.gz", name=Path("study"), overwrite=False)
    assert [(fault.id, fault.file) for fault in written.faults] == [("IN-22", "study")]
    assert not written.meshes
    assert not list(tmp_path.iterdir())


def test_a_mask_without_a_femur_has_no_dicom_object_and_that_is_a_fault_of_the_object_alone_IN_22(tmp_path):
    case, ct = inspect_study(write_dicom_study(tmp_path / "study") / "ct", id_key=bytes(32))
    outputs = Outputs(rtstruct=Path("rs.dcm"), dicom_seg=Path("seg.dcm")).below(tmp_path / "made")
    dicom = Dicom(
        ct=reference_of(outputs, case, tmp_path / "study" / "ct", name="study"), made_by=MadeBy(package_sha256="0" * 64)
    )
    mask = tmp_path / "made" / "mask.nii.gz"
    written = write_outputs(outputs, segmented(ct), mask=mask, name=Path("study"), overwrite=False, dicom=dicom)
    assert [(fault.id, fault.file) for fault in written.faults] == [
        ("IN-22", "study/seg.dcm"),
        ("IN-22", "study/rs.dcm"),
    ]
    assert not written.objects
    assert not list((tmp_path / "made").glob("*.dcm"))
