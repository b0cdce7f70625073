"""Whether a problem has the coefficients and measurements with which its run was trained.

They may come from elsewhere than its text, settings and data files: an environment variable, a random number without a
seed, a clock.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pinn_cli.basics.errors import UsageError
from pinn_cli.physics.problem import Problem
from pinn_cli.records.provenance import inputs_hash


def inputs_of(problem: Problem) -> str:
    """The attribute `inputs`: a hash of the coefficients and measurements, wherever they come from."""
    measured = any(c.kind == "data" for c in problem.constraints())
    fields = [array for _, field in sorted(problem.coefficient_fields.items()) for array in field.state.values()]
    return inputs_hash(problem.coefficients, problem.data if measured else torch.zeros(0, device="cpu"), *fields)


def refuse_other_inputs(about: Mapping[str, Any], problem: Problem, folder: Path) -> None:
    """Refuse coefficients or measurements that are not those of the run with the attributes `about` (UsageError)."""
    if about.get("inputs", here := inputs_of(problem)) != here:
        raise UsageError(
            f"coefficients or measurements are not those that {folder} was trained with, though its settings, text and "
            "data files are the same; set environment variables as they were and give random numbers a seed, or go on "
            "with --changed (in Python changed=True)"
        )
