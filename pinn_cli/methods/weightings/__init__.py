"""Weightings, one file each: factors on the base weights of the constraints."""
