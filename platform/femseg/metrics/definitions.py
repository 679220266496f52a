"""What each metric is, in words that can stand under a table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of the scorecard.

    Attributes:
        name: field of `CaseScore` and column of the CSV.
        title: for headings.
        unit: "mm", or "" for a number between 0 and 1.
        higher_is_better: direction of improvement.
        decimals: digits that are worth printing.
        definition: what is computed.
        when_empty: the stated result if both masks, or one, hold no femur.
        source: who defines it so.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    decimals: int
    definition: str
    when_empty: str
    source: str

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


_NO_DISTANCE = "Undefined if either mask is empty: left blank, counted, never averaged."
_OVERLAP_IF_EMPTY = "1 if both masks are empty, 0 if only one is."

METRICS: tuple[Metric, ...] = (
    Metric(
        name="dice",
        title="Dice (DSC)",
        unit="",
        higher_is_better=True,
        decimals=3,
        definition="2 |A ∩ B| / (|A| + |B|): twice the shared voxels over the voxels of both; 1 is a perfect match.",
        when_empty=_OVERLAP_IF_EMPTY,
        source="Seed paper; Dice 1945",
    ),
    Metric(
        name="average_hausdorff_mm",
        title="Average Hausdorff distance",
        unit="mm",
        higher_is_better=False,
        decimals=3,
        definition="Mean distance from every voxel of one mask to the nearest voxel of the other; the larger of both "
        "directions. Shared voxels count with distance 0, so it is as a rule smaller than a mean over the surface.",
        when_empty=_NO_DISTANCE,
        source="Taha & Hanbury 2015, BMC Med Imaging 15:29",
    ),
    Metric(
        name="average_surface_distance_mm",
        title="Average surface distance",
        unit="mm",
        higher_is_better=False,
        decimals=2,
        definition="Mean distance from the surface elements of both masks to the nearest element of the other mask's "
        "surface, each element weighted by its area; both directions pooled.",
        when_empty=_NO_DISTANCE,
        source="Surface elements of Nikolov et al. 2018, arXiv:1809.04430",
    ),
    Metric(
        name="hausdorff_95_mm",
        title="Hausdorff distance, 95 %",
        unit="mm",
        higher_is_better=False,
        decimals=2,
        definition="Distance that 95 % of the surface (by area) does not exceed; the larger of the two directions.",
        when_empty=_NO_DISTANCE,
        source="Surface elements of Nikolov et al. 2018, arXiv:1809.04430",
    ),
    Metric(
        name="volume_similarity",
        title="Volume similarity",
        unit="",
        higher_is_better=True,
        decimals=3,
        definition="1 − | |A| − |B| | / (|A| + |B|): compares the volumes only, wherever they lie; 1 is equal volume.",
        when_empty=_OVERLAP_IF_EMPTY,
        source="Taha & Hanbury 2015, BMC Med Imaging 15:29",
    ),
)


def metric_named(name: str) -> Metric:
    """Raises: ValueError for a name that is no metric."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise ValueError(f"metric: expected one of {[metric.name for metric in METRICS]}, got {name!r}")
