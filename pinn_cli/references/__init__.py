"""Trusted values at given points: one file each."""
