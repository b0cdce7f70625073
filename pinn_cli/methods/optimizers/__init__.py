"""Optimizers: one file each; step(objective) -> Report."""
