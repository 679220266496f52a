"""Files built to cost far more than they weigh, each with the refusal that it must meet.

`python -m fuzz.bombs FOLDER` in `tests/support` makes each, takes it through a user's door, and prints its cost.
"""

import gzip
import io
import json
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fuzz.worker import kilobytes
from study_maker import ct_hu, ct_slices, write_dicom_study, write_nifti, write_series, write_volume_study

from femseg.cohorts.settings import CohortSettings
from femseg.errors import Refusal
from femseg.intake.check import check_cohort
from femseg.intake.cost import check_memory_bytes
from femseg.intake.single_ct import inspect_study
from femseg.layouts.detect import studies_of
from femseg.settings import read_section

GIB = 1 << 30


def _gzipped(head: bytes, zeros: int) -> bytes:
    """A gzip stream of `head` and so many zero bytes; its check sum is wrong, which nobody is to find out."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)  # after a full flush, it can be repeated
    return start + again * (zeros >> 24) + packer.flush()


def _nifti_head(folder: Path, shape_xyz: tuple[int, int, int], datatype: int, bits: int) -> bytes:
    head = bytearray(gzip.decompress(write_nifti(folder / "small.nii.gz", ct_hu()).read_bytes())[:352])
    struct.pack_into("<3h", head, 42, *shape_xyz)
    struct.pack_into("<2h", head, 70, datatype, bits)
    return bytes(head)


def nifti_ct_of_one_gib(folder: Path) -> Path:
    path = folder / "ct.nii.gz"
    path.write_bytes(_gzipped(_nifti_head(folder, (1024, 1024, 512), 4, 16), GIB))
    return path


def nifti_ct_below_the_ratio(folder: Path) -> Path:
    """As many voxels as a CT may have however well it packs; all zero, so that it is refused in the end."""
    path = folder / "ct.nii.gz"
    path.write_bytes(gzip.compress(_nifti_head(folder, (256, 256, 256), 64, 64) + bytes(8 << 24), 1))
    return path


def nifti_that_unpacks_to_more_than_it_says(folder: Path) -> Path:
    path = folder / "ct.nii.gz"
    path.write_bytes(_gzipped(_nifti_head(folder, (26, 24, 14), 4, 16), 4 * GIB))
    return path


def nifti_of_32767_slices(folder: Path) -> Path:
    path = folder / "ct.nii"
    path.write_bytes(_nifti_head(folder, (26, 24, 32767), 4, 16) + bytes(1700))
    return path


def mask_of_a_quarter_gib(folder: Path) -> Path:
    """A mask may pack well; it is not read where its CT has fewer voxels."""
    write_nifti(folder / "study" / "ct.nii.gz", ct_hu())
    (folder / "study" / "mask.nii.gz").write_bytes(
        gzip.compress(_nifti_head(folder, (900, 800, 370), 2, 8) + bytes(900 * 800 * 370), 1)
    )
    (folder / "small.nii.gz").unlink()
    return folder


def mask_of_eight_gib(folder: Path) -> Path:
    write_nifti(folder / "study" / "ct.nii.gz", ct_hu())
    (folder / "study" / "mask.nii.gz").write_bytes(_gzipped(_nifti_head(folder, (1024, 1024, 1024), 64, 64), GIB))
    (folder / "small.nii.gz").unlink()
    return folder


_NRRD = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 1024 1024 512
space directions: (1,0,0) (0,1,0) (0,0,1)
endian: little
encoding: gzip
space origin: (0,0,0)

"""


def nrrd_of_one_gib(folder: Path) -> Path:
    path = folder / "ct.nrrd"
    path.write_bytes(_NRRD.encode() + _gzipped(b"", GIB))
    return path


def nrrd_of_a_million_lines(folder: Path) -> Path:
    path = folder / "ct.nrrd"
    lines = "".join(f"key{k}:=value\n" for k in range(1_000_000))
    path.write_bytes(_NRRD.strip("\n").encode() + b"\n" + lines.encode() + b"\n")
    return path


def mha_of_one_gib(folder: Path) -> Path:
    voxels = _gzipped(b"", GIB)
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = True\n"
        f"CompressedDataSize = {len(voxels)}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        "ElementSpacing = 1 1 1\nDimSize = 1024 1024 512\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path = folder / "ct.mha"
    path.write_bytes(head.encode() + voxels)
    return path


