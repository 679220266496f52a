"""The V-Net, and the package that carries one with its input recipe."""
