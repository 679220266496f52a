"""A CT with its mask, and where both come from: what the outputs beside a mask are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from femseg.cohorts.femur_side import pieces_of
from femseg.inference.femora import STRUCTURES, Femora, FemurSide
from femseg.lineage.provenance import Lineage
from femseg.lineage.records import OutputRecord
from femseg.measurements.sheet import Sheet, measured
from femseg.networks.package_files import ModelDescription
from femseg.volumes.grid import CtVolume, MaskVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmented:
    """A CT and its mask.

    Attributes:
        name: of the CT, as it was given.
        ct: on whose grid the femora are.
        facts: verdict, remarks and what else there is to say, as in the JSON.
        model, lineage: of the package that made the mask.
        record: the mask's own lineage.
    """

    name: str
    ct: CtVolume
    femora: Femora
    facts: Mapping[str, Any]
    model: ModelDescription
    lineage: Lineage
    record: OutputRecord

    def largest_piece(self, side: FemurSide) -> MaskVolume:
        """Of one femur, which is what is measured."""
        labels = self.femora.labels
        parts = pieces_of(labels.labels_zyx == STRUCTURES[side].value, labels.grid)
        return parts.mask_of(parts.pieces[:1], labels.grid)

    def sheets(self) -> dict[FemurSide, Sheet]:
        """Each femur measured."""
        return {
            side: measured(self.largest_piece(side), side=None if side == "unknown" else side, ct=self.ct)
            for side in self.femora.by_side
        }