def npy_of_four_petabytes(folder: Path) -> Path:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }".ljust(117) + b"\n"
    path = folder / "ct.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + bytes(64))
    return path


def npz_of_a_quarter_gib(folder: Path) -> Path:
    path, stream = folder / "ct.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (1 << 26,)})
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("ct.npy", "w") as member,
    ):
        member.write(stream.getvalue())
        for _ in range(16):
            member.write(bytes(1 << 24))
    return path


def _element(group: int, element: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    return struct.pack("<HH2s2xI", group, element, vr.encode(), length) + value


def _item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value) if length is None else length) + value


def _dicom_with(folder: Path, element: bytes, *, behind_pixels: bool = False) -> Path:
    """A series with an element put before the study's UID of one slice, or behind its pixels."""
    path = write_series(folder, ct_slices())[5]
    content = path.read_bytes()
    at = len(content) if behind_pixels else content.index(b"\x20\0\x0d\0UI")
    path.write_bytes(content[:at] + element + content[at:])
    return folder


def _nested(depth: int) -> bytes:
    value = b""
    for _ in range(depth):
        value = _element(0x0018, 0x9346, "SQ", _item(value))
    return value


def dicom_of_deep_sequences(folder: Path) -> Path:
    return _dicom_with(folder, _nested(20_000))


def dicom_of_deep_sequences_behind_its_pixels(folder: Path) -> Path:
    return _dicom_with(folder, _element(0xFFFA, 0xFFFA, "SQ", _item(_nested(20_000))), behind_pixels=True)


def dicom_of_endless_sequences(folder: Path) -> Path:
    opened = struct.pack("<HH2s2xI", 0x0018, 0x9346, b"SQ", 0xFFFFFFFF) + _item(b"", 0xFFFFFFFF)
    return _dicom_with(folder, opened * 10_000)


def dicom_of_two_million_items(folder: Path) -> Path:
    return _dicom_with(folder, _element(0x0018, 0x9346, "SQ", _item(b"") * 2_000_000))


