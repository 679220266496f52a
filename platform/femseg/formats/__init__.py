"""Files that hold volumes: what their headers claim, whether that can be true, and their voxels."""
