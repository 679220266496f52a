"""femseg: distributed, experiment-tracked femur segmentation in CT."""

__version__ = "0.2.0"
