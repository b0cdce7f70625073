"""Optimizers, one file each: they change the parameters step by step."""
