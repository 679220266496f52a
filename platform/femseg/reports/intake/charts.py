"""What the studies of a cohort have in common, ready for small charts: dots on a line, and lines of grey values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from femseg.intake.outliers import HU_CENTRES, Quantity, hu_shares
from femseg.intake.result import CheckedStudy

_ROWS = 3  # dots that would hide each other lie in rows
_HIGHEST = 0.96


@dataclass(frozen=True, slots=True, kw_only=True)
class DotLine:
    """One quantity of all studies.

    Attributes:
        dots: (study, value in words, place from left in %, row, whether it is an outlier).
        low, high: ends of the line in words.
        median: place of the middle value, in %.
    """

    title: str
    dots: tuple[tuple[str, str, float, int, bool], ...]
    low: str
    high: str
    median: float
    median_said: str
    outliers: tuple[str, ...]


def dot_line(quantity: Quantity) -> DotLine:
    """Dots from the lowest to the highest value."""
    values = quantity.values.values()
    low, high = min(values), max(values)
    width = (high - low) or 1.0

    def place(value: float) -> float:
        return 50.0 if high == low else 100 * (value - low) / width

    def said(value: float) -> str:
        return f"{value:.3g} {quantity.unit}".rstrip()

    ordered = sorted(quantity.values.items(), key=lambda pair: pair[1])
    dots = tuple(
        (study, said(value), place(value), k % _ROWS, study in quantity.outliers)
        for k, (study, value) in enumerate(ordered)
    )
    return DotLine(
        title=quantity.name,
        dots=dots,
        low=said(low),
        high=said(high),
        median=place(quantity.median),
        median_said=said(quantity.median),
        outliers=tuple(f"{study} ({said(quantity.values[study])})" for study in quantity.outliers),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HuLine:
    """A study's histogram: SVG points in a box of 100 × 40."""

    study: str
    points: str
    outlier: bool


def hu_lines(studies: Sequence[CheckedStudy], outliers: Sequence[str]) -> tuple[HuLine, ...]:
    """Histograms of all studies whose voxels were looked at, outliers last, that they may lie on top.

    Heights are square roots of shares: bone is a small part of a leg, and would not show.
    """
    seen = [study for study in studies if study.hu_counts]
    if not seen:
        return ()
    roots = np.sqrt(np.stack([hu_shares(study) for study in seen]))
    places = (np.array(HU_CENTRES) - HU_CENTRES[0]) / (HU_CENTRES[-1] - HU_CENTRES[0]) * 100
    heights = 40 - 40 * _HIGHEST * roots / max(float(roots.max()), 1e-9)
    lines = [
        HuLine(
            study=study.name,
            points=" ".join(f"{x:.1f},{y:.1f}" for x, y in zip(places, row, strict=True)),
            outlier=study.name in outliers,
        )
        for study, row in zip(seen, heights, strict=True)
    ]
    return tuple(sorted(lines, key=lambda line: line.outlier))


def counted(studies: Sequence[CheckedStudy]) -> dict[str, str]:
    """How many studies of which side and sex, in words."""
    sides = Counter(study.facts.side or "not known" for study in studies)
    words = {"F": "female", "M": "male", "O": "other"}
    sexes = Counter(words.get(study.facts.sex or "", "not known") for study in studies)
    patients = len({study.patient_id for study in studies if study.patient_id})
    cut = Counter(end for study in studies for end in study.facts.cut_off)
    metal = sum(study.facts.metal_ml >= 0.1 for study in studies)
    said = {"patients": str(patients), "side of the femur": _said(sides), "sex": _said(sexes)}
    if any(study.case for study in studies):
        said |= {"femur cut off": _said(cut) or "none", "with metal": str(metal)}
    return said


def _said(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counts.items(), key=lambda pair: -pair[1]))
