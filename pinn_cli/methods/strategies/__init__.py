"""Strategies: one file each; a generator of stages."""
