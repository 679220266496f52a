"""What each metric is, in words that can stand under a table."""

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "nearer to zero"]
_ARROWS: dict[Better, str] = {"higher": "↑", "lower": "↓", "nearer to zero": "→ 0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of the scorecard.

    Attributes:
        name: field of `CaseScore` and column of the CSV.
        title: for headings.
        unit: "mm", "ml", or "" for a number between 0 and 1.
        better: direction of improvement.
        decimals: digits that are worth printing.
        definition: what is computed.
        when_empty: the stated result if both masks, or one, hold no femur.
        source: who defines it so.
    """

    name: str
    title: str
    unit: str
    better: Better
    decimals: int
    definition: str
    when_empty: str
    source: str

    @property
    def heading(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def arrow(self) -> str:
        """The direction of improvement as a sign."""
        return _ARROWS[self.better]

    def compared(self, value: float) -> float:
        """What a comparison of two models takes: the value, or its size where that should be near zero."""
        return abs(value) if self.better == "nearer to zero" else value

    def gain(self, difference: float) -> float:
        """A difference of compared values, turned so that more is better."""
        return difference if self.better == "higher" else -difference


_NO_DISTANCE = "Undefined if either mask is empty: left blank, counted, never averaged."
_OVERLAP_IF_EMPTY = "1 if both masks are empty, 0 if only one is."
_NIKOLOV = "Surface elements of Nikolov et al. 2018, arXiv:1809.04430"
_TAHA = "Taha & Hanbury 2015, BMC Med Imaging 15:29"


def _surface_dice(tolerance_mm: int) -> Metric:
    return Metric(
        name=f"surface_dice_{tolerance_mm}mm",
        title=f"Surface Dice at {tolerance_mm} mm",
        unit="",
        better="higher",
        decimals=3,
        definition=f"Share of both surfaces' area that lies within {tolerance_mm} mm of the other surface.",
        when_empty=_OVERLAP_IF_EMPTY,
        source=_NIKOLOV,
    )


METRICS: tuple[Metric, ...] = (
    Metric(
        name="dice",
        title="Dice (DSC)",
        unit="",
        better="higher",
        decimals=3,
        definition="2 |A ∩ B| / (|A| + |B|): twice the shared voxels over the voxels of both; 1 is a perfect match.",
        when_empty=_OVERLAP_IF_EMPTY,
        source="Dice 1945, Ecology 26:297",
    ),
    Metric(
        name="iou",
        title="Intersection over union",
        unit="",
        better="higher",
        decimals=3,
        definition="|A ∩ B| / |A ∪ B|: Jaccard's index, DSC / (2 − DSC); it orders cases as Dice does.",
        when_empty=_OVERLAP_IF_EMPTY,
        source="Jaccard 1912",
    ),
    Metric(
        name="sensitivity",
        title="Sensitivity",
        unit="",
        better="higher",
        decimals=3,
        definition="|A ∩ B| / |A|: share of the annotated femur that was found.",
        when_empty="Undefined if the annotation is empty; 0 if only the prediction is.",
        source=_TAHA,
    ),
    Metric(
        name="precision",
        title="Precision",
        unit="",
        better="higher",
        decimals=3,
        definition="|A ∩ B| / |B|: share of the predicted femur that is femur.",
        when_empty="Undefined if the prediction is empty; 0 if only the annotation is.",
        source=_TAHA,
    ),
    Metric(
        name="average_hausdorff_mm",
        title="Average Hausdorff distance",
        unit="mm",
        better="lower",
        decimals=3,
        definition="Mean distance from every voxel of one mask to the nearest voxel of the other; the larger of both "
        "directions. Shared voxels count with distance 0, so it is as a rule smaller than a mean over the surface.",
        when_empty=_NO_DISTANCE,
        source=_TAHA,
    ),
    Metric(
        name="average_surface_distance_mm",
        title="Average surface distance",
        unit="mm",
        better="lower",
        decimals=2,
        definition="Mean distance from the surface elements of both masks to the nearest element of the other mask's "
        "surface, each element weighted by its area; both directions pooled.",
        when_empty=_NO_DISTANCE,
        source=_NIKOLOV,
    ),
    Metric(
        name="hausdorff_mm",
        title="Hausdorff distance",
        unit="mm",
        better="lower",
        decimals=2,
        definition="Largest distance from an element of either surface to the nearest element of the other.",
        when_empty=_NO_DISTANCE,
        source=_NIKOLOV,
    ),
    Metric(
        name="hausdorff_95_mm",
        title="Hausdorff distance, 95 %",
        unit="mm",
        better="lower",
        decimals=2,
        definition="Distance that 95 % of the surface (by area) does not exceed; the larger of the two directions.",
        when_empty=_NO_DISTANCE,
        source=_NIKOLOV,
    ),
    _surface_dice(1),
    _surface_dice(2),
    Metric(
        name="volume_similarity",
        title="Volume similarity",
        unit="",
        better="higher",
        decimals=3,
        definition="1 − | |A| − |B| | / (|A| + |B|): compares the volumes only, wherever they lie; 1 is equal volume.",
        when_empty=_OVERLAP_IF_EMPTY,
        source=_TAHA,
    ),
    Metric(
        name="volume_difference_ml",
        title="Volume difference",
        unit="ml",
        better="nearer to zero",
        decimals=1,
        definition="|B| − |A| times the volume of a voxel: negative where the prediction is too small. Two models are "
        "compared by its size without the sign.",
        when_empty="The volume of the other mask, with its sign; 0 if both are empty.",
        source="Plain difference of volumes",
    ),
)


def metric_named(name: str) -> Metric:
    """Raises: ValueError for a name that is no metric."""
    for metric in METRICS:
        if metric.name == name:
            return metric
    raise ValueError(f"metric: expected one of {[metric.name for metric in METRICS]}, got {name!r}")
