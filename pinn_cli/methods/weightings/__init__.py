"""Weightings: one file each; residuals -> weights by constraint name."""
