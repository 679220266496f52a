"""A CT with its mask, and where both come from: what the outputs beside a mask are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from femseg.inference.femora import Femora
from femseg.lineage.provenance import Lineage
from femseg.lineage.records import OutputRecord
from femseg.networks.package_files import ModelDescription
from femseg.volumes.grid import CtVolume


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