def dicom_of_two_million_items_of_unsaid_length(folder: Path) -> Path:
    """Who parses a sequence that does not say its length makes every item of it before anybody can count them."""
    opened, closed = struct.pack("<HH2s2xI", 0x0018, 0x9346, b"SQ", 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return _dicom_with(folder, opened + _item(b"") * 2_000_000 + closed)


def dicom_of_100_000_private_elements(folder: Path) -> Path:
    return _dicom_with(
        folder, b"".join(struct.pack("<HH2sH", 0x0019, 0x1000 + k % 60000, b"LO", 2) + b"ab" for k in range(100_000))
    )


def dicom_that_declares_four_gigabytes(folder: Path) -> Path:
    return _dicom_with(folder, _element(0x0018, 0x9999, "OB", b"x" * 10, 0xFFFFFFF0))


def dicom_of_65535_rows_and_columns(folder: Path) -> Path:
    datasets = ct_slices()
    for one in datasets:
        one.Rows = one.Columns = 65535
    write_series(folder, datasets)
    return folder


def dicom_of_a_billion_frames(folder: Path) -> Path:
    datasets = ct_slices()
    for one in datasets:
        one.NumberOfFrames = 1_000_000_000
    write_series(folder, datasets)
    return folder


def _deflated(folder: Path, behind: bytes, zeros: int) -> Path:
    """A series with one slice whose data set is deflated, with much behind its pixels."""
    path = write_series(folder, ct_slices())[5]
    content = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    content = content[:140] + struct.pack("<I", content[140] + 2) + content[144:]
    content = content.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99", 1)
    end = 144 + content[140]
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    start = packer.compress(content[end:] + behind) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    path.write_bytes(content[:end] + start + again * (zeros >> 24) + packer.flush())
    return folder


def dicom_deflated_from_one_gib(folder: Path) -> Path:
    return _deflated(folder, b"", GIB)


def dicom_deflated_below_the_ratio(folder: Path) -> Path:
    """As much as a deflated file may hold, of noise enough to pack less than two hundredfold."""
    return _deflated(folder, np.random.default_rng(0).bytes(2_000_000), 18 << 24)


def yaml_of_nine_to_the_twelfth(folder: Path) -> Path:
    lines = ["a0: &a0 [x]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 13)]
    path = folder / "params.yaml"
    path.write_text("cohort:\n  " + "\n  ".join(lines) + "\n")
    return path


def yaml_of_merges(folder: Path) -> Path:
    lines = ["a0: &a0 {x: 1}"] + [f"a{k}: &a{k} {{<<: [{', '.join([f'*a{k - 1}'] * 9)}]}}" for k in range(1, 13)]
    path = folder / "params.yaml"
    path.write_text("cohort:\n  " + "\n  ".join(lines) + "\n")
    return path


def yaml_of_ten_megabytes(folder: Path) -> Path:
    path = folder / "params.yaml"
    path.write_text("cohort:\n" + "".join(f"  k{k}: 1\n" for k in range(1_000_000)))
    return path


def yaml_as_long_as_it_may_be(folder: Path) -> Path:
    path = folder / "params.yaml"
    path.write_text("cohort: [" + "[1,2,a]," * 16_000 + "]\n")
    return path


BOMBS: dict[Callable[[Path], Path], str] = {
    nifti_ct_of_one_gib: "IN-24",
    nifti_that_unpacks_to_more_than_it_says: "IN-16",
    nifti_of_32767_slices: "IN-16",
    mask_of_a_quarter_gib: "IN-20",
    mask_of_eight_gib: "IN-24",
    nrrd_of_one_gib: "IN-24",
    nrrd_of_a_million_lines: "IN-18",
    mha_of_one_gib: "IN-24",
    npy_of_four_petabytes: "IN-25",
    npz_of_a_quarter_gib: "IN-25",
    dicom_of_deep_sequences: "IN-14",
    dicom_of_deep_sequences_behind_its_pixels: "IN-14",
    dicom_of_endless_sequences: "IN-14",
    dicom_of_two_million_items: "IN-14",
    dicom_of_two_million_items_of_unsaid_length: "IN-14",
    dicom_of_100_000_private_elements: "",
    dicom_that_declares_four_gigabytes: "IN-14",
    dicom_of_65535_rows_and_columns: "IN-14",
    dicom_of_a_billion_frames: "IN-14",
    dicom_deflated_from_one_gib: "IN-24",
    dicom_deflated_below_the_ratio: "IN-14",
    yaml_of_nine_to_the_twelfth: "CFG-01",
    yaml_of_merges: "CFG-01",
    yaml_of_ten_megabytes: "CFG-01",
    yaml_as_long_as_it_may_be: "CFG-01",
    nifti_ct_below_the_ratio: "IN-11",  # last, for it leaves memory to be used again
}


def _through_its_door(path: Path) -> None:
    if path.name == "params.yaml":
        read_section(CohortSettings, "cohort", file=path)
    elif (path / "study").is_dir():
        settings = CohortSettings(source="volumes")
        for study in studies_of(path, settings):
            check_memory_bytes(study)
        check_cohort(path, settings, id_key=b"key").refuse_faults()
    else:
        inspect_study(path, id_key=b"key")


def costs(folder: Path) -> Iterator[dict[str, object]]:
    """What each bomb was refused by, and what it cost in processor time and memory beyond the libraries'."""
    warm = folder / "warm"
    write_volume_study(warm / "v" / "study")
    write_dicom_study(warm / "d" / "study")
    for kind, below in (("volumes", "v"), ("dicom", "d")):
        check_cohort(warm / below, CohortSettings(source=kind), id_key=b"key")  # type: ignore[arg-type]
    for make in BOMBS:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            yield _cost(make, Path(place))


def _cost(make: Callable[[Path], Path], folder: Path) -> dict[str, object]:
    path = make(folder)
    weight = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    Path("/proc/self/clear_refs").write_text("5")
    before, start = kilobytes("VmHWM"), time.process_time()
    ids: list[str] = []
    try:
        _through_its_door(path)
    except Refusal as refusal:
        ids = sorted({fault.id for fault in refusal.faults})
    return {
        "bomb": make.__name__.replace("_", " "),
        "bytes": weight,
        "ids": ids,
        "seconds": round(time.process_time() - start, 3),
        "peak_mb": round((kilobytes("VmHWM") - before) / 1024, 1),
    }


if __name__ == "__main__":
    for cost in costs(Path(sys.argv[1])):
        print(json.dumps(cost), flush=True)
