"""An intramedullary nail with its screws: off by default, for what metal does to a CT."""

import numpy as np

from femseg.phantom.femur import neck_base, shaft_centre
from femseg.phantom.frame import LegFrame
from femseg.phantom.shapes import Points, Voxels, rod, tube

METAL_HU = 3071.0  # where a 12-bit CT number ends


def nail(frame: LegFrame, points: Points) -> Voxels:
    """Distance to a nail down the shaft, a screw through the neck into the head, and one above the condyles."""
    patient, head = frame.patient, frame.head_centre
    base, height = neck_base(patient), points.superior_mm
    radius = np.full_like(height, 5.2)
    shaft = tube(points, shaft_centre(patient, height), (radius, radius))
    shaft = np.maximum(shaft, np.maximum(70.0 - height, height - base[2] - 26.0))
    outward = tuple(b - 0.55 * (h - b) for b, h in zip(base, head, strict=True))
    neck_screw = rod(points, (outward[0], outward[1], outward[2]), head, 4.6, 4.6)
    width = patient.condyle_width_mm
    locking = rod(points, (-0.36 * width, -4.0, 84.0), (0.36 * width, -4.0, 84.0), 2.6, 2.6)
    return np.asarray(np.minimum(np.minimum(shaft, neck_screw), locking))
