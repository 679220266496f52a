"""CTs without a femur, drawn from a seed by means of their own: no code of femseg's phantoms or synthetic people."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from femseg.volumes.grid import CtVolume, VoxelGrid

Volume = NDArray[np.float32]
_AIR, _FAT, _TISSUE, _LUNG = -1000.0, -90.0, 45.0, -850.0


class Scan:
    """A box about the origin (x to the left, y backwards, z upwards, in mm), painted over again and again."""

    def __init__(self, rng: np.random.Generator, size_mm_zyx: tuple[float, float, float]) -> None:
        self.rng = rng
        self.spacing = tuple(rng.choice([(2.0, 1.5, 1.5), (3.0, 1.8, 1.8), (1.5, 2.0, 2.0)]).tolist())
        shape = [round(size / mm) for size, mm in zip(size_mm_zyx, self.spacing, strict=True)]
        centred = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, self.spacing, strict=True)]
        self.z, self.y, self.x = (a.reshape([-1 if k == i else 1 for k in range(3)]) for i, a in enumerate(centred))
        self.hu: Volume = np.full(shape, _AIR, np.float32)

    def paint(self, where: NDArray[np.bool_], hu: float) -> None:
        self.hu[np.broadcast_to(where, self.hu.shape)] = hu

    def ellipse(self, x: float, y: float, half_x: float, half_y: float) -> NDArray[np.bool_]:
        return ((self.x - x) / half_x) ** 2 + ((self.y - y) / half_y) ** 2 + 0 * self.z < 1

    def ball(self, x: float, y: float, z: float, radii_xyz: tuple[float, float, float]) -> NDArray[np.bool_]:
        a, b, c = radii_xyz
        return ((self.x - x) / a) ** 2 + ((self.y - y) / b) ** 2 + ((self.z - z) / c) ** 2 < 1

    def bone(self, outer: NDArray[np.bool_], cortex_mm: float, *, cortex: float, marrow: float) -> None:
        """What lies deeper than the cortex is marrow."""
        depth = ndimage.distance_transform_edt(outer, sampling=self.spacing)
        self.paint(outer, cortex)
        self.paint(depth > cortex_mm, marrow)

    def ct(self, noise_hu: float = 20.0) -> CtVolume:
        blurred = ndimage.gaussian_filter(self.hu, 0.6)
        hu = np.clip(np.rint(blurred + self.rng.normal(0.0, noise_hu, self.hu.shape)), -1024, 3071).astype(np.float32)
        z, y, x = self.spacing
        return CtVolume(hu_zyx=hu, grid=VoxelGrid(shape_zyx=hu.shape, spacing_mm_zyx=(z, y, x)))


def chest(rng: np.random.Generator) -> CtVolume:
    """Lungs, heart, ribs, spine, breastbone, and the heads of both humeri in half of them."""
    scan = Scan(rng, (190.0, 230.0, 380.0))
    width, depth = rng.uniform(130, 150), rng.uniform(90, 105)
    scan.paint(scan.ellipse(0, 0, width + 15, depth + 12), _FAT)
    scan.paint(scan.ellipse(0, 0, width, depth), _TISSUE)
    for side in (-1, 1):
        scan.paint(scan.ball(side * 0.48 * width, -5, 0, (0.38 * width, 0.75 * depth, 160)), _LUNG)
    scan.paint(scan.ball(25, -25, -20, (55, 45, 60)), 60.0)
    wall = np.abs(np.sqrt((scan.x / width) ** 2 + (scan.y / depth) ** 2) - 0.93) < 0.045
    slant = (scan.z + 0.5 * scan.y + rng.uniform(0, 25)) % 26
    scan.bone(np.broadcast_to(wall & (slant < 10), scan.hu.shape), 2.0, cortex=900.0, marrow=250.0)
    scan.paint(scan.ellipse(0, -0.93 * depth, 18, 6), 350.0)
    scan.bone(scan.ellipse(0, 0.62 * depth, 17, 14) & (scan.z % 27 < 22), 1.5, cortex=600.0, marrow=220.0)
    if rng.random() < 0.5:
        for side in (-1, 1):
            radius = rng.uniform(21, 26)
            top = scan.hu.shape[0] * scan.spacing[0] / 2 - rng.uniform(25, 60)
            head = scan.ball(side * (width + 8), 0, top, (radius, radius, radius))
            shaft = scan.ellipse(side * (width + 14), 5, 12, 12) & (scan.z < top)
            scan.paint(scan.ellipse(side * (width + 10), 0, 45, 50) & (scan.hu < -500), _TISSUE)
            scan.bone(head | shaft, 3.5, cortex=1100.0, marrow=150.0)
    return scan.ct()


def head(rng: np.random.Generator) -> CtVolume:
    """Skull, brain, jaw, first vertebrae."""
    scan = Scan(rng, (190.0, 210.0, 185.0))
    a, b, c = rng.uniform(68, 78), rng.uniform(85, 98), rng.uniform(75, 88)
    scan.paint(scan.ball(0, 0, 20, (a + 6, b + 6, c + 6)) | (scan.ellipse(0, 15, 60, 62) & (scan.z < 0)), _TISSUE)
    scan.paint(scan.ball(0, 0, 20, (a, b, c)), 1100.0)
    scan.paint(scan.ball(0, 0, 20, (a - 7, b - 7, c - 7)), 35.0)
    jaw = scan.ellipse(0, -35, 50, 45) & ~scan.ellipse(0, -28, 38, 40) & (scan.y < 0) & (np.abs(scan.z + 70) < 14)
    scan.bone(jaw, 3.0, cortex=1200.0, marrow=400.0)
    scan.bone(scan.ellipse(0, 30, 16, 13) & (scan.z < -45) & (scan.z % 18 < 14), 2.0, cortex=800.0, marrow=300.0)
    return scan.ct()


def below_the_knee(rng: np.random.Generator) -> CtVolume:
    """Tibia and fibula of one leg or two, from the joint's gap downwards."""
    legs = (-95.0, 95.0) if rng.random() < 0.5 else (0.0,)
    length = float(rng.uniform(120, 250))
    scan = Scan(rng, (length, 185.0, 370.0 if len(legs) == 2 else 185.0))
    plateau = length / 2 - rng.uniform(2, 12)
    size = rng.uniform(0.9, 1.1)
    for leg in legs:
        outward = np.sign(leg) or 1.0
        scan.paint(scan.ellipse(leg, 8, 55, 58), _FAT)
        scan.paint(scan.ellipse(leg, 10, 49, 51), _TISSUE)
        down = np.clip((plateau - scan.z) / 75.0, 0, 1)
        half_x, half_y = size * (38 - 25 * down), size * (25 - 11 * down)
        front = scan.rng.uniform(-46, -43) + 25 * size  # the shin lies 4 to 7 mm under the skin
        tibia = ((scan.x - leg) / half_x) ** 2 + ((scan.y - front + 11 * down) / half_y) ** 2 < 1
        scan.bone(tibia & (scan.z < plateau), 4.0, cortex=1300.0, marrow=180.0)
        fibula = scan.ellipse(leg + outward * size * 36, 20, 8, 8) & (scan.z < plateau - 15)
        scan.bone(fibula, 2.5, cortex=1200.0, marrow=100.0)
    return scan.ct()


def water(rng: np.random.Generator) -> CtVolume:
    """A cylinder of water, with a rod of plastic and one as dense as bone in half of them: for scanners' tests."""
    scan = Scan(rng, (float(rng.uniform(120, 190)), 190.0, 190.0))
    scan.paint(scan.ellipse(0, 0, *(2 * [rng.uniform(60, 90)])), 0.0)
    if rng.random() < 0.5:
        scan.paint(scan.ellipse(-30, 0, 12.5, 12.5), 120.0)
        scan.paint(scan.ellipse(30, 0, 12.5, 12.5), 955.0)
    return scan.ct()


def noise(rng: np.random.Generator) -> CtVolume:
    """Nothing else, fine or coarse."""
    scan = Scan(rng, (190.0, 190.0, 190.0))
    scan.hu[:] = ndimage.gaussian_filter(rng.normal(0, 1, scan.hu.shape), rng.uniform(0.0, 4.0))
    scan.hu *= rng.uniform(150, 600) / scan.hu.std()
    return scan.ct()


KINDS: dict[str, Callable[[np.random.Generator], CtVolume]] = {
    "chest": chest,
    "head": head,
    "below the knee": below_the_knee,
    "water": water,
    "noise": noise,
}
