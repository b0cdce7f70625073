"""Samplers, one file each: they draw the training points."""
