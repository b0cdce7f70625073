"""The heart: model, residuals, objective, Jacobian, the loop, and what a run records and says."""
