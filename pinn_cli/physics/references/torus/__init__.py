"""Equations on the unit square with periodic sides, solved by Fourier modes."""
