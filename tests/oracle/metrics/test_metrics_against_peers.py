"""Our metrics beside those of SimpleITK, MONAI and surface-distance; where definitions part, the test says how."""

import numpy as np
import pytest
import SimpleITK as sitk
import surface_distance
from scipy import ndimage
from surface_distance import lookup_tables

from femseg.metrics.overlap import dice_coefficient, intersection_over_union, precision, sensitivity, volume_similarity
from femseg.metrics.surface_distance import average_hausdorff_mm, hausdorff_mm, surface_distances
from femseg.metrics.surface_elements import CORNERS, FULL_CODE, element_areas_mm2, neighbourhood_codes

SPACING = (0.9, 1.8, 1.2)


def lumpy_pairs():
    """Blobs of many shapes: thin, torn, touching the rim, nearly equal, far apart."""
    rng = np.random.default_rng(11)
    for smoothing, cut in ((1.0, 0.0), (1.5, 0.15), (2.0, 0.05)):
        field = ndimage.gaussian_filter(rng.normal(size=(18, 15, 16)), smoothing)
        other = field + 0.3 * ndimage.gaussian_filter(rng.normal(size=field.shape), smoothing)
        yield field > cut, other > cut
    near, far = np.zeros((18, 15, 16), bool), np.zeros((18, 15, 16), bool)
    near[2:6, 2:6, 2:6] = far[12:16, 9:14, 10:15] = True
    yield near, far
    yield near, near | far


PAIRS = list(lumpy_pairs())


def images(*masks):
    for mask in masks:
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.SetSpacing(SPACING[::-1])
        yield image


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 0.7), (0.5, 1.3, 3.1)])
def test_surface_element_areas_equal_the_table_of_surface_distance(spacing):
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    weights = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL  # their bit of each corner
    ours = element_areas_mm2(spacing)
    for code in range(256):
        their_code = sum(int(weights[corner]) for bit, corner in enumerate(CORNERS) if code >> bit & 1)
        assert ours[code] == pytest.approx(theirs[their_code], abs=1e-12)


@pytest.mark.parametrize(("reference", "predicted"), PAIRS)
@pytest.mark.filterwarnings("ignore:.*namespace is deprecated:DeprecationWarning")
def test_surface_metrics_equal_surface_distance(reference, predicted):
    theirs = surface_distance.compute_surface_distances(reference, predicted, SPACING)
    ours = surface_distances(reference, predicted, SPACING)
    for direction, name in ((ours.from_reference, "gt"), (ours.from_predicted, "pred")):
        other = "pred" if name == "gt" else "gt"
        np.testing.assert_allclose(
            np.sort(direction.distances_mm), theirs[f"distances_{name}_to_{other}"], rtol=1e-9, atol=1e-12
        )
        assert direction.areas_mm2.sum() == pytest.approx(theirs[f"surfel_areas_{name}"].sum(), rel=1e-9)
    assert ours.hausdorff_95_mm == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95.0), rel=1e-9)
    assert ours.hausdorff_mm == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100.0), rel=1e-9)
    for tolerance_mm in (0.5, 1.0, 2.0, 3.6):
        assert ours.surface_dice(tolerance_mm) == pytest.approx(
            surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance_mm), rel=1e-9
        )
    # surface-distance stops at the two directed means; ours is their mean weighted by the two areas.
    areas = [theirs["surfel_areas_gt"].sum(), theirs["surfel_areas_pred"].sum()]
    directed = surface_distance.compute_average_surface_distance(theirs)
    assert ours.average_mm == pytest.approx(np.average(directed, weights=areas), rel=1e-9)


@pytest.mark.parametrize(("reference", "predicted"), PAIRS)
def test_dice_and_volumes_agree_with_simpleitk_whose_similarity_is_signed(reference, predicted):
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images(reference, predicted))
    assert dice_coefficient(reference, predicted) == pytest.approx(overlap.GetDiceCoefficient(), rel=1e-9)
    assert volume_similarity(reference, predicted) == pytest.approx(
        1 - abs(overlap.GetVolumeSimilarity()) / 2, rel=1e-9
    )
    assert intersection_over_union(reference, predicted) == pytest.approx(overlap.GetJaccardCoefficient(), rel=1e-9)
    # Its first image is the prediction where it speaks of false ones.
    overlap.Execute(*images(predicted, reference))
    assert sensitivity(reference, predicted) == pytest.approx(1 - overlap.GetFalseNegativeError(), rel=1e-9)
    assert precision(reference, predicted) == pytest.approx(1 - overlap.GetFalseDiscoveryRate(), rel=1e-9)


@pytest.mark.parametrize(("reference", "predicted"), PAIRS)
def test_hausdorff_equals_simpleitks_directed_one_of_the_surfaces_of_both_masks(reference, predicted):
    # SimpleITK measures between sets of voxels: given the corners that make the surface, it finds our number.
    corners = []
    for mask in (reference, predicted):
        code = neighbourhood_codes(np.pad(mask, 1))
        corners.append((code != 0) & (code != FULL_CODE))
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images(*corners))
    assert hausdorff_mm(reference, predicted, SPACING) == pytest.approx(hausdorff.GetHausdorffDistance(), rel=1e-6)


@pytest.mark.parametrize(("reference", "predicted"), PAIRS)
def test_average_hausdorff_is_the_larger_direction_where_simpleitk_takes_the_mean(reference, predicted):
    directed = [
        float(ndimage.distance_transform_edt(~there, sampling=SPACING)[here].mean())
        for here, there in ((reference, predicted), (predicted, reference))
    ]
    assert average_hausdorff_mm(reference, predicted, SPACING) == pytest.approx(max(directed), rel=1e-9)
    hausdorff = sitk.HausdorffDistanceImageFilter()
    hausdorff.Execute(*images(reference, predicted))
    assert hausdorff.GetAverageHausdorffDistance() == pytest.approx(np.mean(directed), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_monai_agrees_on_dice_and_parts_on_surfaces_because_it_counts_border_voxels():
    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")
    reference, predicted = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    reference[6:14, 6:14, 6:14] = predicted[2:18, 2:18, 2:18] = True
    batch = [torch.from_numpy(m[None, None]).float() for m in (predicted, reference)]
    assert dice_coefficient(reference, predicted) == pytest.approx(float(metrics.compute_dice(*batch)), rel=1e-6)
    ours = surface_distances(reference, predicted, (1.0, 1.0, 1.0))
    average = float(metrics.compute_average_surface_distance(*batch, symmetric=True, spacing=(1.0, 1.0, 1.0)))
    # Every border voxel weighs the same there, at edges too, where ours have less area: close, and never equal.
    assert ours.average_mm == pytest.approx(average, rel=0.05)
    assert ours.average_mm < average
    for tolerance_mm in (1.0, 2.0):
        within = metrics.compute_surface_dice(
            *batch, class_thresholds=[tolerance_mm], spacing=(1.0,) * 3, include_background=True, use_subvoxels=True
        )
        assert ours.surface_dice(tolerance_mm) == pytest.approx(float(within), rel=1e-5)  # the same elements, then
    hausdorff_95 = float(metrics.compute_hausdorff_distance(*batch, percentile=95, spacing=(1.0, 1.0, 1.0)))
    assert ours.hausdorff_95_mm == pytest.approx(hausdorff_95, abs=np.sqrt(3))
