"""What compression did to a series: lost detail, or so much zeal that unpacking it would fill the memory."""

from collections.abc import Sequence
from typing import Literal

from femseg.errors import Fault
from femseg.formats.dicom.headers import SliceHeader, uid_name
from femseg.formats.voxel_bytes import ratio_faults

_LOSSY_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{jpeg}" for jpeg in (50, 51, 81, 91))


def lossy_remarks(slices: Sequence[SliceHeader]) -> list[str]:
    """IN-12: pixels that were compressed with loss, now or earlier, with the ratio where the header states one.

    Accepted, because a femur's outline survives a usual ratio and nobody can undo it; remarked, because nobody sees it.
    """
    lossy = [header for header in slices if header.lossy or header.transfer_syntax in _LOSSY_SYNTAXES]
    if not lossy:
        return []
    kinds = sorted({header.transfer_syntax for header in lossy} & {*_LOSSY_SYNTAXES})
    by = ", ".join(map(uid_name, kinds)) or "earlier than their present storage"
    ratios = sorted({header.lossy_ratio for header in lossy if header.lossy_ratio})
    stated = (
        f"ratio {ratios[0]}" if len(ratios) == 1 else f"ratios {ratios[0]} to {ratios[-1]}" if ratios else "no ratio"
    )
    return [f"IN-12: {len(lossy)} of {len(slices)} slices compressed with loss ({by}; {stated} stated)"]


def unpacking_faults(slices: Sequence[SliceHeader], series: str, role: Literal["ct", "mask"]) -> list[Fault]:
    """IN-24: slices that all together unpack to far too much, found before any is; a single one may be all air."""
    voxels = sum((header.rows or 0) * (header.columns or 0) for header in slices)
    unpacked_bytes = voxels * slices[0].bits_allocated // 8
    return ratio_faults(voxels, unpacked_bytes, sum(header.stored_bytes for header in slices), series, role)
