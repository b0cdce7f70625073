"""Equations on a circle, solved by Fourier modes."""
