"""Scores of cases, made up from a Dice and a distance."""

from femseg.metrics.scorecard import CaseScore


def case_score(case_id="c1", grid="network", dice=0.9, distance_mm: float | None = 1.25, **changed) -> CaseScore:
    """One row of a scorecard; no distance stands for an empty prediction."""
    values = {
        "dice": dice,
        "iou": dice / (2 - dice),
        "sensitivity": dice,
        "precision": None if distance_mm is None else dice,
        "average_hausdorff_mm": distance_mm,
        "average_surface_distance_mm": distance_mm,
        "hausdorff_mm": distance_mm,
        "hausdorff_95_mm": distance_mm,
        "surface_dice_1mm": dice,
        "surface_dice_2mm": dice,
        "volume_similarity": dice,
        "volume_difference_ml": 10.0,
        "reference_volume_ml": 300.0,
        "predicted_volume_ml": 310.0,
    }
    return CaseScore(case_id=case_id, grid=grid, **values | changed)
