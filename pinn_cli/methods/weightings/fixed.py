"""The base weights alone."""

from math import inf

from pinn_cli.methods.contracts import Batch, Weighting, Weights


class Fixed(Weighting):
    """No factors: the weight of a constraint is its base weight, ``weights.<constraint>``, throughout."""

    of_residuals = False

    def __call__(self, batch: Batch, residuals: Batch) -> Weights:
        return {}

    def unchanged(self, step: int) -> float:
        return inf
