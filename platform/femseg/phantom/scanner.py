"""What a CT scanner makes of the anatomy: blur, beam hardening, streaks from metal, correlated noise, whole HU."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.phantom.acquisition import Acquisition
from femseg.phantom.anatomy import Anatomy
from femseg.phantom.shapes import Voxels
from femseg.phantom.texture import enlarged
from femseg.volumes.grid import VoxelGrid

LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0
_PSF_MM = (1.0, 0.75, 0.75)  # standard deviation along z, y, x
_BINOMIAL = np.array([0.25, 0.5, 0.25])
_COARSE = 4  # shading is smooth: it is computed on every fourth pixel
_STREAKS = 10


def scanned(
    anatomy: Anatomy, acquisition: Acquisition, noise_hu: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """HU as the scanner reports them: whole numbers from -1024 to 3071, shape (Z, Y, X)."""
    grid = acquisition.grid
    hu_zyx = anatomy.hu_zyx
    if acquisition.nail:
        hu_zyx = _streaks(anatomy.hu_zyx, rng)
        hu_zyx += anatomy.hu_zyx
    sigmas = [acquisition.blur * psf / spacing for psf, spacing in zip(_PSF_MM, grid.spacing_mm_zyx, strict=True)]
    hu_zyx = ndimage.gaussian_filter(hu_zyx, sigmas, mode="nearest", truncate=3.0)
    _add(hu_zyx, acquisition.shading, beam_hardening(anatomy.hu_zyx, anatomy.body_zyx, grid))
    _add(hu_zyx, acquisition.noise * noise_hu, _correlated_noise(rng, grid, anatomy.body_zyx))
    if acquisition.nail:  # an overflowing CT number stays at the scale's end, whatever the blur
        hu_zyx[anatomy.hu_zyx > 2900.0] = HIGHEST_HU
    np.rint(hu_zyx, out=hu_zyx)
    return np.asarray(np.clip(hu_zyx, LOWEST_HU, HIGHEST_HU, out=hu_zyx), dtype=np.float32)


def _add(hu_zyx: Voxels, weight: float, effect_zyx: Voxels) -> None:
    """Both in place: each is as large as the scan."""
    effect_zyx *= weight
    hu_zyx += effect_zyx


def beam_hardening(hu_zyx: Voxels, body_zyx: NDArray[np.bool_], grid: VoxelGrid) -> Voxels:
    """Cupping of the body and darkening round dense bone, as uncorrected polychromatic X-rays leave them (HU)."""
    excess = np.clip(hu_zyx[:, ::_COARSE, ::_COARSE] - 300.0, 0.0, 1500.0)
    body = body_zyx[:, ::_COARSE, ::_COARSE].astype(np.float32)
    pixel_mm = [_COARSE * s for s in grid.spacing_mm_zyx[1:]]
    near_bone = ndimage.gaussian_filter(excess, (1.0, 18.0 / pixel_mm[0], 18.0 / pixel_mm[1]), mode="nearest")
    deep = ndimage.gaussian_filter(body, (1.0, 40.0 / pixel_mm[0], 40.0 / pixel_mm[1]), mode="nearest")
    coarse = body * (-0.10 * near_bone - 30.0 * (deep - 0.75))
    shading = enlarged(coarse, hu_zyx.shape)
    shading[~body_zyx] = 0.0
    return shading


def _correlated_noise(rng: np.random.Generator, grid: VoxelGrid, body_zyx: NDArray[np.bool_]) -> Voxels:
    """Noise of deviation 1 in the thinnest slice, up to 1.7 in the thickest; neighbouring pixels share some of it."""
    noise = rng.standard_normal(grid.shape_zyx, dtype=np.float32)
    for axis in (1, 2):
        noise = ndimage.correlate1d(noise, _BINOMIAL, axis=axis, mode="wrap")
    noise *= 1.0 / float(np.sum(_BINOMIAL**2))  # each pass keeps that share of the variance
    filled = np.count_nonzero(body_zyx, axis=(1, 2)) / body_zyx[0].size
    noise *= (1.0 + 0.7 * filled).astype(np.float32)[:, None, None]
    return np.asarray(noise)


def _streaks(hu_zyx: Voxels, rng: np.random.Generator) -> Voxels:
    """Bright and dark rays from the metal of each slice: ± 250 HU at 10 mm, fading outward."""
    streaks = np.zeros_like(hu_zyx)
    phases = rng.uniform(0.0, 2.0 * math.pi, 2).tolist()
    rows, columns = np.indices(hu_zyx.shape[1:], dtype=np.float32)
    for z in np.flatnonzero((hu_zyx > 2500.0).any(axis=(1, 2))):
        at_y, at_x = np.argwhere(hu_zyx[z] > 2500.0).mean(axis=0)
        y, x = rows - np.float32(at_y), columns - np.float32(at_x)
        angle, distance = np.arctan2(y, x), np.sqrt(x * x + y * y)
        rays = np.sin(3.0 * angle + phases[0] + 0.15 * z) + np.sin(_STREAKS * angle + phases[1] + 0.3 * z)
        streaks[z] = 750.0 * rays / (6.0 + distance)
    streaks[hu_zyx < -500.0] *= 0.3
    return streaks
