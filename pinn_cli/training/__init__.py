"""Training: the model, its residuals, the objective and its Jacobian, the loop, and what a run records and shows."""
