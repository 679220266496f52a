"""Synthetic people over real bone shapes, made into scenes.

In reading order: `llp26` (26 real people's bones), `people` (one drawn from them, seated and posed), `field_of_view`,
`shapes` and `neighbours` (bones that the shape model lacks), `metal`, `soft_tissue`, `axes` and `surfaces` (from
millimetres to voxels), `scenes` (all of it on one grid).
"""

from femseg.synthetic.anatomy.scenes import scene

__all__ = ["scene"]
