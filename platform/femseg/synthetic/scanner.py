"""What a scanner makes of a painted body: point spread, slice thickness, kernel, noise; rays from metal; its circle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from femseg.synthetic.noise import Shape, Voxels, smooth_noise, white_noise
from femseg.synthetic.painting_settings import ScannerSettings
from femseg.synthetic.settings import Range
from femseg.volumes.grid import Triple

Response = NDArray[np.float64]
LOWEST_HU = -1024.0
_SHARPENED_MM = 1.2  # over which a sharp kernel overshoots
_SHADING_MM = 120.0
_ANGLES = 90


def drawn(bounds: Range, generator: np.random.Generator) -> float:
    """A number between two bounds."""
    return float(generator.uniform(*bounds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """One scanner as it was set for one scan; fields as in `ScannerSettings`."""

    blur_mm: float
    slice_mm: float
    overshoot: float
    noise_hu: float
    noise_mm: float
    shading_hu: float
    offset_hu: float
    streaks_hu: float
    shadow_hu: float
    shadow_mm: float
    saturation_hu: float

    @classmethod
    def of(cls, settings: ScannerSettings, generator: np.random.Generator) -> "Scanner":
        """Draw one."""
        return cls(**{name: drawn(getattr(settings, name), generator) for name in cls.__slots__})

    def scanned(
        self, hu_zyx: Voxels, metal_zyx: NDArray[np.bool_], spacing_mm_zyx: Triple, generator: np.random.Generator
    ) -> Voxels:
        """The body's HU as this scanner reports them: whole numbers; `hu_zyx` is used up."""
        shape_zyx = hu_zyx.shape
        hu_zyx += np.float32(self.offset_hu)
        if self.shading_hu:
            hu_zyx += np.float32(self.shading_hu) * smooth_noise(shape_zyx, spacing_mm_zyx, _SHADING_MM, generator)
        if metal_zyx.any():
            _add_shadow(hu_zyx, metal_zyx, self.shadow_hu, self.shadow_mm, spacing_mm_zyx)
            if self.streaks_hu:
                _add_streaks(hu_zyx, metal_zyx, self.streaks_hu, spacing_mm_zyx, generator)
        spectrum = fft.dctn(hu_zyx, norm="ortho", overwrite_x=True)
        for axis, (response, _) in enumerate(self._responses(shape_zyx, spacing_mm_zyx)):
            spectrum *= _along(response, axis)
        if self.noise_hu:
            spectrum += self._noise(shape_zyx, spacing_mm_zyx, generator)
        image: Voxels = fft.idctn(spectrum, norm="ortho", overwrite_x=True)
        np.clip(image, LOWEST_HU, self.saturation_hu, out=image)
        return np.rint(image, out=image)

    def _responses(self, shape_zyx: Shape, spacing_mm_zyx: Triple) -> list[tuple[Response, Response]]:
        """Along each axis, at every frequency of the cosine transform: what is left of the image, and of the noise."""
        found: list[tuple[Response, Response]] = []
        for axis, (size, spacing) in enumerate(zip(shape_zyx, spacing_mm_zyx, strict=True)):
            per_mm = np.arange(size) / (2 * size * spacing)
            image = _gaussian(self.blur_mm, per_mm)
            if axis == 0:
                image = image * np.sinc(per_mm * self.slice_mm)
            else:  # a step that is sharpened by 2a overshoots by a at most, of which the blur leaves less
                image = image * (1 + 2 * self.overshoot * (1 - _gaussian(_SHARPENED_MM, per_mm)))
            noise = _gaussian(self.noise_mm, per_mm)
            found.append((image, noise / np.sqrt(np.mean(noise**2))))
        return found

    def _noise(self, shape_zyx: Shape, spacing_mm_zyx: Triple, generator: np.random.Generator) -> Voxels:
        """The noise's cosine transform: that of white noise is white noise."""
        noise = white_noise(shape_zyx, generator)
        noise *= np.float32(self.noise_hu)
        for axis, (_, response) in enumerate(self._responses(shape_zyx, spacing_mm_zyx)):
            noise *= _along(response, axis)
        return noise


def _gaussian(sd_mm: float, per_mm: Response) -> Response:
    return np.exp(-2 * (np.pi * sd_mm * per_mm) ** 2)


def _along(values: Response, axis: int) -> Voxels:
    return values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])


def _add_streaks(
    hu_zyx: Voxels,
    metal_zyx: NDArray[np.bool_],
    streaks_hu: float,
    spacing_mm_zyx: Triple,
    generator: np.random.Generator,
) -> None:
    """Bright and dark rays in every slice with metal, from its middle outwards, falling off beyond 10 mm."""
    _, dy, dx = spacing_mm_zyx
    rays = generator.standard_normal((2, _ANGLES), dtype=np.float32)
    rows, columns = (np.arange(n, dtype=np.float32) for n in hu_zyx.shape[1:])
    for z in np.flatnonzero(metal_zyx.any(axis=(1, 2))):
        at_y, at_x = (float(where.mean()) for where in np.nonzero(metal_zyx[z]))
        y, x = ((rows - at_y) * dy)[:, None], ((columns - at_x) * dx)[None, :]
        angle = (np.arctan2(y, x) * (_ANGLES / (2 * np.pi))).astype(np.intp)  # negative ones count from the end
        mixed = np.cos(0.3 * z) * rays[0] + np.sin(0.3 * z) * rays[1]  # neighbouring slices look alike
        hu_zyx[z] += np.float32(streaks_hu) * mixed[angle] * np.minimum(1.0, 10.0 / (np.hypot(y, x) + 1.0))


def _add_shadow(
    hu_zyx: Voxels, metal_zyx: NDArray[np.bool_], shadow_hu: float, shadow_mm: float, spacing_mm_zyx: Triple
) -> None:
    """What metal takes from its neighbours in the same slice, less and less with their distance from it."""
    for z in np.flatnonzero(metal_zyx.any(axis=(1, 2))):
        away_mm = ndimage.distance_transform_edt(~metal_zyx[z], sampling=spacing_mm_zyx[1:])
        hu_zyx[z] += np.float32(shadow_hu) * np.exp(-away_mm / shadow_mm).astype(np.float32) * ~metal_zyx[z]


def field_of_view(
    shape_zyx: Sequence[int], settings: ScannerSettings, generator: np.random.Generator
) -> tuple[NDArray[np.bool_], float] | None:
    """Where a scan shows anything, shape (Y, X), and the HU beyond; None where it shows all."""
    share, size, middle_y, middle_x = generator.random(4)
    padding = settings.padding_hu[int(generator.integers(len(settings.padding_hu)))]
    if share >= settings.circle:
        return None
    y, x = (np.linspace(-1.0, 1.0, n) for n in shape_zyx[1:])
    from_middle = (y - 0.3 * (middle_y - 0.5))[:, None] ** 2 + (x - 0.3 * (middle_x - 0.5))[None, :] ** 2
    return from_middle <= (0.8 + 0.4 * size) ** 2, padding
