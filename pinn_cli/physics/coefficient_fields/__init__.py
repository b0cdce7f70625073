"""Coefficients that vary in space and time: one file per kind, and the contract in `base.py`."""
