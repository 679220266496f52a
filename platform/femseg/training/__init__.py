"""Training in plain PyTorch: settings, losses, batches, the loop, checkpoints."""
