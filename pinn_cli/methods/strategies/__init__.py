"""Strategies, one file each: they divide a run into stages."""
