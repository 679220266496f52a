"""Files to damage: one small, right example of every kind that intake reads, in a folder as a user has it."""

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless
from study_maker import ORIGIN_XYZ, SPACING_ZYX, ct_hu, ct_slices, femur_mask, slices, write_nifti, write_series

ROOT = Path(__file__).parents[3]
Door = Literal["cohort", "study", "settings"]
Fields = list[tuple[str, int, int]]  # name, first byte, byte behind the last

_NIFTI_FIELDS = (
    "sizeof_hdr:4 data_type:10 db_name:18 extents:4 session_error:2 regular:1 dim_info:1 dim:16 intent_p:12 "
    "intent_code:2 datatype:2 bitpix:2 slice_start:2 pixdim:32 vox_offset:4 scl_slope:4 scl_inter:4 slice_end:2 "
    "slice_code:1 xyzt_units:1 cal_max:4 cal_min:4 slice_duration:4 toffset:4 glmax:4 glmin:4 descrip:80 aux_file:24 "
    "qform_code:2 sform_code:2 quatern:12 qoffset:12 srow:48 intent_name:16 magic:4 extension:4"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One kind of file.

    Attributes:
        make: writes the whole example into a folder and returns the file to damage.
        door: how a user meets it: a cohort of one study, one study alone, or params.yaml.
        source: of the cohort.
        fields: named ranges of its (unpacked) bytes.
        packed: damage the file as it is, or unpacked and packed again, in turn.
    """

    name: str
    make: Callable[[Path], Path]
    door: Door
    fields: Callable[[bytes], Fields]
    source: Literal["dicom", "volumes"] = "volumes"
    packed: bool = False


def _with_depth(datasets: list[Dataset]) -> list[Dataset]:
    """Sequences in sequences and private elements, as scanners write them."""
    for one in datasets:
        inner, outer = Dataset(), Dataset()
        inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "121318", "DCM", "Spatial locations"
        outer.ReferencedSOPInstanceUID, outer.PurposeOfReferenceCodeSequence = one.SOPInstanceUID, [inner]
        one.ReferencedImageSequence = [outer, outer]
        block = one.private_block(0x0029, "FEMSEG FUZZ", create=True)
        block.add_new(0x01, "LO", "private text")
        block.add_new(0x02, "OB", bytes(range(64)))
    return datasets


def _dicom(syntax: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        frame = pydicom.uid.generate_uid(entropy_srcs=["frame"])
        ct = _with_depth(ct_slices(frame=frame))
        mask = slices(femur_mask().astype(np.uint16), intercept=0.0, frame=frame, modality="OT")
        if syntax == RLELossless:
            for one in ct:
                one.file_meta = pydicom.dataset.FileMetaDataset()
                one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                one.compress(RLELossless)
        if syntax == ExplicitVRBigEndian:
            for one in ct:
                one.PixelData = np.frombuffer(one.PixelData, "<u2").astype(">u2").tobytes()
        paths = write_series(folder / "study" / "ct", ct, syntax=syntax)
        write_series(folder / "study" / "mask", mask)
        return paths[5]

    return make


def _dicom_fields(content: bytes) -> Fields:
    """Each element's header and value, nested ones by their outermost."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    starts = [(element.file_tell - 8, str(element.keyword or element.tag)) for element in dataset if element.file_tell]
    starts = [(128, "file meta"), *sorted(starts)]
    ends = [start for start, _ in starts[1:]] + [len(content)]
    return [(name, start, end) for (start, name), end in zip(starts, ends, strict=True)]


def _nifti(name: str, dtype: str, target: str = "ct") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        ct = write_nifti(folder / "study" / f"ct{name}", ct_hu().astype(dtype))
        mask = write_nifti(folder / "study" / f"mask{name}", femur_mask().astype(np.uint8))
        return ct if target == "ct" else mask

    return make


def _nifti_fields(content: bytes) -> Fields:
    found, at = [], 0
    for name, length in (field.split(":") for field in _NIFTI_FIELDS.split()):
        found.append((name, at, at + int(length)))
        at += int(length)
    return [*found, ("voxels", at, len(content))]


def _image(name: str, dtype: str, packed: bool) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "study").mkdir(parents=True)
        for stem, array in (("ct", ct_hu().astype(dtype)), ("mask", femur_mask().astype(np.uint8))):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(SPACING_ZYX[::-1])
            image.SetOrigin(ORIGIN_XYZ)
            sitk.WriteImage(image, folder / "study" / f"{stem}{name}", useCompression=packed)
        return folder / "study" / f"ct{name}"

    return make


