"""How far a voxel may lie from where its own header puts it: lengths, told at the corner that is worst off.

A cosine or a spacing says nothing by itself: 1e-3 of a radian is 0.06 mm on the hand and half a millimetre on a leg.
See docs/decisions/0017.
"""

REMARKED_OF_VOXEL = 0.1  # shares of the shortest voxel edge; below this, rounding, and not worth a word
REFUSED_OF_VOXEL = 0.5  # beyond this a voxel lies in its neighbour's place
MASK_REMARKED_MM = 0.01  # a mask was drawn on its CT's voxels: what lies between here and the tenth of a voxel is
MASK_REFUSED_OF_VOXEL = 0.1  # a header rounded on the way
