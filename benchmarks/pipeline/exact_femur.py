"""What the measurement sheet's definitions give on a phantom femur's exact shape: formulas, and no voxels."""

import math

import numpy as np
from numpy.typing import NDArray

from femseg.measurements.definitions import LEVELS_MM
from femseg.phantom.femur import FemurVoxels, femur_voxels, greater_trochanter, neck_base
from femseg.phantom.frame import head_centre, leg_frame, neck_direction
from femseg.phantom.patient import PhantomPatient
from femseg.phantom.shapes import Points, ellipsoid
from femseg.volumes.grid import VoxelGrid

_SEAM_MM = 2.25  # what rounding a seam over 9 mm, as the trochanter's is, can add to a shape


class ExactFemur:
    """A phantom's femur in its own frame (lateral, posterior, superior), straight from its formulas."""

    def __init__(self, patient: PhantomPatient) -> None:
        self.patient = patient
        one = VoxelGrid(shape_zyx=(2, 2, 2), spacing_mm_zyx=(1.0, 1.0, 1.0))
        self._frame = leg_frame(patient, patient.side, one)
        self.base = np.array(neck_base(patient))
        self.head = np.array(head_centre(patient))
        self.neck = np.array(neck_direction(patient))
        self.trochanter_height = float(self.base[2]) - 40.0 * patient.head_radius_mm / 24.0

    def voxels(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> FemurVoxels:
        """Exact distances at crossings of coordinates."""
        return femur_voxels(self._frame, _points(x, y, z), np.zeros((len(z), len(y), len(x)), np.float32))

    def sections(self, heights: np.ndarray, step: float = 0.4) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Centres of the shaft's sections, shape (n, 3); the canal's areas (mm²) and widths; the cortex's thickness."""
        x, y = np.arange(-30.0, 75.0, step), np.arange(-35.0, 35.0, step)
        found = self.voxels(x, y, heights)
        inside = np.clip(0.5 - found.distance_mm / step, 0.0, 1.0)
        total = inside.sum((1, 2))
        centres = np.stack([(inside * x).sum((1, 2)) / total, (inside * y[:, None]).sum((1, 2)) / total, heights], 1)
        canal = np.clip(0.5 - (found.distance_mm + found.cortex_mm) / step, 0.0, 1.0)
        width = canal.max(1).sum(1) * step
        return centres, canal.sum((1, 2)) * step**2, width, np.ravel(found.cortex_mm)

    def trochanter_top(self, upwards: np.ndarray, step: float = 0.5) -> np.ndarray:
        """The point furthest in a direction where the bone is greater trochanter as it was built: never of the neck."""
        centre, radii = greater_trochanter(self.patient)
        x, y, z = (np.arange(c - r - 3.0, c + r + 3.0, step) for c, r in zip(centre, radii, strict=True))
        distance = self.voxels(x, y, z).distance_mm
        own = ellipsoid(_points(x, y, z), centre, radii) < _SEAM_MM
        places = np.argwhere((distance < 0.0) & (distance > -2.0 * step) & own)
        points = np.stack([x[places[:, 2]], y[places[:, 1]], z[places[:, 0]]], axis=1)
        points -= distance[tuple(places.T)][:, None] * upwards  # a ball of this depth lies inside the bone
        return points[np.argmax(points @ upwards)]

    def knee_surface(self, step: float = 0.5) -> np.ndarray:
        """Points of the distal 62 mm's surface, shape (n, 3)."""
        half = 0.6 * self.patient.condyle_width_mm
        axes = (np.arange(-2.0, 62.0, step), np.arange(-50.0, 55.0, step), np.arange(-half, half, step))
        distance = self.voxels(axes[2], axes[1], axes[0]).distance_mm
        found = []
        for axis in range(3):
            rolled = np.moveaxis(distance, axis, 0)
            at = np.argwhere((rolled[:-1] < 0) != (rolled[1:] < 0))
            a, b = rolled[:-1][tuple(at.T)], rolled[1:][tuple(at.T)]
            place = at.astype(float)
            place[:, 0] += a / (a - b)
            order = np.insert(np.arange(1, 3), axis, 0)
            index = place[:, order]
            found.append(np.stack([axes[k][0] + step * index[:, k] for k in (2, 1, 0)], axis=1))
        return np.concatenate(found)


def _points(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Points:
    return Points(
        lateral_mm=x.astype(np.float32)[None, None, :],
        posterior_mm=y.astype(np.float32)[None, :, None],
        superior_mm=z.astype(np.float32)[:, None, None],
    )


def _line(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = points.mean(0)
    along = np.linalg.eigh(np.cov((points - middle).T))[1][:, -1]
    return middle, along * np.sign(along[2])


def _flat(vector: np.ndarray, normal: np.ndarray) -> np.ndarray:
    rest = vector - (vector @ normal) * normal
    return rest / np.linalg.norm(rest)


def _between(a: np.ndarray, b: np.ndarray) -> float:
    return math.degrees(math.acos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1.0, 1.0)))


def _tangent(surface: np.ndarray, view: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Medial and lateral point of the line that touches both condyles; halves parted at x = 0, where the frame is."""
    halves = [surface[surface[:, 0] < 0.0], surface[surface[:, 0] > 0.0]]
    points = np.array([half[np.argmax(half @ outward)] for half in halves])
    for _ in range(8):
        normal = np.cross(_flat(points[1] - points[0], view), view)
        normal = normal * np.sign(normal @ outward)
        points = np.array([half[np.argmax(half @ normal)] for half in halves])
    return points


_DOWN, _BACK, _UP = np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


def truth(patient: PhantomPatient) -> dict[str, float]:
    """What the sheet's definitions give on the phantom's exact shape."""
    exact, length = ExactFemur(patient), patient.femur_length_mm
    top = exact.trochanter_height
    proximal = _line(exact.sections(np.arange(top - 80.0, top - 19.0, 2.0))[0])
    diaphysis_centres = exact.sections(np.arange(0.25 * length, top - 19.0, 2.0))[0]
    shaft = _line(diaphysis_centres)[1]
    surface = exact.knee_surface()
    knee, of_knee = _true_knee(exact, surface)

    medial, lateral = _tangent(surface, shaft, _BACK)
    neck = _flat(exact.neck, shaft)
    line = _flat(medial - lateral, shaft)
    forward = np.cross(line, shaft)
    forward *= -np.sign(forward @ _BACK)
    mechanical = (exact.head - knee) / np.linalg.norm(exact.head - knee)
    anterior = np.cross(mechanical, _flat(medial - lateral, mechanical))
    anterior *= -np.sign(anterior @ _BACK)
    low = _tangent(surface, anterior, _DOWN)
    joint = _flat(low[1] - low[0], anterior)
    board = np.cross(joint, anterior)
    board *= np.sign(board @ _UP)
    offset = exact.head - proximal[0]
    offset_mm = float(np.linalg.norm(offset - (offset @ proximal[1]) * proximal[1]))
    trochanter = exact.trochanter_top(proximal[1])
    return {
        "length_seen": 100.0,
        "head_diameter": 2.0 * patient.head_radius_mm,
        "head_residual": 0.0,
        "neck_shaft_angle": 180.0 - _between(exact.neck, proximal[1]),
        "version": math.degrees(math.atan2(neck @ forward, neck @ line)),
        "mechanical_length": float(np.linalg.norm(exact.head - knee)),
        "bicondylar_length": float((exact.head - low[0]) @ board) + patient.head_radius_mm,
        "axes_angle": _between(_flat(shaft, anterior), mechanical),
        "mldfa": _between(mechanical, joint),
        "aldfa": _between(_flat(shaft, anterior), joint),
        "femoral_offset": offset_mm,
        "trochanteric_length": float((trochanter - low[0]) @ board),
        **of_knee,
        "bow_radius": _true_bow(diaphysis_centres, shaft, anterior),
        **_true_canal(exact, length),
    }


def _true_knee(exact: ExactFemur, surface: NDArray[np.float64]) -> tuple[NDArray[np.float64], dict[str, float]]:
    """The middle between the epicondyles, and what is measured there."""
    distal_shaft = _line(exact.sections(np.arange(90.0, 151.0, 2.0))[0])[1]
    touched = _tangent(surface, distal_shaft, _BACK)
    across = _flat(touched[1] - touched[0], distal_shaft)
    posterior = np.cross(across, distal_shaft)
    posterior *= np.sign(posterior @ _BACK)
    above = surface[surface @ distal_shaft > (surface @ distal_shaft).min() + 12.0]
    caps = [above[above @ s > (above @ s).max() - 1.5].mean(0) for s in (-across, across)]
    widths = [float((above @ s).max()) for s in (-across, across)]
    epicondyles = [cap + (width - cap @ s) * s for cap, width, s in zip(caps, widths, (-across, across), strict=True)]
    knee = np.mean(epicondyles, axis=0)
    middle = 0.5 * (touched.mean(0) + knee) @ posterior
    behind = surface[surface @ posterior > middle]
    depths = [float(np.ptp(half @ posterior)) for half in (surface[surface[:, 0] < 0.0], surface[surface[:, 0] > 0.0])]
    transepicondylar = epicondyles[0] - epicondyles[1]
    return knee, {
        "epicondylar_width": sum(widths),
        "bicondylar_width": float(np.ptp(behind @ across)),
        "medial_depth": depths[0],
        "lateral_depth": depths[1],
        "condylar_angle": math.degrees(math.atan2(transepicondylar @ -posterior, transepicondylar @ -across)),
    }


def _true_bow(centres: NDArray[np.float64], shaft: NDArray[np.float64], anterior: NDArray[np.float64]) -> float:
    """Radius of the shaft's bow, in mm."""
    sagitta = np.column_stack([centres @ shaft, centres @ _flat(anterior, shaft)])
    a, b, _ = np.polyfit(sagitta[:, 0] - sagitta[:, 0].mean(), sagitta[:, 1], 2)
    return float(abs(0.5 / a) * (1.0 + b * b) ** 1.5)


def _true_canal(exact: ExactFemur, length: float) -> dict[str, float]:
    """Canal and cortex at the isthmus and at the sheet's levels."""
    top = exact.trochanter_height
    heights = np.arange(0.25 * length, top - 19.0, 1.0)
    _, canal, widths_mm, cortex = exact.sections(heights)
    narrowest = int(np.argmin(canal))
    values = {
        "isthmus_level": top - float(heights[narrowest]),
        "canal_isthmus": 2.0 * math.sqrt(canal[narrowest] / math.pi),
        "cortex_isthmus": float(cortex[narrowest]),
    }
    for name, above_mm in LEVELS_MM.items():
        _, area, width, thickness = exact.sections(np.array([top + above_mm]))
        if name == "above_20":
            values["canal_flare_index"] = float(width[0] / widths_mm[narrowest])
        values |= {f"canal_{name}": 2.0 * math.sqrt(area[0] / math.pi), f"cortex_{name}": float(thickness[0])}
    return values
