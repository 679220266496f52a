"""femseg: distributed, experiment-tracked femur segmentation in CT."""

__version__ = "0.1.0"
