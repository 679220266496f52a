"""Surfaces of masks as solids that can be printed: made, proven, measured, written."""