def _text_fields(content: bytes) -> Fields:
    """One for each line of the header, named by its key."""
    found: Fields = []
    at = 0
    for line in content.split(b"\n"):
        key = line.replace(b"=", b":").partition(b":")[0].strip().decode("latin-1")
        if not line.strip() or len(line) > 200:
            break
        found.append((key, at, at + len(line) + 1))
        at += len(line) + 1
        if key == "ElementDataFile":
            break
    return [*found, ("voxels", at, len(content))] if at < len(content) else found


def _npy(folder: Path) -> Path:
    (folder / "study").mkdir(parents=True)
    np.save(folder / "study" / "ct.npy", ct_hu().astype(np.float32))
    return folder / "study" / "ct.npy"


def _npz(folder: Path) -> Path:
    (folder / "study").mkdir(parents=True)
    np.savez_compressed(folder / "study" / "ct.npz", ct=ct_hu(), mask=femur_mask())
    return folder / "study" / "ct.npz"


def _npy_fields(content: bytes) -> Fields:
    return [("magic", 0, 8), ("length", 8, 10), ("header", 10, 128), ("voxels", 128, len(content))]


def _params(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


def _file_alone(folder: Path) -> Path:
    return write_series(folder, _with_depth(ct_slices()[:1]))[0]


CARRIERS = [
    Carrier(
        name="DICOM explicit", make=_dicom(ExplicitVRLittleEndian), door="cohort", fields=_dicom_fields, source="dicom"
    ),
    Carrier(
        name="DICOM implicit", make=_dicom(ImplicitVRLittleEndian), door="cohort", fields=_dicom_fields, source="dicom"
    ),
    Carrier(
        name="DICOM big-endian", make=_dicom(ExplicitVRBigEndian), door="cohort", fields=_dicom_fields, source="dicom"
    ),
    Carrier(name="DICOM RLE", make=_dicom(RLELossless), door="cohort", fields=_dicom_fields, source="dicom"),
    Carrier(name="DICOM file alone", make=_file_alone, door="study", fields=_dicom_fields),
    Carrier(name="NIfTI", make=_nifti(".nii", "float32"), door="cohort", fields=_nifti_fields),
    Carrier(name="NIfTI gzip", make=_nifti(".nii.gz", "int16"), door="cohort", fields=_nifti_fields, packed=True),
    Carrier(
        name="NIfTI mask", make=_nifti(".nii.gz", "int16", "mask"), door="cohort", fields=_nifti_fields, packed=True
    ),
    Carrier(name="NRRD raw", make=_image(".nrrd", "float32", False), door="cohort", fields=_text_fields),
    Carrier(name="NRRD gzip", make=_image(".nrrd", "int16", True), door="cohort", fields=_text_fields),
    Carrier(name="MHA raw", make=_image(".mha", "float32", False), door="cohort", fields=_text_fields),
    Carrier(name="MHA zlib", make=_image(".mha", "int16", True), door="cohort", fields=_text_fields),
    Carrier(name="NPY", make=_npy, door="cohort", fields=_npy_fields),
    Carrier(name="NPZ", make=_npz, door="cohort", fields=_npy_fields),
    Carrier(name="params.yaml", make=_params, door="settings", fields=_text_fields),
]


def unpacked(carrier: Carrier, content: bytes) -> bytes:
    """What the fields of a carrier count in."""
    return gzip.decompress(content) if carrier.packed else content


def packed(carrier: Carrier, content: bytes) -> bytes:
    """The reverse."""
    return gzip.compress(content, compresslevel=1, mtime=0) if carrier.packed else content
