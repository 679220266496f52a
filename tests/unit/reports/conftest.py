"""A small cohort's worth of evidence, made up and quick."""

import numpy as np
import pytest

from femseg.metrics.scorecard import score
from femseg.reports.comparison.evidence import CasePicture, ComparisonEvidence, CurvePoint

SPACING_MM_ZYX = (6.0, 4.0, 4.0)


def picture(index, modes):
    rng = np.random.default_rng(index)
    z, y, x = np.ogrid[:24, :14, :12]
    femur = ((y - 7) / 3) ** 2 + ((x - 6) / 3) ** 2 < 1
    femur = np.broadcast_to(femur, (24, 14, 12)) & (z > 2) & (z < 21)
    ct = (femur * 0.7 + rng.normal(0.2, 0.02, femur.shape)).astype(np.float32)
    predicted = {mode: np.roll(femur, 1 + index % 2, axis=place % 3) for place, mode in enumerate(modes)}
    return CasePicture(
        case_id=f"case{index:02d}",
        spacing_mm_zyx=SPACING_MM_ZYX,
        ct_zyx=ct,
        gradient_zyx=np.abs(np.gradient(ct, axis=2)).astype(np.float32),
        reference_zyx=femur,
        predicted_zyx=predicted,
    )


@pytest.fixture(scope="session")
def evidence_of():
    """Make evidence and the pictures of its cases: `evidence_of(modes, cases, grids, **changes)`."""

    def made(modes=("raw", "gradient"), cases=3, grids=("network", "native"), **changes):
        pictures = {one.case_id: one for one in (picture(index, modes) for index in range(cases))}
        scores = {
            mode: [
                score(p.reference_zyx, p.predicted_zyx[mode], SPACING_MM_ZYX, case_id=case, grid=grid)
                for case, p in pictures.items()
                for grid in grids
            ]
            for mode in modes
        }
        curve = [
            CurvePoint(iteration=i, train_dice_loss=0.9 / i, validation_dice=1 - 1 / i if i % 5 == 0 else None)
            for i in range(1, 41)
        ]
        facts = {
            "cohort": "phantom",
            "split_sizes": {"train": 5, "validation": 2, "test": cases},
            "scores": scores,
            "threshold": scores["raw"],
            "threshold_hu": 200.0,
            "curves": {mode: [curve] for mode in modes},
            "provenance": {"data": "ab12", "split": "by patient"},
            "resamples": 200,
        }
        return ComparisonEvidence(**(facts | changes)), pictures

    return made
