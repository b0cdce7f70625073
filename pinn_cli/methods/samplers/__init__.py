"""Samplers: one file each; draw(step, problem, objective) -> points by constraint name."""
